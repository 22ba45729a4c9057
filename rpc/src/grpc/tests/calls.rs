//! Ingesters and queriers.

use base::rows::RowsBuilder;
use base::time::Day;
use base::{Batch, BatchId, ByteSize, Incarnation, Labels, Run, UnixNanos};
use logql::plan::QueryError;
use ulid::Ulid;

use super::*;
use crate::grpc::{IngesterClient, QuerierClient, serve_ingester, serve_querier};
use crate::ingester::{
    Admission, AdmitRequest, Appended, Identity, IngesterApi, IngesterError, LineTemplate,
    RejectReason, Rejection, SelectAnswer, StreamsAnswer, StreamsRequest,
};
use crate::querier::{ListJob, Listed, Listing, QuerierApi, QuerierError};
use crate::testing::{
    Fake, Reply, job_text, select_answer, select_job, select_request, select_text, selected, set,
    store, tenant,
};

fn batch(line: &[u8]) -> Batch {
    let mut rows = RowsBuilder::default();
    rows.push(0, 5, line);
    rows.metadata("trace", b"t1");
    let id = BatchId { incarnation: Incarnation(Ulid(1)), owner: store(2), sequence: 3 };
    Batch {
        id,
        attempt: 1,
        members: vec![store(2)],
        factor: 1,
        tenant: tenant(),
        day: Day(0),
        streams: vec![Labels::from_pairs([("app", "a")])],
        rows: rows.finish(),
    }
}

async fn ingester(
    config: &ClientConfig,
    limits: MessageLimits,
) -> (Arc<Fake>, IngesterClient, Arc<Relay>, DropGuard) {
    let fake = Fake::new();
    let routes = Routes::new(serve_ingester(fake.clone(), &serving(limits)));
    let (address, stop) = serve(routes).await;
    let (address, relay) = Relay::start(address).await;
    let client = IngesterClient::new(&address, config, Arc::new(SystemClock)).unwrap();
    (fake, client, relay, stop)
}

#[tokio::test]
async fn every_call_of_an_ingester_arrives_and_comes_back_whole() {
    let (fake, client, _relay, _stop) = ingester(&patient(), MessageLimits::default()).await;
    let identity = Identity { store: store(u128::MAX), zone: "zone-é".to_owned() };
    set(&fake.identify, Reply::Answer(identity.clone()));
    assert_eq!(client.identify().await.unwrap(), identity);

    let request = AdmitRequest {
        tenant: tenant(),
        streams: vec![Labels::from_pairs([("app", "a"), ("b", "")]), Labels::empty()],
        runs: vec![Run { stream: 1, end: 1 }, Run { stream: 0, end: 3 }],
        ts_ns: vec![-1, i64::MAX, 0],
        sizes: vec![0, u32::MAX, 7],
    };
    let rows = vec![
        (0, RejectReason::TooFarBehind { oldest_ns: -5 }),
        (1, RejectReason::StreamRate { limit_bytes: u64::MAX, request_bytes: 1 }),
        (2, RejectReason::StreamLimit),
    ];
    let admission = Admission { rejected: vec![Rejection { stream: 1, rows }] };
    set(&fake.admit, Reply::Answer(admission.clone()));
    let answer = client.admit(request.clone()).await.unwrap();
    assert_eq!(format!("{answer:?}"), format!("{admission:?}"));
    assert_eq!(fake.asked(), format!("{request:?}"));

    let batches = vec![batch(b"one \xff"), batch(b"")];
    set(&fake.append, Reply::Answer(Appended { attempts: vec![1, u32::MAX] }));
    let appended = client.append(batches.clone()).await.unwrap();
    assert_eq!(appended.attempts, [1, u32::MAX]);
    assert_eq!(*fake.batches.lock().unwrap(), batches);

    let request = select_request();
    set(&fake.select, Reply::Answer(select_answer(&request.leaf)));
    let answer = client.select(request.clone()).await.unwrap();
    assert_eq!(fake.asked(), select_text(&request));
    let want = format!("{:?}", select_answer(&request.leaf));
    assert_eq!(format!("{answer:?}"), want);
    set(&fake.select, Reply::Answer(SelectAnswer::Behind { floor: 9 }));
    let answer = client.select(request).await.unwrap();
    assert!(matches!(answer, SelectAnswer::Behind { floor: 9 }), "{answer:?}");

    let request = StreamsRequest {
        tenant: tenant(),
        selectors: vec![
            logql::syntax::parse_matchers("{a=\"1\", b!=\"2\"}").unwrap(),
            Vec::new(),
            logql::syntax::parse_matchers("{c=~\"3\", d!~\"4\"}").unwrap(),
        ],
        from_ns: i64::MIN,
        to_ns: i64::MAX,
        view: u64::MAX,
        asked: vec![store(1), store(2)],
        store: None,
        templates: true,
    };
    let streams = vec![Labels::from_pairs([("app", "a")]), Labels::empty()];
    let (level, text) = ("info".to_owned(), "user <_> logged in".to_owned());
    let found = LineTemplate { level, text, rows: u64::MAX };
    set(
        &fake.streams,
        Reply::Answer(StreamsAnswer::Streams {
            streams: streams.clone(),
            templates: vec![found.clone()],
            ring: 5,
        }),
    );
    let answer = client.streams(request.clone()).await.unwrap();
    assert_eq!(fake.asked(), format!("{request:?}"));
    assert!(matches!(answer, StreamsAnswer::Streams { streams: got, templates, ring: 5 }
        if got == streams && templates == [found.clone()]));
}

