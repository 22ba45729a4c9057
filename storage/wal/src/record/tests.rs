use proptest::prelude::*;

use super::*;
use crate::testing::{batch, store};

#[test]
fn a_payload_has_the_length_that_was_foretold_and_decodes_to_the_same_batch() {
    let mut decoder = Decoder::default();
    for rows in [0, 1, 7, 300] {
        let batch = batch(3, rows);
        assert_encodable(&batch);
        let mut bytes = vec![9; 3];
        encode(&batch, &mut bytes);
        assert_eq!(bytes.len() - 3, encoded_bytes(&batch));
        assert_eq!(decoder.decode(&bytes[3..]), Ok(batch));
    }
}

#[test]
fn a_payload_cut_anywhere_or_made_longer_is_an_error() {
    let mut bytes = Vec::new();
    encode(&batch(3, 5), &mut bytes);
    for end in 0..bytes.len() {
        assert!(Decoder::default().decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    bytes.push(0);
    assert!(Decoder::default().decode(&bytes).is_err());
}

#[test]
fn a_huge_count_is_refused_before_memory_is_taken() {
    let mut bytes = Vec::new();
    encode(&batch(3, 5), &mut bytes);
    for at in [52, 56, 60, 64, 68, 72] {
        let mut bad = bytes.clone();
        bad[at..at + 4].fill(0xff);
        assert!(Decoder::default().decode(&bad).is_err(), "count at {at}");
    }
}

#[test]
#[should_panic(expected = "is not of its day")]
fn a_row_of_another_day_is_never_written() {
    let mut batch = batch(3, 5);
    batch.day = Day(batch.day.0 + 1);
    assert_encodable(&batch);
}

proptest! {
    #[test]
    fn any_change_of_one_byte_decodes_to_an_error_or_to_a_batch_that_encodes_again(
        at in 0usize..2_000, flip in 1u8..,
    ) {
        let mut bytes = Vec::new();
        encode(&batch(4, 9), &mut bytes);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        if let Ok(decoded) = Decoder::default().decode(&bytes) {
            let mut again = Vec::new();
            encode(&decoded, &mut again);
            prop_assert_eq!(again, bytes);
        }
    }
}

#[test]
fn the_member_list_and_attempt_survive() {
    let mut batch = batch(1, 1);
    batch.attempt = 7;
    batch.members = vec![store(3), store(1), store(2)];
    let mut bytes = Vec::new();
    encode(&batch, &mut bytes);
    let decoded = Decoder::default().decode(&bytes).unwrap();
    assert_eq!(decoded.attempt, 7);
    assert_eq!(decoded.members, [store(3), store(1), store(2)]);
}
