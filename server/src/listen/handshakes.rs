//! Handshakes of TLS: bounded in time and number, so that clients that say nothing hold nothing.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::shutdown::Shutdown;
use metrics::counter;
use rpc::tls::ServerTls;
use rpc::tls::server_stream::TlsStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Counter {protocol, reason}: handshakes that came to nothing. `reason` is `refused` (by either
/// side), `slow` or `crowded`.
pub const HANDSHAKES_FAILED: &str = "runelog_tls_handshakes_failed_total";

/// A handshake takes two round trips and a millisecond of CPU.
const LIMIT: Duration = Duration::from_secs(10);
/// Handshakes under way at one time: more than a port can do the arithmetic of within [`LIMIT`]
/// would only wait.
const MOST: usize = 1024;

/// What Go's servers, and so Loki, answer to a request in plain text.
const PLAIN: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// The handshakes of one port.
pub struct Handshakes {
    name: &'static str,
    tls: ServerTls,
    queue: Arc<Queue>,
}

/// Those under way, the oldest first.
struct Queue {
    most: usize,
    /// Number and end of each.
    open: Mutex<(u64, VecDeque<(u64, Shutdown)>)>,
}

/// One of them; it leaves when it is dropped.
struct Place {
    queue: Arc<Queue>,
    number: u64,
    evicted: Shutdown,
}

impl Handshakes {
    /// None yet. They may take half of the connections that a port may have, so that those which are
    /// past it never wait for those which are not.
    pub fn new(name: &'static str, tls: ServerTls, connections: usize) -> Handshakes {
        let most = (connections / 2).clamp(1, MOST);
        Handshakes { name, tls, queue: Arc::new(Queue { most, open: Mutex::default() }) }
    }

    /// Begins one; `None` if it comes to nothing. Where there are too many, the one that has taken
    /// longest gives way: whoever means it is through long before.
    pub fn begin(
        &self,
        stream: TcpStream,
        shutdown: Shutdown,
    ) -> impl Future<Output = Option<TlsStream<TcpStream>>> + Send + use<> {
        let (name, tls, place) = (self.name, self.tls.clone(), self.queue.clone().enter());
        async move {
            let handshake = tokio::time::timeout(LIMIT, accept(&tls, stream));
            let (reason, why) = tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                () = place.evicted.cancelled() => ("crowded", "gave way to another".to_owned()),
                ended = handshake => match ended {
                    Ok(Ok(stream)) => return Some(stream),
                    Ok(Err(error)) => ("refused", error.to_string()),
                    Err(_) => ("slow", format!("not done within {LIMIT:?}")),
                },
            };
            counter!(HANDSHAKES_FAILED, "protocol" => name, "reason" => reason).increment(1);
            tracing::debug!(port = name, why, "a handshake of TLS came to nothing");
            None
        }
    }
}

async fn accept(tls: &ServerTls, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // Methods are capitals; the first byte of TLS is none.
    if !first[0].is_ascii_uppercase() {
        return tls.accept(stream).await;
    }
    // What was not read would take the answer with it.
    let _read = stream.read(&mut [0; 4096]).await?;
    stream.write_all(PLAIN).await?;
    stream.shutdown().await?;
    Err(io::Error::other("the client speaks plain text"))
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, (u64, VecDeque<(u64, Shutdown)>)> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: Arc<Self>) -> Place {
        let evicted = Shutdown::new();
        let mut open = self.lock();
        open.0 += 1;
        let number = open.0;
        open.1.push_back((number, evicted.clone()));
        if open.1.len() > self.most
            && let Some((_, oldest)) = open.1.pop_front()
        {
            oldest.cancel();
        }
        drop(open);
        Place { queue: self, number, evicted }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.queue.lock();
        // Numbers ascend.
        if let Ok(at) = open.1.binary_search_by_key(&self.number, |(number, _)| *number) {
            open.1.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_handshake_gives_way_to_one_too_many() {
        let queue = Arc::new(Queue { most: 2, open: Mutex::default() });
        let places: Vec<Place> = (0..3).map(|_| queue.clone().enter()).collect();
        let evicted: Vec<bool> = places.iter().map(|place| place.evicted.is_cancelled()).collect();
        assert_eq!(evicted, [true, false, false]);
        drop(places);
        assert!(queue.lock().1.is_empty());
        let places: Vec<Place> = (0..2).map(|_| queue.clone().enter()).collect();
        assert!(places.iter().all(|place| !place.evicted.is_cancelled()));
    }
}
