//! Clients that push and query all the time, each with its own record of what was acknowledged.
//!
//! A client has one request at a time. What was not acknowledged it sends again, to the other
//! distributor, until it is: so the numbers of its acknowledged lines have no gap, and any line that
//! is there twice, or not, or is not one of them is a fault.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use runelog_tests::http::{Connection, Response, encode};
use runelog_tests::process::wait_for;
use runelog_tests::{END_NS, START_NS};
use serde_json::{Value, json};

use crate::site::Cluster;

const CLIENTS: u64 = 8;
/// Streams of a client; a push has lines of two of them.
const STREAMS: u64 = 6;
const LINES_PER_PUSH: u64 = 20;
/// A client looks at all its rows after so many pushes.
const PUSHES_PER_READ: u64 = 5;
/// A push may be slow; one that takes so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Attempts of one request before a client says that it is never answered.
const MAX_ATTEMPTS: usize = 6_000;

/// What the clients did so far.
pub struct Load {
    distributors: Vec<String>,
    frontends: Vec<String>,
    clients: Vec<Client>,
    stop: AtomicBool,
    /// A test failed: nobody waits for answers any more.
    abandon: AtomicBool,
    wrong: Mutex<Vec<String>>,
    pushes: Refusals,
    reads: Refusals,
}

#[derive(Default)]
struct Client {
    /// Pushes that were acknowledged.
    acks: AtomicU64,
    /// Queries that were answered.
    reads: AtomicU64,
}

/// Answers that were no success.
#[derive(Default)]
pub struct Refusals {
    count: AtomicU64,
    /// Address, status and text of the first few and the last.
    texts: Mutex<Vec<String>>,
}

impl Refusals {
    fn note(&self, address: &str, answer: &Response) {
        self.count.fetch_add(1, SeqCst);
        let mut texts = lock(&self.texts);
        texts.truncate(9);
        texts.push(format!("{address}: {} {}", answer.status, answer.text()));
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }

    /// All came from `address`.
    pub fn assert_all_from(&self, address: &str) {
        let texts = lock(&self.texts);
        assert!(texts.iter().all(|text| text.starts_with(address)), "{address}: {texts:#?}");
    }

    /// All had this status.
    pub fn assert_all(&self, status: &str) {
        let texts = lock(&self.texts);
        let has = |text: &String| text.split(' ').nth(1) == Some(status);
        assert!(texts.iter().all(has), "{status}: {texts:#?}");
    }

    /// The last one.
    pub fn last(&self) -> String {
        lock(&self.texts).last().cloned().unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic")
}

/// One of several addresses, and the connection to it.
struct Door<'a> {
    addresses: &'a [String],
    at: usize,
    connection: Option<Connection>,
}

impl Door<'_> {
    fn address(&self) -> &str {
        &self.addresses[self.at]
    }

    fn next(&mut self) {
        self.connection = None;
        self.at = (self.at + 1) % self.addresses.len();
    }

    fn request(&mut self, method: &str, target: &str, body: &[u8]) -> std::io::Result<Response> {
        if self.connection.is_none() {
            let mut connection = Connection::open(self.address())?;
            connection.give_up_after(PATIENCE)?;
            self.connection = Some(connection);
        }
        let connection = self.connection.as_mut().expect("just made");
        connection.request(method, target, &[("Content-Type", "application/json")], body)
    }
}

/// Time of a line, and its text.
fn line_of(client: u64, number: u64) -> (i64, String) {
    let ts_ns = START_NS + (number * CLIENTS + client) as i64 * 1_000;
    (ts_ns, format!("client={client} line={number} path=/api/v1/things status=200"))
}

/// Which stream a line is of.
fn stream_of(number: u64) -> u64 {
    let push = number / LINES_PER_PUSH;
    (push * 2 + number % 2) % STREAMS
}