#[tokio::test]
async fn every_call_of_a_querier_arrives_and_comes_back_whole() {
    let fake = Fake::new();
    let routes = Routes::new(serve_querier(fake.clone(), &serving(MessageLimits::default())));
    let (address, _stop) = serve(routes).await;
    let address = format!("dns+{address}");
    let client = QuerierClient::new(&address, &patient(), Arc::new(SystemClock)).unwrap();
    let job = select_job();
    set(&fake.selected, Reply::Answer(selected(&job.leaf)));
    let got = client.select(job.clone()).await.unwrap();
    assert_eq!(fake.asked(), job_text(&job));
    let want = selected(&job.leaf);
    assert_eq!(got.partial.to_portable(), want.partial.to_portable());
    assert_eq!((got.stats, got.warnings), (want.stats, want.warnings));

    for (listing, listed) in [
        (Listing::Streams, Listed::Streams(vec![Labels::from_pairs([("a", "b")])])),
        (Listing::Names, Listed::Texts(vec!["a".to_owned(), "é".to_owned()])),
        (Listing::Values("a".to_owned()), Listed::Texts(Vec::new())),
        (Listing::Templates, Listed::Texts(vec!["z <_>".to_owned(), "a".to_owned()])),
    ] {
        let (start, end) = (UnixNanos(-1), UnixNanos(1));
        let job = ListJob { tenant: tenant(), listing, selectors: Vec::new(), start, end };
        set(&fake.listed, Reply::Answer(listed.clone()));
        assert_eq!(client.list(job.clone()).await.unwrap(), listed);
        assert_eq!(fake.asked(), format!("{job:?}"));
    }

    set(&fake.selected, Reply::Fail(QuerierError::Timeout));
    assert!(matches!(client.select(job).await, Err(QuerierError::Timeout)));
}

