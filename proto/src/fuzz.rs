//! Fuzz targets: plain functions that panic when something does not hold.

use base::{Batch, Rows};
use bytes::Bytes;
use logql::engine::overlap::Overlaps;
use logql::engine::portable::PortablePartial;
use logql::plan::Origin;

use crate::columns::TextList;
use crate::convert::{
    label_sets, matchers, query_error, ranges, read_label_sets, read_matchers, read_query_error,
    read_ranges,
};
use crate::{Message, Wire, WireError, decode, encode, v1};

fn read<M: Message + Default>(data: &[u8]) -> Result<M, WireError> {
    decode("Fuzzed", Bytes::copy_from_slice(data))
}

/// What was read says the same when it is written and read again. Bytes are compared: a NaN is
/// no NaN.
fn again<T: Wire>(value: &T) {
    let bytes = encode(&value.to_wire());
    let message = decode("Fuzzed", bytes.clone()).expect("what is written can be read");
    let second = T::from_wire(message).expect("what was read is whole");
    assert_eq!(encode(&second.to_wire()), bytes);
}

/// A batch, with and without its checksum.
pub fn fuzz_batch(data: &[u8]) {
    let Ok(mut message) = read::<v1::Batch>(data) else { return };
    drop(Batch::from_wire(message.clone()));
    // Few changed messages have the right checksum; the checks behind it are what is tried.
    if let Some(rows) = &mut message.rows {
        rows.crc32c = None;
        if let Ok(rows) = Rows::from_wire(rows.clone()) {
            rows.assert_consistent();
            let views = rows.metadata_views();
            for row in 0..rows.len() {
                std::hint::black_box(rows.lines.get(row));
                for view in &views {
                    std::hint::black_box(view.get(row));
                }
            }
        }
    }
    if let Ok(batch) = Batch::from_wire(message) {
        again(&batch);
    }
}

/// What a query sends: its leaf, matchers, overlaps, ranges, labels, texts, errors.
pub fn fuzz_query(data: &[u8]) {
    if let Ok(origin) = read(data).and_then(Origin::from_wire) {
        again(&origin);
        drop(origin.leaf());
    }
    if let Ok(overlaps) = read(data).and_then(Overlaps::from_wire) {
        again(&overlaps);
    }
    if let Ok(lists) = read::<v1::Matchers>(data).and_then(|m| read_matchers(Some(&m))) {
        let back = read_matchers(Some(&matchers(&lists)));
        assert_eq!(back.as_ref(), Ok(&lists));
    }
    if let Ok(list) = read::<v1::StreamRanges>(data).and_then(|m| read_ranges(Some(&m))) {
        assert_eq!(read_ranges(Some(&ranges(&list))).as_ref(), Ok(&list));
    }
    if let Ok(sets) = read::<v1::LabelSets>(data).and_then(|m| read_label_sets(Some(&m))) {
        assert_eq!(read_label_sets(Some(&label_sets(&sets))).as_ref(), Ok(&sets));
    }
    if let Ok(texts) = read::<v1::Texts>(data)
        && let Ok(list) = TextList::new("Fuzzed", "texts", Some(&texts))
    {
        let again = crate::columns::texts(list.iter());
        assert_eq!((again.ends, again.text), (texts.ends, texts.text));
    }
    if let Ok(detail) = read::<v1::ErrorDetail>(data)
        && let Ok(error) = read_query_error(detail.clone())
    {
        assert_eq!(query_error(&error), detail);
    }
}

/// The columns of a partial. Against a leaf they are tried where leaves are (`rpc`, `logql`).
pub fn fuzz_partial(data: &[u8]) {
    if let Ok(partial) = read(data).and_then(PortablePartial::from_wire) {
        again(&partial);
    }
}

#[cfg(test)]
mod tests;