fn body_of(client: u64, push: u64) -> Value {
    let numbers = push * LINES_PER_PUSH..(push + 1) * LINES_PER_PUSH;
    let streams = [0, 1].map(|half| {
        let numbers = numbers.clone().filter(|number| number % 2 == half);
        let values: Vec<Value> = numbers
            .clone()
            .map(|number| line_of(client, number))
            .map(|(ts_ns, line)| json!([ts_ns.to_string(), line]))
            .collect();
        let stream = stream_of(push * LINES_PER_PUSH + half);
        let labels = json!({"client": client.to_string(), "stream": stream.to_string()});
        json!({"stream": labels, "values": values})
    });
    json!({"streams": streams})
}

/// Says stop when the scope of the clients ends, however it ends.
struct Stop<'a>(&'a Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.abandon.store(std::thread::panicking(), SeqCst);
        self.0.stop.store(true, SeqCst);
    }
}

/// Does `work` while clients push and query, then compares all that is there with their records.
pub fn under_load(cluster: &mut Cluster, work: impl FnOnce(&mut Cluster, &Load)) -> Load {
    let load = Load {
        distributors: cluster.distributors(),
        frontends: cluster.frontends(),
        clients: (0..CLIENTS).map(|_| Client::default()).collect(),
        stop: AtomicBool::new(false),
        abandon: AtomicBool::new(false),
        wrong: Mutex::default(),
        pushes: Refusals::default(),
        reads: Refusals::default(),
    };
    std::thread::scope(|scope| {
        let stop = Stop(&load);
        for client in 0..CLIENTS {
            let load = &load;
            scope.spawn(move || load.run(client));
        }
        load.make_progress(2);
        work(cluster, &load);
        load.make_progress(2);
        drop(stop);
    });
    load.assert_nothing_wrong();
    load.check(cluster);
    cluster.flush();
    load.check(cluster);
    load
}

impl Load {
    /// Pushes that were not acknowledged though somebody answered.
    pub fn refused_pushes(&self) -> &Refusals {
        &self.pushes
    }

    /// Queries that were answered by an error.
    pub fn refused_reads(&self) -> &Refusals {
        &self.reads
    }

    /// Nobody noticed anything.
    pub fn assert_none_refused(&self) {
        let (pushes, reads) = (lock(&self.pushes.texts), lock(&self.reads.texts));
        assert!(pushes.is_empty(), "{} pushes refused: {pushes:#?}", self.pushes.count());
        assert!(reads.is_empty(), "{} queries refused: {reads:#?}", self.reads.count());
    }

