//! Lines of files, compressed ones too, and of standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use base::task;
use tokio::sync::mpsc;

/// Bytes of one read.
const CHUNK_BYTES: usize = 256 << 10;
/// Reads that may wait for whoever sends them.
const CHUNKS: usize = 4;
/// Longest line that is sent: it has to lie in memory and in one body.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Source {
    /// `-` is standard input.
    pub fn new(name: &Path) -> Source {
        if name == Path::new("-") { Source::Stdin } else { Source::File(name.to_owned()) }
    }

    /// For texts, and for the label.
    pub fn name(&self) -> String {
        match self {
            Source::Stdin => "standard input".to_owned(),
            Source::File(path) => path.display().to_string(),
        }
    }

    /// Bytes of the file; [`None`] if nobody can know.
    pub fn len_bytes(&self) -> Result<Option<u64>> {
        let Source::File(path) = self else { return Ok(None) };
        let metadata = std::fs::metadata(path).with_context(|| format!("read {}", self.name()))?;
        Ok(metadata.is_file().then_some(metadata.len()))
    }

    fn open(&self, read_bytes: Arc<AtomicU64>) -> io::Result<Box<dyn Read>> {
        let path = match self {
            Source::Stdin => return Ok(Box::new(Counted { inner: io::stdin(), read_bytes })),
            Source::File(path) => path,
        };
        let file = Counted { inner: File::open(path)?, read_bytes };
        Ok(match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
            Some("zst" | "zstd") => Box::new(zstd::stream::read::Decoder::new(file)?),
            _ => Box::new(file),
        })
    }
}

/// Counts what was read of a file before it is decompressed.
struct Counted<R> {
    inner: R,
    read_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// What the reading thread found.
#[derive(Debug)]
pub enum Chunk {
    /// More bytes of the current source.
    Bytes(Vec<u8>),
    /// The current source ends here; the next one follows.
    End,
    /// The current source cannot be read further.
    Failed(io::Error),
}

/// Reads `sources` in order on a thread of its own: a read may block for ever, and the end of the
/// process must not wait for it.
pub fn read(sources: Vec<Source>, read_bytes: Arc<AtomicU64>) -> Result<mpsc::Receiver<Chunk>> {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let work = move || {
        for source in sources {
            let end = match copy(&source, &read_bytes, &sender) {
                Ok(()) => Chunk::End,
                Err(error) => Chunk::Failed(error),
            };
            // Nobody waits for the rest.
            if sender.blocking_send(end).is_err() {
                return;
            }
        }
    };
    task::thread("read lines", work).context("starting a thread")?;
    Ok(chunks)
}

fn copy(
    source: &Source,
    read_bytes: &Arc<AtomicU64>,
    sender: &mpsc::Sender<Chunk>,
) -> io::Result<()> {
    let mut reader = source.open(Arc::clone(read_bytes))?;
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = match reader.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        chunk.truncate(read);
        if sender.blocking_send(Chunk::Bytes(chunk)).is_err() {
            return Ok(());
        }
    }
}

/// Cuts bytes into lines; a line may go on in the next chunk.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The beginning of a line whose end did not come yet.
    begun: Vec<u8>,
    /// The current line is too long and is being skipped.
    skipping: bool,
    /// Lines so far.
    number: u64,
}

/// One line, or what was wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Without its line feed, and without a carriage return before it.
    Text(&'a [u8]),
    /// The line of this number (from 1) is over [`MAX_LINE_BYTES`].
    TooLong(u64),
}

impl Splitter {
    /// Gives `each` the lines that end in `chunk`.
    pub fn split(&mut self, chunk: &[u8], mut each: impl FnMut(Line<'_>)) {
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            let piece = &chunk[from..end];
            from = end + 1;
            self.number += 1;
            if self.skipping {
                self.skipping = false;
            } else if self.begun.len() + piece.len() > MAX_LINE_BYTES {
                each(Line::TooLong(self.number));
            } else if self.begun.is_empty() {
                each(Line::Text(without_return(piece)));
            } else {
                self.begun.extend_from_slice(piece);
                each(Line::Text(without_return(&self.begun)));
            }
            self.begun.clear();
        }
        let rest = &chunk[from..];
        if self.skipping {
            return;
        }
        if self.begun.len() + rest.len() > MAX_LINE_BYTES {
            each(Line::TooLong(self.number + 1));
            self.begun = Vec::new();
            self.skipping = true;
        } else {
            self.begun.extend_from_slice(rest);
        }
    }

    /// The source ended: what has no line feed behind it is a line too.
    pub fn end(&mut self, mut each: impl FnMut(Line<'_>)) {
        if !self.begun.is_empty() {
            each(Line::Text(without_return(&self.begun)));
        }
        *self = Splitter::default();
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut out = Vec::new();
        let mut splitter = Splitter::default();
        let mut each = |line: Line<'_>| {
            out.push(match line {
                Line::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                Line::TooLong(number) => format!("<{number} is too long>"),
            });
        };
        chunks.iter().for_each(|chunk| splitter.split(chunk, &mut each));
        splitter.end(&mut each);
        out
    }

    #[test]
    fn however_the_bytes_are_cut_the_lines_are_the_same() {
        let text = "one\r\n\ntwo ünï\n\n  three  \nno line feed at the end".as_bytes();
        let whole = lines(&[text]);
        assert_eq!(whole, ["one", "", "two ünï", "", "  three  ", "no line feed at the end"]);
        for a in 0..text.len() {
            for b in a..text.len() {
                assert_eq!(lines(&[&text[..a], &text[a..b], &text[b..]]), whole, "{a} {b}");
            }
        }
        assert_eq!(lines(&[b"a\n"]), ["a"]);
        assert_eq!(lines(&[b""]), [""; 0]);
    }

    #[test]
    fn a_line_without_end_is_not_held_in_memory() {
        let long = vec![b'x'; MAX_LINE_BYTES / 2 + 1];
        let chunks: [&[u8]; 5] = [b"first\n", &long, &long, &long, b"x\nlast\n"];
        assert_eq!(lines(&chunks), ["first", "<2 is too long>", "last"]);
        let exact = vec![b'x'; MAX_LINE_BYTES];
        assert_eq!(lines(&[&exact, b"\n"])[0].len(), MAX_LINE_BYTES);
        assert_eq!(lines(&[&exact, b"x\n"]), ["<1 is too long>"]);
    }

    #[test]
    fn files_are_decompressed_by_their_extension() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let plain = b"one\ntwo\n";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(plain).unwrap();
        let zstd = zstd::stream::encode_all(&plain[..], 1).unwrap();
        for (name, bytes) in
            [("a.log", plain.to_vec()), ("a.log.gz", gzip.finish().unwrap()), ("a.zst", zstd)]
        {
            let path = dir.path().join(name);
            std::fs::write(&path, &bytes).unwrap();
            let read_bytes = Arc::new(AtomicU64::new(0));
            let mut text = Vec::new();
            let mut reader = Source::new(&path).open(Arc::clone(&read_bytes)).unwrap();
            reader.read_to_end(&mut text).unwrap();
            assert_eq!(text, plain, "{name}");
            assert_eq!(read_bytes.load(Ordering::Relaxed), bytes.len() as u64);
        }
    }
}
