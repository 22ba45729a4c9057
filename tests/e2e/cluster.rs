//! Each service in its own process: what is acknowledged is seen at once, and the loss of one
//! process is an error that names it or is not seen at all, never a wrong answer.

use crate::harness::{Cluster, END_NS, Role, START_NS, Shape, Site, body_of};
use crate::http::{Response, encode};
use crate::load::{CONNECTIONS, Load};
use crate::process::{Process, wait_for};

#[test]
fn a_line_is_seen_through_the_frontend_as_soon_as_the_distributor_acknowledged_it() {
    let site = Site::new(Shape::TwoIngesters);
    let cluster = site.start();
    for n in 0..200_i64 {
        // Many streams, so that both ingesters own some.
        let app = format!("a{}", n % 20);
        cluster.push_lines(&app, [(START_NS + n, format!("line {n}"))]);
        let found = cluster.lines(&format!(r#"{{app="{app}"}} |= "line {n}""#));
        assert!(found.contains(&format!("line {n}")), "{n}: {found:?}");
        if n == 100 {
            cluster.start_flush();
        }
    }
    assert_eq!(cluster.lines(r#"{app=~".+"}"#).len(), 200);
    let rows = |ingester| {
        let page = cluster.process(Role::Ingester(ingester)).get("/metrics").text();
        crate::harness::sum_of(&page, "loki_ingester_streams_created_total").unwrap_or(0.0)
    };
    assert!(rows(0) > 0.0 && rows(1) > 0.0, "both ingesters own streams");
}

#[test]
fn every_process_serves_its_operational_routes_and_lists_its_own_modules() {
    let site = Site::new(Shape::Separate);
    let cluster = site.start();
    let table = [
        (Role::Ingester(0), "ingester", "distributor"),
        (Role::Distributor, "distributor", "ingester"),
        (Role::Querier, "querier", "distributor"),
        (Role::Frontend, "query-frontend", "ingester"),
        (Role::Compactor, "compactor", "query-frontend"),
    ];
    for (role, own, foreign) in table {
        let process = cluster.process(role);
        assert_eq!(process.get("/ready").text(), "ready\n", "{role:?}");
        let services = process.get("/services").text();
        assert!(services.contains(&format!("{own} => Running\n")), "{role:?}: {services}");
        assert!(
            !services.lines().any(|line| line.starts_with(&format!("{foreign} "))),
            "{services}"
        );
        let config = process.get("/config").text();
        assert!(config.contains(&format!("target: {own}")), "{role:?}: {config}");
        assert!(process.get("/metrics").text().contains("loki_build_info"));
        assert_eq!(process.get("/log_level").status, 200);
        assert_eq!(process.get("/loki/api/v1/status/buildinfo").status, 200);
    }
    // A push is no route of a querier, a query none of a distributor.
    let querier = cluster.process(Role::Querier);
    assert_eq!(querier.post("/loki/api/v1/push", &[], b"").status, 404);
    assert_eq!(cluster.process(Role::Distributor).get("/loki/api/v1/labels").status, 404);
    // A querier also answers queries itself.
    cluster.push_lines("a", [(START_NS, "line".to_owned())]);
    let range = format!("start={START_NS}&end={END_NS}");
    let target = format!("/loki/api/v1/label/app/values?{range}");
    assert_eq!(querier.get(&target).json()["data"], serde_json::json!(["a"]));
}

#[test]
fn grpc_health_follows_readiness_until_the_process_ends() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    let site = Site::new(Shape::Separate).with_config("shutdown_delay: 10m\n");
    let cluster = site.start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let status = |process: &Process| {
        runtime.block_on(async {
            let endpoint =
                tonic::transport::Endpoint::from_shared(format!("http://{}", process.grpc));
            let mut client = HealthClient::new(endpoint?.connect().await?);
            let answer = client.check(HealthCheckRequest::default()).await?;
            anyhow::Ok(answer.into_inner().status())
        })
    };
    for role in [Role::Ingester(0), Role::Frontend, Role::Querier, Role::Distributor] {
        assert_eq!(status(cluster.process(role)).expect("an answer"), ServingStatus::Serving);
    }
    // While the delay passes it says that it goes, and still answers.
    let frontend = cluster.process(Role::Frontend);
    frontend.signal("-TERM");
    wait_for("it says so", || frontend.get("/ready").status == 503);
    assert_eq!(status(frontend).expect("an answer"), ServingStatus::NotServing);
    assert_eq!(frontend.get("/loki/api/v1/labels").status, 200);
}

/// A query that takes seconds: every line is walked by an expression that no literal helps with.
fn slow_query() -> String {
    let walk = |letter| format!(r#" !~ "({letter}.{{1,40}}){{20}}[k-z]""#);
    let filters: String = ["a", "b", "c", "d"].map(walk).concat();
    format!(r#"sum(count_over_time({{app="slow"}}{filters} [3h]))"#)
}

fn push_slow_rows(cluster: &Cluster) -> usize {
    for n in 0..20_i64 {
        let filler = "abcdefghij ".repeat(90);
        let lines = (0..1_000).map(|k| {
            let number = n * 1_000 + k;
            (START_NS + number * 1_000, format!("{number} {filler}"))
        });
        let response = cluster.push(&body_of("slow", lines));
        assert_eq!(response.status, 204, "{}", response.text());
    }
    cluster.flush();
    20_000
}

/// Sends the slow query and waits until `process` works on it.
fn ask_slowly(cluster: &Cluster) -> crate::http::Connection {
    let pages = || cluster.metric("runelog_store_pages_scanned_total").unwrap_or(0.0);
    let before = pages();
    let mut client = cluster.connect();
    let target = format!("/loki/api/v1/query?query={}&time={END_NS}", encode(&slow_query()));
    client.send("GET", &target, &[], b"").expect("sent");
    wait_for("the query reads pages", || pages() > before);
    client
}

fn count_in(response: &Response) -> f64 {
    assert_eq!(response.status, 200, "{}", response.text());
    let value = response.json()["data"]["result"][0]["value"][1].clone();
    value.as_str().and_then(|text| text.parse().ok()).expect("a number")
}

#[test]
fn a_querier_killed_in_the_middle_of_a_query_is_not_noticed_once_another_one_comes() {
    let site = Site::new(Shape::Separate);
    let mut cluster = site.start();
    let rows = push_slow_rows(&cluster);
    let mut client = ask_slowly(&cluster);
    let querier = cluster.take(Role::Querier);
    let grpc = querier.grpc.clone();
    querier.kill();
    cluster.start_again(Role::Querier, &grpc);
    assert_eq!(count_in(&client.receive().expect("an answer")), rows as f64);
}

#[test]
fn without_its_ingester_pushes_and_queries_get_503_that_names_it_and_after_it_all_is_there_once() {
    let site = Site::new(Shape::Separate);
    let mut cluster = site.start();
    for round in 0..3 {
        let load = Load::new(round);
        let dead = cluster.process(Role::Ingester(0)).grpc.clone();
        std::thread::scope(|scope| {
            let address = cluster.push_address().to_owned();
            for _ in 0..CONNECTIONS {
                let (load, address) = (&load, address.clone());
                scope.spawn(move || load.push(&address));
            }
            wait_for("pushes are acknowledged", || load.acks() > 40 * (round + 1));
            cluster.take(Role::Ingester(0)).kill();
            wait_for("a push is refused", || load.refused() > 0);
            load.stop();
        });
        let (status, text) = load.last_refusal();
        assert_eq!(status, 503, "{text}");
        assert!(text.contains(&dead), "{dead} in {text}");
        let query = cluster.query_range(&format!(r#"{{app=~"r{round}s.*"}}"#));
        assert_eq!(query.status, 503, "{}", query.text());
        assert!(query.text().contains(&dead), "{dead} in {}", query.text());
        cluster.start_again(Role::Ingester(0), &dead);
        wait_for("pushes go on", || {
            let body = body_of("later", [(START_NS + round as i64, format!("round {round}"))]);
            cluster.push(&body).status == 204
        });
        wait_for("queries go on", || cluster.query_range(r#"{app="later"}"#).status == 200);
        load.check(&cluster);
        if round == 1 {
            cluster.flush();
            load.check(&cluster);
        }
    }
}

#[test]
fn with_one_of_two_ingesters_dead_pushes_go_on_and_reads_wait_for_it() {
    let site = Site::new(Shape::TwoIngesters);
    let mut cluster = site.start();
    let load = Load::new(0);
    let dead = cluster.process(Role::Ingester(1)).grpc.clone();
    std::thread::scope(|scope| {
        let address = cluster.push_address().to_owned();
        for _ in 0..CONNECTIONS {
            let (load, address) = (&load, address.clone());
            scope.spawn(move || load.push(&address));
        }
        wait_for("pushes are acknowledged", || load.acks() > 100);
        cluster.take(Role::Ingester(1)).kill();
        let at_the_kill = load.acks();
        wait_for("pushes go on", || load.acks() > at_the_kill + 200);
        load.stop();
    });
    assert_eq!(load.refused(), 0, "{:?}", load.last_refusal());
    let query = cluster.query_range(r#"{app=~"r0s.*"}"#);
    assert_eq!(query.status, 503, "{}", query.text());
    assert!(query.text().contains(&dead), "{dead} in {}", query.text());
    cluster.start_again(Role::Ingester(1), &dead);
    wait_for("queries go on", || cluster.query_range(r#"{app=~"r0s.*"}"#).status == 200);
    load.check(&cluster);
    cluster.flush();
    load.check(&cluster);
}

fn end(process: Process, site: &Site, what: &str) {
    let status = process.terminate();
    assert!(status.success(), "{what}: {status}\n{}", site.log());
}

#[test]
fn sigterm_ends_every_target_with_zero_and_nothing_is_lost() {
    let site = Site::new(Shape::Separate);
    let mut cluster = site.start();
    let rows = push_slow_rows(&cluster);
    // The frontend finishes the query it has taken.
    let mut client = ask_slowly(&cluster);
    let frontend = cluster.take(Role::Frontend);
    let grpc = frontend.grpc.clone();
    frontend.signal("-TERM");
    assert_eq!(count_in(&client.receive().expect("an answer")), rows as f64);
    drop(client);
    let status = frontend.wait();
    assert!(status.success(), "query-frontend: {status}\n{}", site.log());
    cluster.start_again(Role::Frontend, &grpc);
    // The querier finishes its jobs; the rest of the query is done by the next one.
    let mut client = ask_slowly(&cluster);
    let querier = cluster.take(Role::Querier);
    let grpc = querier.grpc.clone();
    end(querier, &site, "querier");
    cluster.start_again(Role::Querier, &grpc);
    assert_eq!(count_in(&client.receive().expect("an answer")), rows as f64);
    drop(client);
    // The distributor finishes the pushes it has taken: whatever it answered is there.
    let load = Load::new(0);
    std::thread::scope(|scope| {
        let address = cluster.push_address().to_owned();
        for _ in 0..CONNECTIONS {
            let (load, address) = (&load, address.clone());
            scope.spawn(move || load.push(&address));
        }
        wait_for("pushes are acknowledged", || load.acks() > 100);
        end(cluster.take(Role::Distributor), &site, "distributor");
    });
    assert_eq!(load.refused(), 0, "{:?}", load.last_refusal());
    load.check(&cluster);
    end(cluster.take(Role::Compactor), &site, "compactor");
    let ingester = cluster.take(Role::Ingester(0));
    let grpc = ingester.grpc.clone();
    end(ingester, &site, "ingester");
    cluster.start_again(Role::Ingester(0), &grpc);
    wait_for("queries go on", || cluster.query_range(r#"{app="slow"}"#).status == 200);
    load.check(&cluster);
    assert!(cluster.terminate().success(), "{}", site.log());
}
