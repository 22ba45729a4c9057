//! What the owner's answer means for the push: which rows go, and Loki's words for the client.

use base::{ByteSize, Labels};
use rpc::ingester::{Admission, RejectReason, Rejection};

use crate::distributor::Accepted;
use crate::error::Error;
use crate::metadata::DETECTED_LEVEL;
use crate::problems::{Discards, Reason};
use crate::reduce::Place;
use crate::validate::rfc3339;

/// Rejected entries that are told one by one; the others are counted.
const MAX_TOLD: usize = 10;

/// The rows of a push as the owner was asked for them.
pub(crate) struct Offered<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) accepted: &'a Accepted,
    /// The rows in the order of the request.
    pub(crate) places: &'a [Place],
}

impl Offered<'_> {
    /// The error of the stream that was rejected last (Loki tells one), with what all of them lost
    /// added to `discards`.
    pub(crate) fn error(&self, admission: &Admission, discards: &mut Discards) -> Option<Error> {
        for rejection in &admission.rejected {
            for &(row, reason) in &rejection.rows {
                discards.add(counted_as(reason), 1, self.bytes(row));
            }
        }
        admission.rejected.iter().rev().find_map(|rejection| self.told(rejection))
    }

    fn ts_ns(&self, row: u32) -> i64 {
        let place = self.places[row as usize];
        self.accepted.parts[place.part as usize].1.ts_ns[place.row as usize]
    }

    /// Line and metadata; a detected level is not the client's.
    fn bytes(&self, row: u32) -> u64 {
        let place = self.places[row as usize];
        let rows = &self.accepted.parts[place.part as usize].1;
        let given = rows.metadata.iter().filter(|column| &*column.name != DETECTED_LEVEL);
        let metadata: usize = given
            .filter_map(|column| Some(column.name.len() + column.get(place.row as usize)?.len()))
            .sum();
        (rows.lines.view().length(place.row as usize) + metadata) as u64
    }

    fn told(&self, rejection: &Rejection) -> Option<Error> {
        let &(_, last) = rejection.rows.last()?;
        let labels = &self.accepted.streams[rejection.stream as usize];
        let tenant = self.tenant;
        if last == RejectReason::StreamLimit {
            let text = format!(
                "maximum active stream limit exceeded when trying to create stream {labels}, \
                 reduce the number of active streams (reduce labels or reduce label values), or \
                 contact your Loki administrator to see if the limit can be increased, \
                 user: '{tenant}'"
            );
            return Some(Error::new(429, text));
        }
        let mut text = String::new();
        for &(row, reason) in rejection.rows.iter().take(MAX_TOLD) {
            let ts_ns = self.ts_ns(row);
            text.push_str("entry with timestamp ");
            text.push_str(&go_time(ts_ns));
            text.push_str(" ignored, reason: '");
            text.push_str(&worded(reason, ts_ns, labels));
            text.push_str("',\n");
        }
        let of_stream = |place: &&Place| place.stream == rejection.stream;
        let (rejected, rows) = (rejection.rows.len(), self.places.iter().filter(of_stream).count());
        text.push_str(&format!(
            "user '{tenant}', total ignored: {rejected} out of {rows} for stream: {labels}"
        ));
        let status = if matches!(last, RejectReason::StreamRate { .. }) { 429 } else { 400 };
        Some(Error::new(status, text))
    }
}

fn counted_as(reason: RejectReason) -> Reason {
    match reason {
        RejectReason::TooFarBehind { .. } => Reason::TooFarBehind,
        RejectReason::StreamRate { .. } => Reason::PerStreamRateLimit,
        RejectReason::StreamLimit => Reason::StreamLimit,
    }
}

