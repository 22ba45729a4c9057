//! What goes over a worker's stream.

use proto::{Wire, WireError, v1};

use crate::frontend::Worker;

/// A longer name of a process is refused: it is a metric label and in every log line.
const MAX_QUERIER_BYTES: usize = 256;

impl Wire for Worker {
    type Message = v1::Hello;

    fn to_wire(&self) -> v1::Hello {
        v1::Hello { querier: self.querier.clone() }
    }

    fn from_wire(message: v1::Hello) -> Result<Worker, WireError> {
        let length = message.querier.len();
        proto::ensure!(length <= MAX_QUERIER_BYTES, "Hello", "querier has {length} bytes");
        Ok(Worker { querier: message.querier })
    }
}