#[tokio::test]
async fn typed_errors_arrive_with_variant_and_text_also_when_they_quote_a_long_query() {
    let (fake, client, _relay, _stop) = ingester(&patient(), MessageLimits::default()).await;
    let quoted = format!("parse error : {}é\n", "x".repeat(130_000));
    let error = IngesterError::Query(QueryError::Invalid(quoted));
    set(&fake.select, Reply::Fail(error.clone()));
    let got = client.select(select_request()).await.unwrap_err();
    assert_eq!(format!("{got:?}"), format!("{error:?}"));

    let error = IngesterError::Misplaced("store 1 is cleared".to_owned());
    set(&fake.append, Reply::Fail(error.clone()));
    let batches = vec![batch(b"line")];
    let failed = client.append(batches.clone()).await.unwrap_err();
    assert_eq!(format!("{:?}", failed.error), format!("{error:?}"));
    assert_eq!(failed.batches, batches);
}

#[tokio::test]
async fn a_message_over_a_limit_is_an_error_that_names_it_and_the_connection_lives() {
    let small = MessageLimits { max_recv: ByteSize(10_000), max_send: ByteSize(10_000) };
    let large = batch(&[b'x'; 20_000]);
    let (fake, client, relay, _stop) = ingester(&patient(), small).await;
    // The ingester does not take it.
    let failed = client.append(vec![large.clone()]).await.unwrap_err();
    let text = failed.error.to_string();
    assert!(text.contains("10000") && text.contains("max_recv_msg_size"), "{text}");
    assert_eq!((failed.batches.len(), fake.calls()), (1, 0));
    // The ingester cannot send it.
    let streams = vec![Labels::from_pairs([("app", "x".repeat(20_000))])];
    set(
        &fake.streams,
        Reply::Answer(StreamsAnswer::Streams { streams, templates: Vec::new(), ring: 0 }),
    );
    let request = StreamsRequest {
        tenant: tenant(),
        selectors: Vec::new(),
        from_ns: 0,
        to_ns: 1,
        view: 0,
        asked: Vec::new(),
        store: None,
        templates: false,
    };
    let text = client.streams(request).await.unwrap_err().to_string();
    assert!(text.contains("10000") && text.contains("max_send_msg_size"), "{text}");
    // The same connection goes on.
    set(&fake.append, Reply::Answer(Appended { attempts: vec![1] }));
    client.append(vec![batch(b"small")]).await.unwrap();
    assert_eq!(relay.connections(), 1);

    // This side cannot send it.
    let config = ClientConfig { limits: small, ..patient() };
    let (fake, client, _relay, _stop) = ingester(&config, MessageLimits::default()).await;
    let failed = client.append(vec![large]).await.unwrap_err();
    let text = failed.error.to_string();
    assert!(text.contains("10000") && text.contains("max_send_msg_size"), "{text}");
    assert_eq!(fake.calls(), 0);
}

