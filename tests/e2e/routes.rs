//! Every route of the server with wrong methods, wrong types, broken bodies and random bytes: an
//! answer each time, never a crash, never a 5xx that says that something broke.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};

use crate::harness::{START_NS, Shape, Site};

/// Folders whose routers are merged into one.
const CRATES: [&str; 6] =
    ["server", "rpc", "distributor", "ingester", "query-frontend", "compactor"];

/// The route that ends the process; it comes last.
const SHUTDOWN: &str = "/ingester/shutdown";

/// Answers with 500 as Loki does: there is no `shutdown_marker_path`.
const NAMED_500: &str = "/ingester/prepare_shutdown";

const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"];

const TYPES: [&str; 7] = [
    "application/json",
    "application/x-protobuf",
    "application/x-www-form-urlencoded",
    "application/json; charset=nonsense; =",
    "text/plain",
    "multipart/form-data",
    "/",
];

const ENCODINGS: [&str; 7] = ["gzip", "deflate", "snappy", "zstd", "lz4", "br", "gzip, gzip"];

const QUERIES: [&str; 12] = [
    "",
    "query=%7B",
    "query=%7Bapp%3D%22a%22%7D&start=-1&end=99999999999999999999",
    "query=rate(%7Bapp%3D%22a%22%7D%5B5m%5D)&step=0&start=NaN&end=1e400",
    "query=%7Bapp%3D%22a%22%7D&limit=18446744073709551616&direction=sideways",
    "query=%7Bapp%3D%22a%22%7D&limit=-1&delay_for=999&line_limit=x&interval=-5s",
    "query=1%2B1&time=4000000000&step=1ns&start=0&end=9223372036854775807",
    "%zz=%&&;=&\u{7f}",
    "match[]=%7B%7D&match[]=nonsense&match=%7Ba%3D~%22(%22%7D",
    "mode=%00&targetLabels=%ff&aggregateBy=nothing&since=-1h",
    "query=%7Bapp%3D~%22(a%7Cb%7C%22%7D%20%7C%20json%20%7C%20line_format%20%22%7B%7B%22",
    "query=sum(count_over_time(%7Bapp%3D%22hostile%22%7D%5B1000000y%5D))",
];

/// A generator with a state of its own (xorshift): the same requests in every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Sources of the routers, by path.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut folders: Vec<PathBuf> = CRATES.iter().map(|name| root.join(name).join("src")).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("one"))
        {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs") && !["tests.rs", "testing.rs"].contains(&name.as_str())
            {
                let text = std::fs::read_to_string(&path).expect("text");
                // What stands behind is a test.
                let text =
                    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or("").to_owned();
                found.push((path, text));
            }
        }
    }
    found
}

/// The text between the first two quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').nth(1).into_iter()
}

/// Every path that is given to a router. A route whose path is not written where it is added is
/// found by the constant or the loop that it comes from; one that is neither fails here.
fn routes() -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    for (path, text) in sources() {
        for added in text.split(".route(").skip(1) {
            let first = added.split([',', ')']).next().unwrap_or_default().trim();
            let found: Vec<String> = match first {
                literal if literal.starts_with('"') => quoted(literal).map(str::to_owned).collect(),
                "EXPORT" => constant(&text, "const EXPORT"),
                "path" => constant(&text, "const PATHS"),
                "prefix" => constant(&text, "for prefix in"),
                joined if joined.starts_with("&format!(\"{prefix}") => {
                    let plain = |text: &str| text.replace("{{", "{").replace("}}", "}");
                    let rest: String =
                        quoted(joined).map(|text| plain(&text.replace("{prefix}", ""))).collect();
                    let prefixes = constant(&text, "for prefix in").into_iter();
                    prefixes.map(|prefix| format!("{prefix}{rest}")).collect()
                }
                other => panic!("{}: a route whose path is {other}", path.display()),
            };
            assert!(!found.is_empty(), "{}: {first}", path.display());
            routes.extend(found);
        }
    }
    routes
}

/// The paths in a constant or in the list of a loop.
fn constant(text: &str, name: &str) -> Vec<String> {
    let (_, value) = text.split_once(name).unwrap_or_else(|| panic!("{name}"));
    let value = value.split(';').find(|part| part.contains('"')).unwrap_or_default();
    let paths = value.split('"').skip(1).step_by(2).filter(|path| path.starts_with('/'));
    paths.map(str::to_owned).collect()
}

/// Sends bytes, closes its side if it `leaves`, reads all that comes. `None`: there was no answer.
fn ask(address: &str, head: &str, body: &[u8], leaves: bool) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    // The answer may come, and the connection end, before everything is sent.
    let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).is_ok();
    if leaves {
        let _closed = stream.shutdown(Shutdown::Write).is_ok();
    }
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer).is_ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, answer))
}

struct Hostile<'a> {
    address: &'a str,
    random: Seeded,
    asked: usize,
}

