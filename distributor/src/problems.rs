//! What is wrong with entries of a push: the texts for the client, the counts for the metrics.

use std::fmt::Write;

/// Why entries are not stored. The names are Loki's values of the metric label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    RateLimited,
    PerStreamRateLimit,
    StreamLimit,
    LineTooLong,
    GreaterThanMaxSampleAge,
    TooFarInFuture,
    TooFarBehind,
    InvalidLabels,
    MissingLabels,
    MaxLabelNamesPerSeries,
    LabelNameTooLong,
    LabelValueTooLong,
    DuplicateLabelNames,
    DisallowedStructuredMetadata,
    StructuredMetadataTooLarge,
    StructuredMetadataTooMany,
    BlockedIngestion,
    MissingEnforcedLabels,
    RequestBodyTooLarge,
}

impl Reason {
    pub(crate) const ALL: [Reason; 19] = [
        Reason::RateLimited,
        Reason::PerStreamRateLimit,
        Reason::StreamLimit,
        Reason::LineTooLong,
        Reason::GreaterThanMaxSampleAge,
        Reason::TooFarInFuture,
        Reason::TooFarBehind,
        Reason::InvalidLabels,
        Reason::MissingLabels,
        Reason::MaxLabelNamesPerSeries,
        Reason::LabelNameTooLong,
        Reason::LabelValueTooLong,
        Reason::DuplicateLabelNames,
        Reason::DisallowedStructuredMetadata,
        Reason::StructuredMetadataTooLarge,
        Reason::StructuredMetadataTooMany,
        Reason::BlockedIngestion,
        Reason::MissingEnforcedLabels,
        Reason::RequestBodyTooLarge,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::RateLimited => "rate_limited",
            Reason::PerStreamRateLimit => "per_stream_rate_limit",
            Reason::StreamLimit => "stream_limit",
            Reason::LineTooLong => "line_too_long",
            Reason::GreaterThanMaxSampleAge => "greater_than_max_sample_age",
            Reason::TooFarInFuture => "too_far_in_future",
            Reason::TooFarBehind => "too_far_behind",
            Reason::InvalidLabels => "invalid_labels",
            Reason::MissingLabels => "missing_labels",
            Reason::MaxLabelNamesPerSeries => "max_label_names_per_series",
            Reason::LabelNameTooLong => "label_name_too_long",
            Reason::LabelValueTooLong => "label_value_too_long",
            Reason::DuplicateLabelNames => "duplicate_label_names",
            Reason::DisallowedStructuredMetadata => "disallowed_structured_metadata",
            Reason::StructuredMetadataTooLarge => "structured_metadata_too_large",
            Reason::StructuredMetadataTooMany => "structured_metadata_too_many",
            Reason::BlockedIngestion => "blocked_ingestion",
            Reason::MissingEnforcedLabels => "missing_enforced_labels",
            Reason::RequestBodyTooLarge => "request_body_too_large",
        }
    }
}

/// Entries not stored, by reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discards([(u64, u64); Reason::ALL.len()]);

impl Discards {
    pub(crate) fn add(&mut self, reason: Reason, lines: u64, bytes: u64) {
        let counts = &mut self.0[reason as usize];
        counts.0 += lines;
        counts.1 += bytes;
    }

    /// (reason, lines, bytes) of the reasons that occurred.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Reason, u64, u64)> + '_ {
        Reason::ALL
            .into_iter()
            .map(|reason| (reason, self.0[reason as usize].0, self.0[reason as usize].1))
            .filter(|&(_, lines, _)| lines > 0)
    }

    pub(crate) fn clear(&mut self) {
        *self = Discards::default();
    }
}

/// More different texts than this are only counted: an answer must not outgrow its request.
const MAX_TEXTS: usize = 100;

/// Validation errors of one push, equal texts together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problems {
    /// What tells equal texts, how often they came.
    counts: Vec<(u64, u64)>,
    texts: Vec<String>,
    untold: u64,
}

impl Problems {
    /// Counts an error. `key` is equal for errors whose texts are equal; `text` is asked for only if
    /// it will be told, because it may be long and errors many.
    pub(crate) fn add(&mut self, key: u64, text: impl FnOnce() -> String) {
        let told = self.counts.len();
        // The newest first: a bad client repeats itself.
        match self.counts.iter_mut().rev().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None if told < MAX_TEXTS => {
                self.counts.push((key, 1));
                self.texts.push(text());
            }
            None => self.untold += 1,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.counts.clear();
        self.texts.clear();
        self.untold = 0;
    }

    /// A single error as it is; else `N errors like: TEXT; ...`. `None` without errors.
    pub(crate) fn text(&self) -> Option<String> {
        match (self.counts.as_slice(), self.texts.as_slice()) {
            ([], _) => None,
            ([(_, 1)], [text]) if self.untold == 0 => Some(text.clone()),
            (counts, texts) => {
                let mut out = String::new();
                for ((_, count), text) in counts.iter().zip(texts) {
                    let separator = if out.is_empty() { "" } else { "; " };
                    let written = write!(out, "{separator}{count} errors like: {text}");
                    debug_assert!(written.is_ok());
                }
                if self.untold > 0 {
                    let written = write!(out, "; {} other errors", self.untold);
                    debug_assert!(written.is_ok());
                }
                Some(out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_error_is_told_as_it_is_and_several_are_counted() {
        let mut problems = Problems::default();
        let mut formatted = 0;
        let mut add = |problems: &mut Problems, text: &str| {
            problems.add(base::hash::hash64(text.as_bytes()), || {
                formatted += 1;
                text.to_owned()
            });
        };
        assert_eq!(problems.text(), None);
        add(&mut problems, "a");
        assert_eq!(problems.text().as_deref(), Some("a"));
        add(&mut problems, "a");
        assert_eq!(problems.text().as_deref(), Some("2 errors like: a"));
        add(&mut problems, "b");
        assert_eq!(problems.text().as_deref(), Some("2 errors like: a; 1 errors like: b"));
        for n in 0..1000 {
            add(&mut problems, &format!("n{n}"));
            add(&mut problems, "a");
        }
        let text = problems.text().unwrap();
        assert!(text.starts_with("1002 errors like: a; 1 errors like: b; "), "{text}");
        assert!(text.ends_with("1 errors like: n97; 902 other errors"), "{text}");
        assert_eq!(formatted, MAX_TEXTS, "each text is made once, and only if it is told");
    }

    #[test]
    fn every_reason_has_its_own_place() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
