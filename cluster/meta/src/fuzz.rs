//! Decoders of bytes from disks and other machines.

use crate::codec::{Answer, Message};
use crate::frame;
use crate::log::Image;
use crate::machine::Kept;
use crate::wire::{self, Request};

/// A message of Raft: what is accepted is written again as it was.
pub fn fuzz_message(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        assert_eq!(message.encode(), data, "there is one encoding");
    }
}

/// The answer to one.
pub fn fuzz_answer(data: &[u8]) {
    if let Ok(answer) = Answer::decode(data) {
        assert_eq!(answer.encode(), data, "there is one encoding");
    }
}

/// A call of a member, and the answer to one.
pub fn fuzz_call(data: &[u8]) {
    if let Ok(request) = Request::decode(data) {
        assert_eq!(request.encode(), data, "there is one encoding");
    }
    if let Ok(answer) = wire::Answer::decode(data) {
        assert_eq!(wire::Answer::encode(&answer), data, "there is one encoding");
        if let Ok(wire::Answer::Watch(update)) = answer
            && let Some(state) = update.state
        {
            ring::fuzz::fuzz_state(&state);
        }
    }
}

/// A file of the log; also as records whose checksums are right.
pub fn fuzz_log(data: &[u8]) {
    if let Ok(payloads) = frame::read(data) {
        read_log(&payloads);
    }
    let mut records = Vec::new();
    let mut rest = data;
    while let Some((&length, after)) = rest.split_first() {
        let (record, after) = after.split_at(usize::from(length).min(after.len()));
        records.push(record);
        rest = after;
    }
    read_log(&records);
}

fn read_log(records: &[&[u8]]) {
    if let Ok(Some(image)) = Image::of(records) {
        let again = image.encode();
        assert_eq!(Image::of(&[&again]), Ok(Some(image)));
    }
}

/// A snapshot file.
pub fn fuzz_snapshot(data: &[u8]) {
    if let Ok((cluster, kept)) = Kept::decode(data) {
        let owner = crate::log::Owner { cluster, ..Default::default() };
        assert_eq!(kept.encode(&owner), data, "there is one encoding");
    }
}

#[cfg(test)]
mod tests;