    fn assert_nothing_wrong(&self) {
        let wrong = lock(&self.wrong);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// Waits until a condition holds, or a client has seen something that must not be.
    pub fn wait_for(&self, what: &str, mut condition: impl FnMut() -> bool) {
        wait_for(what, || {
            self.assert_nothing_wrong();
            condition()
        });
    }

    /// Waits until every client has so many more acknowledged pushes, and a query.
    pub fn make_progress(&self, pushes: u64) {
        let count = |client: &Client| (client.acks.load(SeqCst), client.reads.load(SeqCst));
        let before: Vec<(u64, u64)> = self.clients.iter().map(count).collect();
        self.wait_for("all clients get on", || {
            self.clients.iter().zip(&before).all(|(client, before)| {
                let now = count(client);
                now.0 >= before.0 + pushes && now.1 > before.1
            })
        });
    }

    fn run(&self, client: u64) {
        let door = |addresses| Door { addresses, at: client as usize % 2, connection: None };
        let (mut push, mut read) = (door(&self.distributors), door(&self.frontends));
        let own = &self.clients[client as usize];
        while !self.stop.load(SeqCst) {
            let number = own.acks.load(SeqCst);
            let body = body_of(client, number).to_string();
            let sent = self.insist(&mut push, &self.pushes, 204, |door| {
                door.request("POST", "/loki/api/v1/push", body.as_bytes())
            });
            if sent.is_none() {
                return;
            }
            own.acks.store(number + 1, SeqCst);
            if number.is_multiple_of(PUSHES_PER_READ) && !self.look(client, &mut read) {
                return;
            }
        }
    }

    /// Whether a query sees exactly what was acknowledged to this client.
    fn look(&self, client: u64, door: &mut Door) -> bool {
        let query = encode(&format!("sum(count_over_time({{client=\"{client}\"}}[3h]))"));
        let target = format!("/loki/api/v1/query?query={query}&time={END_NS}");
        let answer = self.insist(door, &self.reads, 200, |door| door.request("GET", &target, b""));
        let Some(answer) = answer else { return false };
        let value = answer.json()["data"]["result"][0]["value"][1].clone();
        let own = &self.clients[client as usize];
        let expected = (own.acks.load(SeqCst) * LINES_PER_PUSH).to_string();
        if value != expected {
            let from = door.address();
            self.wrong(format!("client {client} has {expected} lines, {from} says {value}"));
            return false;
        }
        own.reads.fetch_add(1, SeqCst);
        true
    }

    /// Asks, at one address after the other, until the answer has this status; `None` when nobody
    /// waits for it any more.
    fn insist<'a>(
        &self,
        door: &mut Door<'a>,
        refusals: &Refusals,
        wanted: u16,
        ask: impl Fn(&mut Door<'a>) -> std::io::Result<Response>,
    ) -> Option<Response> {
        for _ in 0..MAX_ATTEMPTS {
            if self.abandon.load(SeqCst) {
                return None;
            }
            match ask(door) {
                Ok(answer) if answer.status == wanted => return Some(answer),
                Ok(answer) => refusals.note(door.address(), &answer),
                // Patience had an end: no answer is no success either.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.wrong(format!("{} does not answer", door.address()));
                    return None;
                }
                // It was killed, or is not there.
                Err(_) => {}
            }
            door.next();
            std::thread::sleep(Duration::from_millis(20));
        }
        self.wrong(format!("never answered by {wanted}: {}", refusals.last()));
        None
    }

    fn wrong(&self, what: String) {
        lock(&self.wrong).push(what);
    }

    /// Every frontend shows what was acknowledged, once, in its order, and nothing else.
    fn check(&self, cluster: &Cluster) {
        for address in cluster.frontends() {
            let mut connection = Connection::open(&address).expect("connect");
            let mut get = |target: &str| {
                let answer = connection.request("GET", target, &[], b"").expect("an answer");
                assert_eq!(answer.status, 200, "{address}: {}", answer.text());
                answer.json()
            };
            let mut total = 0;
            for client in 0..CLIENTS {
                let lines = self.clients[client as usize].acks.load(SeqCst) * LINES_PER_PUSH;
                total += lines;
                for stream in 0..STREAMS {
                    let query = format!("{{client=\"{client}\",stream=\"{stream}\"}}");
                    let found = lines_in(&get(&range(&query)));
                    let expected = (0..lines).filter(|&number| stream_of(number) == stream);
                    let expected: Vec<String> = expected.map(|n| line_of(client, n).1).collect();
                    compare(&format!("{query} of {address}"), &found, &expected);
                }
            }
            let query = encode(r#"sum(count_over_time({client=~".+"}[3h]))"#);
            let count = get(&format!("/loki/api/v1/query?query={query}&time={END_NS}"));
            assert_eq!(count["data"]["result"][0]["value"][1], total.to_string(), "{address}");
        }
    }
}

fn range(query: &str) -> String {
    let query = encode(query);
    format!(
        "/loki/api/v1/query_range?query={query}&start={START_NS}&end={END_NS}&limit=1000000&\
         direction=forward"
    )
}

fn lines_in(answer: &Value) -> Vec<String> {
    let streams = answer["data"]["result"].as_array().expect("a result");
    let values = streams.iter().flat_map(|stream| stream["values"].as_array().expect("values"));
    values.map(|value| value[1].as_str().expect("a line").to_owned()).collect()
}

/// The first difference fails the test.
fn compare(what: &str, found: &[String], expected: &[String]) {
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "{what}: line {at}");
    }
    assert_eq!(found.len(), expected.len(), "{what}: the count of lines");
}
