use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::{get, post};
use base::task::JoinHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::*;

/// Far above what any step here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

async fn start(router: Router, limit: u64) -> Running {
    let config = ServerConfig {
        http_listen_address: "127.0.0.1".to_owned(),
        http_listen_port: 0,
        http_listen_conn_limit: limit,
        ..ServerConfig::default()
    };
    let door = Door::http(&config, None).await.unwrap();
    let address = door.address().unwrap();
    let shutdown = Shutdown::new();
    let routes = Routes::new(Router::new());
    routes.open(router);
    let task = task::spawn("test", door.serve(routes, shutdown.clone()));
    Running { address, shutdown, task }
}

async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// Reads one answer whose body is `ok` from a connection that stays open.
async fn read_answer(stream: &mut TcpStream) {
    let mut text = Vec::new();
    while !text.ends_with(b"ok") {
        assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0, "the connection ended");
    }
    assert!(text.starts_with(b"HTTP/1.1 200"));
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("within the test's patience")
}

/// Counts how often a handler was begun and how often its future was dropped before its end.
#[derive(Clone, Default)]
struct Watch {
    begun: Arc<Notify>,
    dropped: Arc<Notify>,
    count: Arc<AtomicUsize>,
}

struct Guard(Watch);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.0.dropped.notify_one();
    }
}

impl Watch {
    async fn hang(self) -> String {
        let _guard = Guard(self.clone());
        self.begun.notify_one();
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_handler() {
    let watch = Watch::default();
    let (one, two) = (watch.clone(), watch.clone());
    let router = Router::new()
        .route("/", get(move || one.hang()))
        .route("/body", post(move |_: String| two.hang()));
    let running = start(router, 0).await;
    let requests = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    ];
    for (index, request) in requests.iter().enumerate() {
        let stream = send(running.address, request).await;
        soon(watch.begun.notified()).await;
        assert_eq!(watch.count.load(Ordering::SeqCst), index, "still running");
        drop(stream);
        soon(watch.dropped.notified()).await;
    }
}

#[tokio::test]
async fn a_stop_lets_open_requests_end_and_closes_idle_connections() {
    let watch = Watch::default();
    let finish = Arc::new(Notify::new());
    let (begun, wait) = (watch.begun.clone(), finish.clone());
    let slow = move || async move {
        begun.notify_one();
        wait.notified().await;
        "done"
    };
    let router = Router::new().route("/slow", get(slow)).route("/", get(async || "ok"));
    let running = start(router, 0).await;
    let mut idle = send(running.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    soon(read_answer(&mut idle)).await;
    let open = send(running.address, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    soon(watch.begun.notified()).await;
    running.shutdown.cancel();
    soon(read_all(idle)).await;
    finish.notify_one();
    let answer = soon(read_all(open)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    soon(running.task).await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn one_connection_serves_many_requests_and_the_limit_makes_others_wait() {
    let seen = Arc::new(Mutex::new(0));
    let count = seen.clone();
    let router = Router::new().route(
        "/",
        get(move || {
            *count.lock().unwrap() += 1;
            std::future::ready("ok")
        }),
    );
    let running = start(router, 1).await;
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut first = send(running.address, request).await;
    soon(read_answer(&mut first)).await;
    let waiting = send(running.address, last).await;
    first.write_all(request.as_bytes()).await.unwrap();
    soon(read_answer(&mut first)).await;
    assert_eq!(*seen.lock().unwrap(), 2, "the second connection is not served yet");
    drop(first);
    let answer = soon(read_all(waiting)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(*seen.lock().unwrap(), 3);
}

#[tokio::test]
async fn until_the_services_run_the_starting_routes_answer() {
    let routes = Routes::new(Router::new().route("/", get(async || "starting")));
    let config = ServerConfig {
        http_listen_address: "127.0.0.1".to_owned(),
        http_listen_port: 0,
        ..ServerConfig::default()
    };
    let door = Door::http(&config, None).await.unwrap();
    let address = door.address().unwrap();
    task::spawn("test", door.serve(routes.clone(), Shutdown::new()));
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(soon(read_all(send(address, request).await)).await.ends_with("starting"));
    routes.open(Router::new().route("/", get(async || "running")));
    assert!(soon(read_all(send(address, request).await)).await.ends_with("running"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let running = start(Router::new(), 0).await;
    let config = ServerConfig {
        http_listen_address: "127.0.0.1".to_owned(),
        http_listen_port: running.address.port(),
        ..ServerConfig::default()
    };
    let error = Door::http(&config, None).await.err().unwrap().to_string();
    assert!(error.contains(&running.address.port().to_string()), "{error}");
}

/// A frame of HTTP/2 on a stream.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test]
async fn cleartext_http_2_is_spoken_with_whoever_begins_with_it() {
    let running = start(Router::new().route("/", get(async || "ok")), 0).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend(frame(4, 0, 0, &[]));
    // GET, http, `/`, and an authority, as HPACK's static table has them.
    let head = [0x82, 0x86, 0x84, 0x41, 1, b'x'];
    for number in [1, 3] {
        request.extend(frame(1, 0x5, number, &head));
    }
    stream.write_all(&request).await.unwrap();
    let data = |stream| [&[0, 0, 2, 0][..], &[1, 0, 0, 0, stream], b"ok"].concat();
    let plain = |stream| [&[0, 0, 2, 0][..], &[0, 0, 0, 0, stream], b"ok"].concat();
    let mut text = Vec::new();
    let has = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|found| found == part);
    while ![1, 3].into_iter().all(|n| has(&text, &data(n)) || has(&text, &plain(n))) {
        assert_ne!(soon(stream.read_buf(&mut text)).await.unwrap(), 0, "the connection ended");
    }
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_cut_and_so_is_one_that_does_not_say_which_protocol() {
    let config = ServerConfig {
        http_listen_address: "127.0.0.1".to_owned(),
        http_listen_port: 0,
        http_server_idle_timeout: Duration::from_millis(50),
        http_server_read_timeout: Duration::from_millis(50),
        ..ServerConfig::default()
    };
    let door = Door::http(&config, None).await.unwrap();
    let address = door.address().unwrap();
    task::spawn("test", door.serve(Routes::new(Router::new()), Shutdown::new()));
    for begun in ["", "PRI * HT", "GET / HTTP/1.1\r\n"] {
        // Reading comes to its end because the other side has closed.
        let mut stream = send(address, begun).await;
        let _ended = soon(stream.read_to_end(&mut Vec::new())).await.is_ok();
    }
}
