use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use rpc::http::Budget;

use super::*;

const CAP: usize = 1 << 20;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn undo(encoding: Encoding, body: &[u8]) -> (Result<Option<String>, Error>, Vec<u8>) {
    let (mut hold, mut out) = (Hold::unlimited(), Buffer::default());
    let result = decompress(encoding, body, &mut Caps::new(CAP, &mut hold), &mut out);
    (result.map(|decompressed| decompressed.cut), out.as_slice().to_vec())
}

fn text(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 27) as u8 + b'a').collect()
}

#[test]
fn bodies_of_any_length_come_back() {
    for length in [0, 1, 100, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, CAP - 1, CAP] {
        let plain = text(length);
        assert_eq!(undo(Encoding::Gzip, &gzip(&plain)), (Ok(None), plain.clone()), "{length}");
        assert_eq!(undo(Encoding::Deflate, &deflate(&plain)), (Ok(None), plain), "{length}");
    }
}

#[test]
fn gzip_members_follow_each_other_and_a_header_may_have_every_field() {
    let mut body = gzip(b"one ");
    let mut second = vec![0x1f, 0x8b, 8, 4 | 8 | 16, 0, 0, 0, 0, 0, 255];
    second.extend_from_slice(b"\x03\0ext");
    second.extend_from_slice(b"name\0comment\0");
    second.extend_from_slice(&gzip(b"two")[10..]);
    body.extend(second);
    assert_eq!(undo(Encoding::Gzip, &body), (Ok(None), b"one two".to_vec()));
}

#[test]
fn broken_bodies_get_gos_texts() {
    let good = gzip(b"hello");
    let cut = |text: &str| Ok(Some(text.to_owned()));
    for length in 10..good.len() {
        assert_eq!(undo(Encoding::Gzip, &good[..length]).0, cut("unexpected EOF"), "{length}");
    }
    let refused = |text: &str| Err(Error::new(400, text));
    assert_eq!(undo(Encoding::Gzip, b"").0, refused("EOF"));
    assert_eq!(undo(Encoding::Gzip, b"notgzip").0, refused("unexpected EOF"));
    assert_eq!(undo(Encoding::Gzip, b"not gzip at all").0, refused("gzip: invalid header"));
    let mut bad_sum = good.clone();
    let sum = good.len() - 8;
    bad_sum[sum] ^= 1;
    assert_eq!(undo(Encoding::Gzip, &bad_sum), (cut("gzip: invalid checksum"), b"hello".to_vec()));
    let mut trailing = good;
    trailing.extend_from_slice(b"trailing garbage");
    assert_eq!(undo(Encoding::Gzip, &trailing).0, cut("gzip: invalid header"));
    let (result, _) = undo(Encoding::Deflate, b"\x07");
    assert!(result.unwrap().unwrap().starts_with("flate: corrupt input before offset "));
}

#[test]
fn a_bomb_ends_at_the_cap() {
    let bomb = vec![b' '; 64 << 20];
    for (encoding, body) in [(Encoding::Gzip, gzip(&bomb)), (Encoding::Deflate, deflate(&bomb))] {
        let (mut hold, mut out) = (Hold::unlimited(), Buffer::default());
        let error = decompress(encoding, &body, &mut Caps::new(CAP, &mut hold), &mut out);
        assert_eq!(error.unwrap_err().status, 413);
        assert!(out.bytes.capacity() <= 2 * CAP, "{}", out.bytes.capacity());
    }
}

#[test]
fn a_bomb_ends_at_the_budget_of_all_bodies() {
    let body = gzip(&vec![b' '; 64 << 20]);
    let budget = Budget::new(1 << 20);
    let mut hold = budget.hold(body.len()).unwrap();
    let mut out = Buffer::default();
    let error = decompress(Encoding::Gzip, &body, &mut Caps::new(usize::MAX, &mut hold), &mut out);
    assert_eq!(error.unwrap_err().status, 413);
    assert!(out.bytes.capacity() <= 2 << 20);
    assert!(budget.held() <= 1 << 20);
    drop(hold);
    assert_eq!(budget.held(), 0);

    // Room that others hold is worth another try.
    let _other = budget.hold(500 << 10).unwrap();
    let mut hold = budget.hold(body.len()).unwrap();
    let error = decompress(Encoding::Gzip, &body, &mut Caps::new(usize::MAX, &mut hold), &mut out);
    assert_eq!(error.unwrap_err().status, 503);
}

#[test]
fn a_snappy_length_is_believed_only_within_reason() {
    let (mut hold, mut out) = (Hold::unlimited(), Buffer::default());
    let plain = text(300_000);
    let body = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    decompress_snappy(&body, &mut Caps::new(CAP, &mut hold), &mut out).unwrap();
    assert_eq!(out.as_slice(), plain);
    let repeated = snap::raw::Encoder::new().compress_vec(&vec![b'a'; CAP]).unwrap();
    decompress_snappy(&repeated, &mut Caps::new(CAP, &mut hold), &mut out).unwrap();
    assert_eq!(out.as_slice().len(), CAP);

    let mut out = Buffer::default();
    // 100 MB in five bytes of length and ten of nothing.
    let mut liar = vec![0x80, 0xc2, 0xd7, 0x2f];
    liar.extend_from_slice(&[0; 10]);
    let error = decompress_snappy(&liar, &mut Caps::new(usize::MAX, &mut hold), &mut out);
    assert_eq!(error, Err(Error::new(400, "snappy: corrupt input")));
    assert_eq!(out.bytes.capacity(), 0);
    let error = decompress_snappy(&repeated, &mut Caps::new(CAP - 1, &mut hold), &mut out);
    assert_eq!(error.unwrap_err().status, 413);
    assert_eq!(out.bytes.capacity(), 0);
    for bad in [&b""[..], b"\xff\xff\xff\xff\xff\xff", b"\x05\x10ab", b"\x01"] {
        let error = decompress_snappy(bad, &mut Caps::new(CAP, &mut hold), &mut out);
        assert_eq!(error, Err(Error::new(400, "snappy: corrupt input")), "{bad:?}");
    }
}

#[test]
fn encodings_are_those_loki_knows() {
    assert_eq!(Encoding::of_header(""), Ok(Encoding::Identity));
    assert_eq!(Encoding::of_header("snappy"), Ok(Encoding::Identity));
    assert_eq!(Encoding::of_header("gzip"), Ok(Encoding::Gzip));
    assert_eq!(Encoding::of_header("deflate"), Ok(Encoding::Deflate));
    for (value, text) in [
        ("br", r#"Content-Encoding "br" not supported"#),
        ("GZIP", r#"Content-Encoding "GZIP" not supported"#),
    ] {
        assert_eq!(Encoding::of_header(value), Err(Error::new(400, text)));
    }
}