#[tokio::test]
async fn a_dropped_read_is_dropped_on_the_other_side_and_its_work_cancelled() {
    let (fake, client, _relay, _stop) = ingester(&patient(), MessageLimits::default()).await;
    set(&fake.select, Reply::Hang);
    let asked = task::spawn("select", {
        let client = client.clone();
        async move { client.select(select_request()).await.map(drop) }
    });
    fake.until(|fake| fake.calls() == 1).await;
    let cancel = fake.cancelled.lock().unwrap().clone().unwrap();
    assert!(!cancel.is_cancelled());
    asked.abort();
    fake.until(|fake| fake.dropped() == 1).await;
    cancel.cancelled().await;

    // The signal of the request does the same.
    let request = select_request();
    let signal = request.cancel.clone();
    let asked = task::spawn("select", async move { client.select(request).await.map(drop) });
    fake.until(|fake| fake.calls() == 2).await;
    signal.cancel();
    assert!(matches!(asked.await.unwrap(), Err(IngesterError::Cancelled)));
    fake.until(|fake| fake.dropped() == 2).await;
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_on_both_sides() {
    let config = ClientConfig { remote_timeout: Duration::from_millis(50), ..patient() };
    let (fake, client, _relay, _stop) = ingester(&config, MessageLimits::default()).await;
    set(&fake.append, Reply::Hang);
    let failed = client.append(vec![batch(b"line")]).await.unwrap_err();
    assert!(matches!(failed.error, IngesterError::Unavailable(_)), "{:?}", failed.error);
    fake.until(|fake| fake.dropped() == fake.calls()).await;
}

#[tokio::test]
async fn a_read_is_tried_again_when_its_connection_breaks_and_an_append_is_not() {
    let (fake, client, relay, _stop) = ingester(&patient(), MessageLimits::default()).await;
    relay.refuse.store(1, Ordering::SeqCst);
    set(&fake.identify, Reply::Answer(Identity { store: store(1), zone: String::new() }));
    client.identify().await.unwrap();
    assert_eq!((relay.connections(), fake.calls()), (2, 1));

    set(&fake.append, Reply::Hang);
    let append = client.append(vec![batch(b"line")]);
    let broken = async {
        fake.until(|fake| fake.calls() == 2).await;
        relay.cut();
    };
    let failed = tokio::join!(append, broken).0.unwrap_err();
    assert!(matches!(failed.error, IngesterError::Unavailable(_)), "{:?}", failed.error);
    assert!(failed.error.to_string().starts_with("127.0.0.1:"), "{}", failed.error);
    assert_eq!(fake.calls(), 2);
    // And the next call connects again.
    client.identify().await.unwrap();
    assert_eq!((relay.connections(), fake.calls()), (3, 3));
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_named_and_found_when_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let clock = Arc::new(SystemClock);
    let client = IngesterClient::new(&address.to_string(), &patient(), clock).unwrap();
    for _ in 0..3 {
        let error = client.identify().await.unwrap_err();
        assert!(matches!(error, IngesterError::Unavailable(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(&address.to_string()), "{text}");
        assert!(text.contains("refused"), "{text}");
    }
    let fake = Fake::new();
    set(&fake.identify, Reply::Answer(Identity { store: store(1), zone: String::new() }));
    let routes = Routes::new(serve_ingester(fake.clone(), &serving(MessageLimits::default())));
    let listener = TcpListener::bind(address).await.unwrap();
    task::spawn("server", async move {
        let server = tonic::transport::Server::builder().add_routes(routes);
        server.serve_with_incoming(TcpIncoming::from(listener)).await
    });
    client.identify().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_went_silent_is_found_out_by_its_keepalive_and_not_tried_again() {
    let config = ClientConfig {
        keepalive_time: Duration::from_millis(50),
        keepalive_timeout: Duration::from_millis(50),
        read_attempts: 3,
        ..patient()
    };
    let (fake, client, relay, _stop) = ingester(&config, MessageLimits::default()).await;
    set(&fake.select, Reply::Hang);
    let silent = async {
        fake.until(|fake| fake.calls() == 1).await;
        relay.silence.cancel();
    };
    let error = tokio::join!(client.select(select_request()), silent).0.unwrap_err();
    assert!(matches!(error, IngesterError::Unavailable(_)), "{error:?}");
    assert_eq!(relay.connections(), 1, "{error:?}");
}

#[tokio::test]
async fn garbage_for_a_message_is_named_and_the_connection_lives() {
    let (fake, client, relay, _stop) = ingester(&patient(), MessageLimits::default()).await;
    let mut bad = batch(b"line");
    bad.day = Day(5);
    let failed = client.append(vec![bad]).await.unwrap_err();
    assert_eq!(
        format!("{:?}", failed.error),
        "Corrupt(\"bad Batch message: a row outside the batch's day\")"
    );
    assert_eq!(fake.calls(), 0);
    // An answer that does not fit the request.
    set(&fake.append, Reply::Answer(Appended { attempts: vec![1, 2] }));
    let failed = client.append(vec![batch(b"line")]).await.unwrap_err();
    assert!(matches!(failed.error, IngesterError::Corrupt(_)), "{:?}", failed.error);
    assert_eq!(relay.connections(), 1);
}
