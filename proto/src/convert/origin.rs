//! A leaf of a plan as it travels.

use base::UnixNanos;
use logql::plan::{Direction, Origin, Params, Shard, TimeRange};

use super::{Wire, required};
use crate::columns::{TextList, texts};
use crate::error::WireError;
use crate::v1;

const MESSAGE: &str = "Origin";

impl Wire for Origin {
    type Message = v1::Origin;

    fn to_wire(&self) -> v1::Origin {
        v1::Origin {
            query: self.query.to_string(),
            params: Some(self.params.to_wire()),
            leaf: self.leaf,
            from_ns: self.range.from_ns,
            to_ns: self.range.to_ns,
            shard_index: self.shard.index,
            shard_of: self.shard.of,
            of_streams: self.of_streams,
            patterns: (!self.patterns.is_empty())
                .then(|| texts(self.patterns.iter().map(String::as_str))),
        }
    }

    /// The query itself is checked where it is planned.
    fn from_wire(message: v1::Origin) -> Result<Origin, WireError> {
        let shard = Shard { index: message.shard_index, of: message.shard_of };
        let is_one = shard.index < shard.of;
        ensure!(is_one, MESSAGE, "shard {} of {}", shard.index, shard.of);
        let patterns = TextList::new(MESSAGE, "patterns", message.patterns.as_ref())?;
        Ok(Origin {
            query: message.query.into(),
            params: Params::from_wire(required(MESSAGE, "params", message.params)?)?,
            leaf: message.leaf,
            range: TimeRange { from_ns: message.from_ns, to_ns: message.to_ns },
            shard,
            of_streams: message.of_streams,
            patterns: patterns.iter().map(str::to_owned).collect(),
        })
    }
}

impl Wire for Params {
    type Message = v1::Params;

    fn to_wire(&self) -> v1::Params {
        let direction = match self.direction {
            Direction::Forward => v1::Direction::Forward,
            Direction::Backward => v1::Direction::Backward,
        };
        v1::Params {
            start_ns: self.start.0,
            end_ns: self.end.0,
            step_ns: self.step_ns,
            interval_ns: self.interval_ns,
            limit: self.limit as u64,
            direction: direction.into(),
            max_series: self.max_series as u64,
            max_memory_bytes: self.max_memory_bytes,
            categorize: self.categorize,
            now_ns: self.now.0,
        }
    }

    fn from_wire(message: v1::Params) -> Result<Params, WireError> {
        let direction = match message.direction() {
            v1::Direction::Forward => Direction::Forward,
            v1::Direction::Backward => Direction::Backward,
            v1::Direction::Unspecified => {
                return Err(WireError::new("Params", "direction is missing"));
            }
        };
        ensure!(message.step_ns >= 0, "Params", "step {} is negative", message.step_ns);
        ensure!(message.interval_ns >= 0, "Params", "interval {} is negative", message.interval_ns);
        Ok(Params {
            start: UnixNanos(message.start_ns),
            end: UnixNanos(message.end_ns),
            step_ns: message.step_ns,
            interval_ns: message.interval_ns,
            limit: message.limit as usize,
            direction,
            max_series: message.max_series as usize,
            max_memory_bytes: message.max_memory_bytes,
            categorize: message.categorize,
            now: UnixNanos(message.now_ns),
        })
    }
}
