//! Candidates of a log query as columns.

use super::{
    PortableEntries, PortableError, check_lengths, check_strings, read_labels, write_labels,
};
use crate::engine::entries::{Entries, METADATA_MAX, NewRow};
use crate::engine::overlap::{MetadataPairs, encoded_metadata, row_hash};
use crate::plan::Leaf;
use crate::plan::leaf::LogLeaf;

pub(super) fn write(entries: &Entries) -> PortableEntries {
    let streams = write_labels(entries.streams().iter());
    let mut out = PortableEntries { streams, ..PortableEntries::default() };
    for row in entries.rows() {
        let (metadata, line) = entries.text(row);
        out.ts_ns.push(row.ts_ns);
        out.stream.push(row.stream);
        out.order.push(row.order);
        out.row.push(row.row);
        out.lines.push(line);
        let before = out.metadata.len();
        for (name, value) in MetadataPairs(metadata) {
            out.metadata.push(name.as_bytes());
            out.metadata.push(value);
        }
        out.metadata_lengths.push(((out.metadata.len() - before) / 2) as u32);
    }
    out
}

pub(super) fn read(
    leaf: &Leaf,
    log: &LogLeaf,
    columns: &PortableEntries,
) -> Result<Entries, PortableError> {
    let PortableEntries { ts_ns, stream, order, row, lines, metadata_lengths, metadata, .. } =
        columns;
    check_strings(lines)?;
    check_strings(metadata)?;
    let lengths = [stream.len(), order.len(), row.len(), lines.len(), metadata_lengths.len()];
    check_lengths(&lengths, ts_ns.len())?;
    let pairs = metadata_lengths.iter().map(|&length| length as usize).sum::<usize>();
    if pairs.checked_mul(2) != Some(metadata.len()) {
        return Err(PortableError::Malformed("lengths of metadata"));
    }
    let mut entries = Entries::new(log);
    let mut streams = Vec::new();
    for labels in read_labels(&columns.streams)? {
        if !leaf.selects(&labels) {
            return Err(PortableError::Malformed("a stream that is not selected"));
        }
        streams.push(entries.stream(&labels));
    }
    let range = leaf.range();
    let mut at = 0;
    let mut encoded = Vec::new();
    for index in 0..ts_ns.len() {
        let to = at + metadata_lengths[index] as usize * 2;
        let pairs = read_pairs(columns, at, to)?;
        at = to;
        if ts_ns[index] < range.from_ns || ts_ns[index] >= range.to_ns {
            return Err(PortableError::Malformed("a row out of the time range"));
        }
        let Some(&stream) = streams.get(stream[index] as usize) else {
            return Err(PortableError::Malformed("a row without stream"));
        };
        // The hash is made anew: it is the row's, whatever the sender may think.
        let line = lines.get(index);
        let hash = row_hash(line, pairs.into_iter(), &mut encoded);
        entries.add(NewRow {
            ts_ns: ts_ns[index],
            stream,
            order: order[index],
            row: row[index],
            hash,
            rendered: false,
            metadata: encoded_metadata(&encoded),
            line,
        })?;
    }
    entries.settle()?;
    Ok(entries)
}

/// The metadata strings `from..to`: pairs whose names are text and ascend.
fn read_pairs(
    columns: &PortableEntries,
    from: usize,
    to: usize,
) -> Result<Vec<(&str, &[u8])>, PortableError> {
    let malformed = PortableError::Malformed("metadata of a row");
    if to - from > METADATA_MAX * 2 {
        return Err(malformed);
    }
    let mut pairs: Vec<(&str, &[u8])> = Vec::with_capacity((to - from) / 2);
    for at in (from..to).step_by(2) {
        let Ok(name) = std::str::from_utf8(columns.metadata.get(at)) else {
            return Err(malformed);
        };
        if pairs.last().is_some_and(|last| last.0 >= name) {
            return Err(malformed);
        }
        pairs.push((name, columns.metadata.get(at + 1)));
    }
    Ok(pairs)
}
