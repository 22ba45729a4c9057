//! Calls over loopback TCP, through a relay that a test can cut or silence.

mod calls;
mod ring;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::shutdown::Shutdown;
use base::task;
use base::time::SystemClock;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::DropGuard;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use super::{ClientConfig, MessageLimits, Serving};

/// Runs `routes` until the guard is dropped.
async fn serve(routes: Routes) -> (SocketAddr, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Shutdown::new();
    let stopped = stop.clone();
    task::spawn("server", async move {
        let mut server = tonic::transport::Server::builder();
        let served = server
            .add_routes(routes)
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped.cancelled_owned());
        served.await.unwrap();
    });
    (address, stop.drop_guard())
}

fn serving(limits: MessageLimits) -> Serving {
    Serving { limits, clock: Arc::new(SystemClock) }
}

/// No deadline that a slow machine could hit.
fn patient() -> ClientConfig {
    ClientConfig {
        remote_timeout: Duration::from_secs(300),
        query_timeout: Duration::from_secs(300),
        connect_timeout: Duration::from_secs(60),
        backoff_min: Duration::from_millis(1),
        ..ClientConfig::default()
    }
}

/// Passes connections on.
#[derive(Default)]
struct Relay {
    /// Connections so far.
    connections: AtomicU64,
    /// This many connections are closed at once instead.
    refuse: AtomicU64,
    cut: std::sync::Mutex<Shutdown>,
    silence: Shutdown,
}

impl Relay {
    async fn start(to: SocketAddr) -> (String, Arc<Relay>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let relay = Arc::new(Relay::default());
        let shared = relay.clone();
        task::spawn("relay", async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let refuse = shared
                    .refuse
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                if refuse.is_ok() {
                    continue;
                }
                let cut = shared.cut.lock().unwrap().clone();
                let silence = shared.silence.clone();
                task::spawn("relayed", async move {
                    let mut far = TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => return,
                        () = cut.cancelled() => return,
                        () = silence.cancelled() => {}
                    }
                    // Open, and dumb.
                    cut.cancelled().await;
                });
            }
        });
        (address, relay)
    }

    /// Closes all connections; new ones work.
    fn cut(&self) {
        std::mem::take(&mut *self.cut.lock().unwrap()).cancel();
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}
