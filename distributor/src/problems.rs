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
    texts: Vec<(String, u64)>,
    untold: u64,
}

impl Problems {
    pub(crate) fn add(&mut self, text: String) {
        let told = self.texts.len();
        // The newest first: a bad client repeats itself.
        match self.texts.iter_mut().rev().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None if told < MAX_TEXTS => self.texts.push((text, 1)),
            None => self.untold += 1,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.untold = 0;
    }

    /// A single error as it is; else `N errors like: TEXT; ...`. `None` without errors.
    pub(crate) fn text(&self) -> Option<String> {
        match self.texts.as_slice() {
            [] => None,
            [(text, 1)] if self.untold == 0 => Some(text.clone()),
            texts => {
                let mut out = String::new();
                for (text, count) in texts {
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
        assert_eq!(problems.text(), None);
        problems.add("a".to_owned());
        assert_eq!(problems.text().as_deref(), Some("a"));
        problems.add("a".to_owned());
        assert_eq!(problems.text().as_deref(), Some("2 errors like: a"));
        problems.add("b".to_owned());
        assert_eq!(problems.text().as_deref(), Some("2 errors like: a; 1 errors like: b"));
        for n in 0..1000 {
            problems.add(format!("n{n}"));
        }
        let text = problems.text().unwrap();
        assert!(text.ends_with("1 errors like: n97; 902 other errors"), "{text}");
    }

    #[test]
    fn every_reason_has_its_own_place() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
