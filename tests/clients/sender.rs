//! Something that sends the records part by part.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::records::Records;
use crate::server::{Ending, Server};

/// Far above what any part takes on a loaded machine; nothing waits that long but a failing test.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A client, or what stands before it.
pub trait Sender {
    /// Begins to send the next part.
    fn begin(&mut self);
    /// Returns when the part is handed over; whether it is acknowledged is another matter.
    fn wait(&mut self);
}

/// Sends all parts: the server is told to end after the first, and killed after the third.
pub fn through_two_restarts(server: &mut Server, sender: &mut dyn Sender) {
    sender.begin();
    sender.wait();
    for ending in [Ending::Asked, Ending::Killed] {
        let door = server.shut(ending);
        sender.begin();
        door.turn_one_away();
        server.open(door);
        sender.wait();
        sender.begin();
        sender.wait();
    }
}

/// A thread that sends.
pub struct Thread {
    go: SyncSender<()>,
    sent: Receiver<()>,
}

impl Thread {
    /// Calls `send` for each record, in parts.
    pub fn start(records: &Records, mut send: impl FnMut(usize, &str) + Send + 'static) -> Thread {
        let (go, may_go) = sync_channel(1);
        let (done, sent) = sync_channel(1);
        let (parts, lines) = (records.parts(), records.lines().to_vec());
        let work = move || {
            for part in parts {
                if may_go.recv().is_err() {
                    return;
                }
                part.for_each(|n| send(n, &lines[n]));
                if done.send(()).is_err() {
                    return;
                }
            }
        };
        base::task::thread("sends records", work).expect("a thread");
        Thread { go, sent }
    }
}

impl Sender for Thread {
    fn begin(&mut self) {
        self.go.send(()).expect("it sends");
    }

    fn wait(&mut self) {
        self.sent.recv_timeout(PATIENCE).expect("the part is sent");
    }
}