fn worded(reason: RejectReason, ts_ns: i64, labels: &Labels) -> String {
    match reason {
        RejectReason::TooFarBehind { oldest_ns } => {
            let (ts, oldest) = (rfc3339(ts_ns), rfc3339(oldest_ns));
            format!(
                "entry too far behind, entry timestamp is: {ts}, \
                 oldest acceptable timestamp is: {oldest}"
            )
        }
        RejectReason::StreamRate { limit_bytes, request_bytes } => {
            let (limit, total) = (ByteSize(limit_bytes), ByteSize(request_bytes));
            format!(
                "Per stream rate limit exceeded (limit: {limit}/sec) while attempting to ingest \
                 for stream '{labels}' totaling {total}, consider splitting a stream via \
                 additional labels or contact your Loki administrator to see if the limit can be \
                 increased"
            )
        }
        RejectReason::StreamLimit => "maximum active stream limit exceeded".to_owned(),
    }
}

/// As Go prints a `time.Time` in UTC: `2024-05-01 10:00:00.5 +0000 UTC`.
fn go_time(ts_ns: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(ts_ns);
    let fraction = format!("{:09}", ts_ns.rem_euclid(1_000_000_000));
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{}{dot}{fraction} +0000 UTC", time.format("%Y-%m-%d %H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use base::{Day, RowsBuilder};

    use super::*;

    fn error(rows: Vec<(u32, RejectReason)>) -> (Error, Discards) {
        let mut builder = RowsBuilder::default();
        for row in 0..20 {
            builder.push(0, 1_714_557_600_000_000_000 + row * 500_000_000, b"abc");
        }
        let accepted = Accepted {
            format: crate::Format::Protobuf,
            streams: vec![Labels::from_pairs([("a", "b")])],
            runs: Vec::new(),
            ts_ns: Vec::new(),
            sizes: Vec::new(),
            parts: vec![(Day(0), builder.finish())],
            order: Vec::new(),
        };
        let places: Vec<Place> = (0..20).map(|row| Place { part: 0, row, stream: 0 }).collect();
        let offered = Offered { tenant: "t", accepted: &accepted, places: &places };
        let mut discards = Discards::default();
        let admission = Admission { rejected: vec![Rejection { stream: 0, rows }] };
        (offered.error(&admission, &mut discards).unwrap(), discards)
    }

    #[test]
    fn ten_late_entries_are_told_and_all_are_counted() {
        let late = RejectReason::TooFarBehind { oldest_ns: 1_714_561_000_000_000_000 };
        let (error, discards) = error((0..12).map(|row| (row, late)).collect());
        assert_eq!(error.status, 400);
        let lines: Vec<&str> = error.text.lines().collect();
        assert_eq!(lines.len(), 11);
        assert_eq!(
            lines[1],
            "entry with timestamp 2024-05-01 10:00:00.5 +0000 UTC ignored, reason: 'entry too far \
             behind, entry timestamp is: 2024-05-01T10:00:00Z, oldest acceptable timestamp is: \
             2024-05-01T10:56:40Z',"
        );
        assert_eq!(lines[10], r#"user 't', total ignored: 12 out of 20 for stream: {a="b"}"#);
        let counted: Vec<_> = discards.iter().collect();
        assert_eq!(counted, [(Reason::TooFarBehind, 12, 36)]);
    }

    #[test]
    fn a_stream_over_its_rate_and_a_stream_too_many_may_be_retried() {
        let rate = RejectReason::StreamRate { limit_bytes: 3 << 20, request_bytes: 4 << 20 };
        let (limited, _) = error(vec![(0, rate)]);
        assert_eq!(limited.status, 429);
        assert!(limited.text.contains(
            "reason: 'Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest \
             for stream '{a=\"b\"}' totaling 4MB, consider"
        ));
        let (many, _) = error(vec![(0, RejectReason::StreamLimit)]);
        assert_eq!(many.status, 429);
        assert_eq!(
            many.text,
            "maximum active stream limit exceeded when trying to create stream {a=\"b\"}, reduce \
             the number of active streams (reduce labels or reduce label values), or contact your \
             Loki administrator to see if the limit can be increased, user: 't'"
        );
    }
}