impl Hostile<'_> {
    /// One request; `length` is what it says of its body.
    fn request(&mut self, method: &str, target: &str, headers: &str, body: &[u8], length: usize) {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             X-Scope-OrgID: hostile\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        self.asked += 1;
        let Some((status, answer)) = ask(self.address, &head, body, length > body.len()) else {
            // Whoever promises more than he sends gets no answer; everybody else does.
            assert!(length > body.len(), "no answer to {head}");
            return;
        };
        let named = status == 500 && target.starts_with(NAMED_500);
        let allowed = status < 500 || [501, 503, 504].contains(&status) || named;
        assert!(allowed, "{head}{answer:.400}");
    }

    /// A body that is wrong in one of many ways.
    fn body(&mut self) -> Vec<u8> {
        let valid = format!(
            r#"{{"streams":[{{"stream":{{"app":"x"}},"values":[["{START_NS}","a line"]]}}]}}"#
        );
        match self.random.below(9) {
            0 => Vec::new(),
            1 => b"{".repeat(1 + self.random.below(50_000)),
            2 => valid.as_bytes()[..self.random.below(valid.len())].to_vec(),
            3 => {
                let mut bytes = snap(valid.as_bytes());
                let at = self.random.below(bytes.len());
                bytes[at] ^= 1 << self.random.below(8);
                bytes
            }
            4 => {
                let bytes = gzip(valid.as_bytes());
                bytes[..self.random.below(bytes.len())].to_vec()
            }
            5 => format!("query=%7B&limit=x&{}=%", "a".repeat(self.random.below(9_000))).into(),
            6 => vec![0; self.random.below(1 << 20)],
            7 => QUERIES[self.random.below(QUERIES.len())].as_bytes().to_vec(),
            _ => self.random.bytes(4_096),
        }
    }

    /// What is asked of one route.
    fn visit(&mut self, path: &str, methods: &[&str]) {
        for method in methods {
            self.request(method, path, "", b"", 0);
        }
        for _ in 0..48 {
            let method = methods[self.random.below(methods.len())];
            let query = QUERIES[self.random.below(QUERIES.len())];
            let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
            let mut headers = String::new();
            if self.random.below(4) > 0 {
                let kind = TYPES[self.random.below(TYPES.len())];
                headers.push_str(&format!("Content-Type: {kind}\r\n"));
            }
            if self.random.below(3) == 0 {
                let encoding = ENCODINGS[self.random.below(ENCODINGS.len())];
                headers.push_str(&format!("Content-Encoding: {encoding}\r\n"));
            }
            if self.random.below(3) == 0 {
                headers.push_str("Accept: application/vnd.google.protobuf\r\n");
                headers.push_str("X-Loki-Response-Encoding-Flags: categorize-labels,,\r\n");
                headers.push_str("If-Match: \"x\r\nUpgrade: websocket\r\n");
            }
            let body = self.body();
            let missing = if self.random.below(8) == 0 { 1 + self.random.below(1_000) } else { 0 };
            self.request(method, &target, &headers, &body, body.len() + missing);
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

fn snap(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("in memory")
}

#[test]
fn every_route_answers_what_is_wrong_and_lives() {
    let routes = routes();
    for known in ["/ready", "/ring", "/loki/api/v1/push", "/loki/api/v1/tail", SHUTDOWN] {
        assert!(routes.contains(known), "{known} is not in {routes:?}");
    }
    assert!(routes.len() > 35, "{routes:?}");
    let site = Site::new(Shape::One);
    let server = site.start();
    server.push_lines("good", [(START_NS, "before".to_owned())]);
    let address = server.push_address().to_owned();
    let random = Seeded(0x05ee_d0fa_110f_7e57);
    let mut hostile = Hostile { address: &address, random, asked: 0 };
    // Paths that are none, and what a path may hold.
    let strange = ["/", "/nothing", "//ready", "/%00", "/loki/api/v1/label/%ff%fe/values", "*"];
    for path in routes.iter().map(String::as_str).chain(strange) {
        if path == SHUTDOWN {
            let harmless: Vec<&str> = METHODS[3..].to_vec();
            hostile.visit(path, &harmless);
            continue;
        }
        let steps =
            path.split('/').map(|step| if step.starts_with('{') { "hostile" } else { step });
        hostile.visit(&steps.collect::<Vec<&str>>().join("/"), &METHODS);
    }
    assert!(hostile.asked > 35 * 50, "{}", hostile.asked);
    // No HTTP at all, on both ports.
    let grpc = &server.process(crate::harness::Role::All).grpc;
    for number in 0..64 {
        let bytes = hostile.random.bytes(2_048);
        ask(if number % 2 == 0 { &address } else { grpc }, "", &bytes, true);
        ask(grpc, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &bytes, true);
    }
    assert_eq!(server.metric("loki_panic_total").unwrap_or(0.0), 0.0, "{}", site.log());
    assert!(!site.log().contains("panicked"), "{}", site.log());
    assert_eq!(server.lines(r#"{app="good"}"#), ["before"]);
    // The route that ends the process does so whatever comes with it.
    let body = hostile.random.bytes(512);
    let ended = server.post(SHUTDOWN, &[("Content-Type", TYPES[3])], &body);
    assert_eq!(ended.status, 204, "{}", ended.text());
    assert!(server.wait().success());
}
