//! Records in a file: each with its place, a checksum, and up to where the file was synced before.
//!
//! A file is written once and never opened again for writing. A record that cannot be read ends
//! the file if it may be a write that a crash tore, which is so unless a later record says that
//! what stands there had been synced.

use std::io;
use std::path::Path;

use base::disk::{Disk, DiskFile};

/// Bytes before a payload: magic, payload bytes, own offset, synced bytes, checksum.
pub(crate) const FRAME_BYTES: usize = 4 + 4 + 8 + 8 + 4;
const MAGIC: [u8; 4] = [0xf2, b'R', b'R', 0x2f];
/// Most bytes of a file that is read: a log begins anew long before.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 30;

/// Appends a record to `out`, which will be written at `at`. Of the file, `synced` bytes are durable.
pub(crate) fn put(out: &mut Vec<u8>, at: u64, synced: u64, payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&at.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&out[start..]), payload);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(payload);
}

struct Record<'a> {
    payload: &'a [u8],
    synced: u64,
}

/// The record at `at`, if one is there.
fn record(bytes: &[u8], at: usize) -> Option<Record<'_>> {
    let frame = bytes.get(at..at.checked_add(FRAME_BYTES)?)?;
    let u32_at =
        |i: usize| u32::from_le_bytes([frame[i], frame[i + 1], frame[i + 2], frame[i + 3]]);
    let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
    if frame[..4] != MAGIC || u64_at(8) != at as u64 {
        return None;
    }
    let start = at + FRAME_BYTES;
    let payload = bytes.get(start..start.checked_add(u32_at(4) as usize)?)?;
    let computed = crc32c::crc32c_append(crc32c::crc32c(&frame[..24]), payload);
    (computed == u32_at(24)).then_some(Record { payload, synced: u64_at(16) })
}

/// The payloads of a file's records, or where damage is.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<&[u8]>, usize> {
    let mut payloads = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some(found) = record(bytes, at) else {
            return if was_synced(bytes, at) { Err(at) } else { Ok(payloads) };
        };
        payloads.push(found.payload);
        at += FRAME_BYTES + found.payload.len();
    }
    Ok(payloads)
}

/// Whether a record after `at` knows that `at` had been synced when it was written.
fn was_synced(bytes: &[u8], at: usize) -> bool {
    let rest = &bytes[at..];
    let places = rest.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
    let mut later = places.filter_map(|(offset, _)| record(bytes, at + offset));
    later.any(|found| found.synced > at as u64)
}

/// A whole file.
pub(crate) fn load(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let len = file.len()?;
    if len > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{len} bytes")));
    }
    let mut bytes = vec![0; len as usize];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(read as u64, &mut bytes[read..])? {
            0 => break,
            count => read += count,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// A file that is being written.
pub(crate) struct Appender {
    file: Box<dyn DiskFile>,
    written: u64,
    synced: u64,
    buffer: Vec<u8>,
}

impl Appender {
    pub(crate) fn create(disk: &dyn Disk, path: &Path) -> io::Result<Appender> {
        let file = disk.create(path)?;
        Ok(Appender { file, written: 0, synced: 0, buffer: Vec::new() })
    }

    /// Adds a record to those that the next [`Appender::sync`] writes.
    pub(crate) fn put(&mut self, payload: &[u8]) {
        let at = self.written + self.buffer.len() as u64;
        put(&mut self.buffer, at, self.synced, payload);
    }

    /// Writes the records. After an error the file is dead.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        self.file.append(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the records and makes them durable. After an error the file is dead.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.write()?;
        self.file.sync_data()?;
        self.synced = self.written;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(synced: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (n, &synced) in synced.iter().enumerate() {
            let at = bytes.len() as u64;
            put(&mut bytes, at, synced, &vec![n as u8; 10 + n]);
        }
        bytes
    }

    #[test]
    fn a_torn_end_is_no_damage_and_what_was_synced_is() {
        let torn = file(&[0, 0, 0]);
        assert_eq!(read(&torn).unwrap().len(), 3);
        for len in 0..torn.len() {
            let found = read(&torn[..len]).unwrap().len();
            assert!(found <= 2);
        }
        let first = FRAME_BYTES + 10;
        let synced = file(&[0, first as u64, first as u64]);
        for byte in 0..synced.len() {
            let mut bytes = synced.clone();
            bytes[byte] ^= 0x40;
            match read(&bytes) {
                Err(at) => assert!(byte < first && at == 0, "{byte}"),
                Ok(found) => assert!(byte >= first && found.len() < 3, "{byte}"),
            }
        }
    }

    #[test]
    fn a_record_counts_only_where_it_says_it_is() {
        let bytes = file(&[0]);
        let mut moved = vec![0; 7];
        moved.extend_from_slice(&bytes);
        assert!(read(&moved).unwrap().is_empty());
    }
}
