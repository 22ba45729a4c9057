//! One trace over every process that a request touches, in the collector and in the logs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::harness::{END_NS, Role, START_NS, Shape, Site, body_of};
use crate::http::encode;
use crate::process::wait_for;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Spans by the service that sent them.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_process in request.into_inner().resource_spans {
            let attributes = of_process.resource.unwrap_or_default().attributes;
            let name = attributes.into_iter().find(|pair| pair.key == "service.name");
            let name = match name.and_then(|pair| pair.value?.value) {
                Some(Value::StringValue(name)) => name,
                other => panic!("service.name is {other:?}"),
            };
            let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let mut all = self.0.lock().expect("no panic");
            all.extend(spans.map(|span| (name.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens on a free port until the runtime ends.
    fn start(&self, runtime: &tokio::runtime::Runtime) -> SocketAddr {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("bound");
        let service = TraceServiceServer::new(self.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        let _guard = runtime.enter();
        base::task::spawn(
            "collector",
            server.serve_with_incoming(TcpListenerStream::new(listener)),
        );
        address
    }

    /// The spans of [`TRACE`], by service.
    fn spans(&self) -> BTreeMap<String, Vec<Span>> {
        let mut spans: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for (service, span) in self.0.lock().expect("no panic").iter() {
            if hex(&span.trace_id) == TRACE {
                spans.entry(service.clone()).or_default().push(span.clone());
            }
        }
        spans
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn one_trace_spans_frontend_querier_and_ingester() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let collector = Collector::default();
    let address = collector.start(&runtime);
    let site = Site::new(Shape::Separate)
        .with_env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"))
        .with_env("OTEL_BSP_SCHEDULE_DELAY", "50");
    let cluster = site.start();
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [("Content-Type", "application/json"), ("traceparent", traceparent.as_str())];
    let body = body_of("a", [(START_NS, "line".to_owned())]).to_string();
    let pushed = cluster.post("/loki/api/v1/push", &headers, body.as_bytes());
    assert_eq!(pushed.status, 204, "{}", pushed.text());
    let query = encode(r#"count_over_time({app="a"}[3h])"#);
    let target = format!("/loki/api/v1/query?query={query}&time={END_NS}");
    let answer = cluster.connect().request("GET", &target, &headers, b"").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());

    let services = ["distributor", "ingester", "querier", "query-frontend"];
    let services: BTreeSet<String> =
        services.iter().map(|name| format!("runelog-{name}")).collect();
    // Processes send when they like: a parent after its children, a push before a query.
    wait_for("every process sent its spans of the trace", || {
        let spans = collector.spans();
        services.iter().all(|service| spans.contains_key(service)) && is_whole(&spans)
    });
    // The id stands in the log of whoever logs about the request.
    let level = cluster.process(Role::Frontend).post(
        "/log_level",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        b"log_level=debug",
    );
    assert_eq!(level.status, 200, "{}", level.text());
    cluster.connect().request("GET", &target, &headers, b"").expect("an answer");
    wait_for("the log names the trace", || site.log().contains(&format!("traceID={TRACE}")));
    assert!(cluster.terminate().success());
}

/// Whether every span has its place, from the ingester's part of the query up to the request.
fn is_whole(spans: &BTreeMap<String, Vec<Span>>) -> bool {
    let all: Vec<&Span> = spans.values().flatten().collect();
    let frontend: Vec<&Span> = spans["runelog-query-frontend"].iter().collect();
    let querier: Vec<&Span> = spans["runelog-querier"].iter().collect();
    let above = |span: &Span, of: &[&Span]| ancestors(span, &all).any(|id| holds(of, &id));
    all.iter().all(|span| is_placed(span, &all))
        && querier.iter().any(|span| above(span, &frontend))
        && spans["runelog-ingester"].iter().any(|span| above(span, &querier))
}

fn holds(spans: &[&Span], id: &[u8]) -> bool {
    spans.iter().any(|span| span.span_id == id)
}

/// Whether its parent is another span or the caller's.
fn is_placed(span: &Span, spans: &[&Span]) -> bool {
    hex(&span.parent_span_id) == PARENT || holds(spans, &span.parent_span_id)
}

/// The ids of its parent, the parent's parent and so on.
fn ancestors(span: &Span, spans: &[&Span]) -> impl Iterator<Item = Vec<u8>> {
    let parent = |span: &Span| Some(span.parent_span_id.clone()).filter(|id| !id.is_empty());
    let find = move |id: &Vec<u8>| spans.iter().find(|span| span.span_id == *id).copied();
    std::iter::successors(parent(span), move |id| find(id).and_then(parent))
}
