//! Tenants: what one has pushed no other sees, by no route; who may ask for several sees all of them.

use serde_json::json;

use crate::harness::{Cluster, END_NS, START_NS, Shape, Site, in_one_and_in_separate_processes};
use crate::http::{Response, encode};

in_one_and_in_separate_processes!(
    no_route_shows_a_tenant_what_another_has_pushed,
    a_query_over_tenants_says_whose_its_streams_are,
);

const TENANTS: [&str; 2] = ["left", "right"];
const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// Every route that answers with something of a tenant, with parameters that select all of it. The
/// flag: the answer holds text that was pushed.
const ROUTES: [(&str, &str, bool); 19] = [
    ("/loki/api/v1/query_range", "query={app=~\".+\"}", true),
    ("/loki/api/v1/query_range", "query=count_over_time({app=~\".+\"}[2h])&step=3600", true),
    ("/loki/api/v1/query", "query=count_over_time({app=~\".+\"}[2h])", true),
    ("/loki/api/v1/query", "query=sum(rate({app=~\".+\"} |= \"of\" [2h]))", false),
    ("/loki/api/v1/labels", "", false),
    ("/loki/api/v1/label", "query={app=~\".+\"}", false),
    ("/loki/api/v1/label/app/values", "", true),
    ("/loki/api/v1/series", "match[]={app=~\".+\"}", true),
    ("/loki/api/v1/index/stats", "query={app=~\".+\"}", false),
    ("/loki/api/v1/index/shards", "query={app=~\".+\"}&targetBytesPerShard=1KB", false),
    ("/loki/api/v1/index/volume", "query={app=~\".+\"}", true),
    ("/loki/api/v1/index/volume_range", "query={app=~\".+\"}&step=3600", true),
    ("/loki/api/v1/detected_labels", "query={app=~\".+\"}", false),
    ("/loki/api/v1/detected_fields", "query={app=~\".+\"}", true),
    ("/loki/api/v1/detected_field/owner/values", "query={app=~\".+\"}", true),
    ("/api/prom/query", "query={app=~\".+\"}", true),
    ("/api/prom/label", "", false),
    ("/api/prom/label/app/values", "", true),
    ("/api/prom/series", "match={app=~\".+\"}", true),
];

fn push(cluster: &Cluster<'_>, tenant: &str, lines: usize) {
    let values: Vec<serde_json::Value> = (0..lines)
        .map(|n| {
            let ts_ns = (START_NS + 1 + n as i64).to_string();
            json!([ts_ns, format!("line of {tenant}"), {"owner": format!("meta-{tenant}"), tenant: "x"}])
        })
        .collect();
    let stream = json!({"app": format!("app-{tenant}"), "both": "b"});
    let body = json!({"streams": [{"stream": stream, "values": values}]}).to_string();
    let headers = [JSON, ("X-Scope-OrgID", tenant)];
    let response = cluster.post("/loki/api/v1/push", &headers, body.as_bytes());
    assert_eq!(response.status, 204, "{}", response.text());
}

/// The parameters with the test's two hours, encoded.
fn parameters(text: &str) -> String {
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').expect("a pair");
        format!("{}={}&", encode(name), encode(value))
    });
    format!("{}start={START_NS}&end={END_NS}&time={END_NS}", pairs.collect::<String>())
}

fn get(cluster: &Cluster<'_>, tenant: Option<&str>, path: &str, text: &str) -> Response {
    let target = format!("{path}?{}", parameters(text));
    let header = tenant.map(|tenant| ("X-Scope-OrgID", tenant));
    let headers: Vec<(&str, &str)> = header.into_iter().collect();
    cluster.connect().request("GET", &target, &headers, b"").expect("an answer")
}

fn post(cluster: &Cluster<'_>, tenant: &str, path: &str, text: &str) -> Response {
    let headers = [FORM, ("X-Scope-OrgID", tenant)];
    cluster
        .connect()
        .request("POST", path, &headers, parameters(text).as_bytes())
        .expect("an answer")
}

fn no_route_shows_a_tenant_what_another_has_pushed(shape: Shape) {
    let site = Site::new(shape).with_tenants();
    let cluster = site.start();
    for (at, tenant) in TENANTS.iter().enumerate() {
        push(&cluster, tenant, 3 + at);
    }
    // In memory, then in parts.
    for _ in 0..2 {
        for (own, other) in [("left", "right"), ("right", "left")] {
            for (path, text, shows) in ROUTES {
                for response in
                    [get(&cluster, Some(own), path, text), post(&cluster, own, path, text)]
                {
                    let body = response.text();
                    assert_eq!(response.status, 200, "{path} {body}");
                    assert!(!body.contains(other), "{path} of {own}: {body}");
                    assert!(!shows || body.contains(own), "{path} of {own}: {body}");
                }
            }
            let lines = if own == "left" { 3 } else { 4 };
            let stats = get(&cluster, Some(own), "/loki/api/v1/index/stats", "query={both=\"b\"}");
            assert_eq!(stats.json()["entries"], lines, "{own}");
        }
        for (path, text, _) in ROUTES {
            let nobody = get(&cluster, None, path, text);
            assert_eq!((nobody.status, nobody.text().trim()), (401, "no org id"), "{path}");
            let stranger = get(&cluster, Some("stranger"), path, text).text();
            assert!(!TENANTS.iter().any(|tenant| stranger.contains(tenant)), "{path} {stranger}");
        }
        cluster.flush();
    }
}

fn a_query_over_tenants_says_whose_its_streams_are(shape: Shape) {
    let site = Site::new(shape).with_tenants();
    let cluster = site.start();
    push(&cluster, "left", 3);
    cluster.flush();
    push(&cluster, "right", 4);
    let both = Some("right|left|right");
    for (path, text, shows) in ROUTES {
        let response = get(&cluster, both, path, text);
        let body = response.text();
        assert_eq!(response.status, 200, "{path} {body}");
        let whole = TENANTS.iter().all(|tenant| body.contains(tenant));
        assert!(!shows || whole, "{path}: {body}");
    }
    let count = |query: &str| {
        let answer = get(&cluster, both, "/loki/api/v1/query", &format!("query={query}")).json();
        answer["data"]["result"].as_array().expect("a vector").clone()
    };
    let whole = count("sum(count_over_time({both=\"b\"}[2h]))");
    assert_eq!(whole[0]["value"][1], "7");
    let each = count("sum by (__tenant_id__) (count_over_time({both=\"b\"}[2h]))");
    assert_eq!(
        (each[0]["metric"].clone(), each[0]["value"][1].clone()),
        (json!({"__tenant_id__": "left"}), json!("3"))
    );
    assert_eq!(each.len(), 2);
    let one = count("sum(count_over_time({both=\"b\", __tenant_id__!~\"le.*\"}[2h]))");
    assert_eq!(one[0]["value"][1], "4");
    let names = get(&cluster, both, "/loki/api/v1/label/__tenant_id__/values", "").json();
    assert_eq!(names["data"], json!(TENANTS));
    // A push has one owner.
    let headers = [JSON, ("X-Scope-OrgID", "left|right")];
    let refused = cluster.post("/loki/api/v1/push", &headers, b"{\"streams\":[]}");
    assert_eq!((refused.status, refused.text().trim()), (400, "multiple org IDs present"));
}
