//! `detected_level`: how severe a line is, without parsing more of it than needed.
//!
//! In this order: metadata `detected_level`, the stream's labels, metadata named in
//! `log_level_fields`, OTLP's `severity_number`, those fields in a JSON or logfmt line, the first
//! level word in the text. The first three keep a value that is no known level as it is.

mod json;
mod logfmt;
mod words;

/// What a line can say about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
    Fatal,
    Unknown,
}

impl Level {
    /// Number of levels.
    pub(crate) const COUNT: usize = 8;

    pub(crate) fn as_bytes(self) -> &'static [u8] {
        match self {
            Level::Trace => b"trace",
            Level::Debug => b"debug",
            Level::Info => b"info",
            Level::Warn => b"warn",
            Level::Error => b"error",
            Level::Critical => b"critical",
            Level::Fatal => b"fatal",
            Level::Unknown => b"unknown",
        }
    }

    /// The level that `value` is another name of, in any letter case.
    pub(crate) fn named(value: &[u8]) -> Option<Level> {
        let mut lower = [0; 11];
        let lower = lower.get_mut(..value.len())?;
        lower.copy_from_slice(value);
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"trace" | b"trc" => Level::Trace,
            b"debug" | b"dbg" => Level::Debug,
            b"info" | b"inf" | b"information" => Level::Info,
            b"warn" | b"wrn" | b"warning" => Level::Warn,
            b"error" | b"err" => Level::Error,
            b"critical" => Level::Critical,
            b"fatal" => Level::Fatal,
            _ => return None,
        })
    }

    /// OTLP's numbers: four to a level.
    pub(crate) fn of_severity_number(text: &[u8]) -> Level {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
        match number {
            Some(1..=4) => Level::Trace,
            Some(5..=8) => Level::Debug,
            Some(9..=12) => Level::Info,
            Some(13..=16) => Level::Warn,
            Some(17..=20) => Level::Error,
            Some(21..=24) => Level::Fatal,
            _ => Level::Unknown,
        }
    }
}

/// The names that hold a level, made quick to rule out.
#[derive(Debug)]
pub(crate) struct Fields {
    names: Vec<Box<[u8]>>,
    /// Bit n: a name has n bytes (63: or more).
    lengths: u64,
    first_bytes: [bool; 256],
}

impl Fields {
    fn new(names: &[String]) -> Fields {
        let names: Vec<Box<[u8]>> = names
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| name.as_bytes().into())
            .collect();
        let mut fields = Fields { names, lengths: 0, first_bytes: [false; 256] };
        for name in &fields.names {
            fields.lengths |= 1 << name.len().min(63);
            fields.first_bytes[name[0] as usize] = true;
        }
        fields
    }

    /// Place of `name` in the list: a lower one counts more.
    #[inline]
    pub(crate) fn rank(&self, name: &[u8]) -> Option<usize> {
        let &first = name.first()?;
        if self.lengths >> name.len().min(63) & 1 == 0 || !self.first_bytes[first as usize] {
            return None;
        }
        self.names.iter().position(|known| **known == *name)
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.rank(name).is_some()
    }
}

/// Finds levels as one tenant's limits want it.
#[derive(Debug)]
pub(crate) struct Detector {
    pub(crate) fields: Fields,
    max_depth: usize,
    words: words::Words,
}

impl Detector {
    /// `max_depth`: how deep a field may lie in a JSON line; 0 = any depth.
    pub(crate) fn new(fields: &[String], max_depth: u32) -> Detector {
        let max_depth = if max_depth == 0 { usize::MAX } else { max_depth as usize };
        Detector { fields: Fields::new(fields), max_depth, words: words::Words::new() }
    }

    /// The level that `line` itself tells.
    pub(crate) fn line(&self, line: &[u8]) -> Level {
        let trimmed = line.trim_ascii();
        let value = if trimmed.first() == Some(&b'{') && trimmed.last() == Some(&b'}') {
            json::find(trimmed, &self.fields, self.max_depth)
        } else {
            logfmt::find(trimmed, &self.fields)
        };
        value.and_then(Level::named).unwrap_or_else(|| self.words.find(line))
    }
}

#[cfg(test)]
mod tests;
