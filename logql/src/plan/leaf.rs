//! What a leaf does: its selector, its pipeline, and its range function or its demand for lines.

use std::sync::Arc;

use base::{Labels, LabelsBuilder, UnixNanos};

use super::{Direction, LabelNeedles, Needle, Needs, Params, QueryError, TimeRange};
use crate::engine::entries::Demand;
use crate::engine::group::Grouping;
use crate::engine::label_text::LabelText;
use crate::engine::line_patterns::LinePatterns;
use crate::engine::matcher::ValueMatcher;
use crate::engine::matrix::Matrix;
use crate::engine::names::{ERROR, ERROR_DETAILS, EXTRACTED_SUFFIX, NameId};
use crate::engine::pipeline::{Made, NameList, Pipeline};
use crate::engine::range::{Function, Measured};
use crate::engine::samples::{Measure, Samples};
use crate::engine::ties::Ties;
use crate::engine::wanted::Wanted;
use crate::engine::windows::Windows;
use crate::syntax::{self, LogExpr, MatchOp, Matcher, RangeAggregation, Stage};

/// What a leaf does with rows, whichever rows it is given.
#[derive(Debug)]
pub(crate) struct Program {
    pub(super) matchers: Vec<Matcher>,
    compiled: Vec<ValueMatcher>,
    /// Names the operators know by number.
    pub(crate) names: NameList,
    /// The operators that decide which rows are selected and, for metrics, which series they are.
    pub(crate) pipeline: Pipeline,
    pub(crate) wanted: Wanted,
    /// A stage could not be built. Loki says so only when a stream is selected.
    pub(crate) build_error: Option<String>,
    pub(crate) kind: LeafKind,
    /// Rows that can matter.
    pub(super) range: TimeRange,
    pub(super) needs: Needs,
    /// Volumes of streams: rows are told apart as if they had no metadata, which only adds to what
    /// they take.
    pub(crate) of_streams: bool,
    pub(super) needles: Vec<Vec<Needle>>,
    pub(super) label_needles: Vec<LabelNeedles>,
}

/// What becomes of selected rows.
#[derive(Debug)]
pub(crate) enum LeafKind {
    Log(LogLeaf),
    Metric(MetricLeaf),
}

/// Lines are answered.
#[derive(Debug)]
pub(crate) struct LogLeaf {
    pub demand: Arc<Demand>,
    /// All operators, to give the rows of the answer all their labels.
    pub render: Pipeline,
    pub names: NameList,
    /// Rows that `render` makes equal are one.
    pub ties: Option<Arc<Ties>>,
}

/// Samples are aggregated.
#[derive(Debug)]
pub(crate) struct MetricLeaf {
    pub measure: Arc<Measure>,
    pub grouping: Grouping,
    /// The grouping is that of an aggregation above the function: its series are not told apart
    /// by anything else.
    pub of_aggregation: bool,
    pub offset_ns: i64,
    /// The labels of the only series of `absent_over_time`.
    pub absent: Option<Labels>,
}

impl MetricLeaf {
    /// The series of the rows that were looked at.
    pub(crate) fn series(&self, samples: Option<Samples>) -> Matrix {
        let samples = samples.unwrap_or_else(|| Samples::new(Arc::clone(&self.measure)));
        let mut series = samples.finish();
        if let Some(absent) = &self.absent {
            series.iter_mut().for_each(|series| series.0 = absent.clone());
        }
        series
    }
}

impl Program {
    /// Of the leaf of a log query.
    pub(super) fn log(log: &LogExpr, params: &Params) -> Result<Program, QueryError> {
        let (pipeline, mut names, build_error) = build(&log.stages, params.now);
        let render = pipeline.clone();
        let pipeline = pipeline.only_selecting();
        let wanted = wanted_by_filters(&pipeline, &mut names);
        let texts = pipeline.label_texts(&names);
        let pipeline = pipeline.prefilter(&texts);
        let demand = Demand {
            limit: params.limit,
            direction: params.direction,
            interval_ns: params.interval_ns,
            max_memory_bytes: params.max_memory_bytes,
        };
        let (demand, ties) = (Arc::new(demand), Ties::of(&render, &names));
        let kind = LeafKind::Log(LogLeaf { demand, render, names: names.clone(), ties });
        Ok(Program {
            compiled: compile_matchers(&log.matchers)?,
            matchers: log.matchers.clone(),
            needles: pipeline.needles(),
            label_needles: label_needles(texts, &names),
            names,
            pipeline,
            wanted,
            build_error,
            kind,
            range: TimeRange { from_ns: params.start.0, to_ns: log_end(params) },
            needs: Needs { line_bytes: true, lengths: true, metadata: None, pairs: false },
            of_streams: false,
        })
    }

    /// Of the leaf of a range function. `outer` is the grouping of a `sum` directly above it, which
    /// is what the leaf can group by if the function is additive. `params.max_series` is 0 unless
    /// the series of the leaf are those of the answer.
    pub(super) fn metric(
        range: &RangeAggregation,
        outer: Option<Option<&syntax::Grouping>>,
        params: &Params,
    ) -> Result<Program, QueryError> {
        let function = Function::of(range);
        let stages = without_idle_formats(&range.log.stages, function);
        let (mut pipeline, mut names, mut build_error) = build(&stages, params.now);
        let absent = function.is_absent().then(|| absent_labels(&range.log.matchers));
        let outer = if absent.is_some() { Some(None) } else { outer };
        let of_aggregation = outer.is_some();
        let outer = outer.or(range.grouping.as_ref().map(Some));
        let mut grouping = grouping(outer, &mut names);
        if let Some(unwrap) = &range.unwrap {
            if let Err(error) = pipeline.unwrap(unwrap, &mut names) {
                build_error = build_error.or(Some(error));
            }
            if let Grouping::Without(labels) = &mut grouping {
                labels.push(names.number(&unwrap.label)); // it is the sample
            }
        }
        let wanted = wanted_by_series(&pipeline, &grouping, &mut names);
        if wanted.is_none() {
            pipeline = pipeline.without_parsers();
        }
        let texts = pipeline.label_texts(&names);
        let pipeline = pipeline.prefilter(&texts);
        let range_ns = i64::try_from(range.range.as_nanos()).unwrap_or(i64::MAX);
        let windows = Windows::new(params, range_ns, range.offset_ns);
        let (from_ns, to_ns) = windows.range();
        let line_bytes = pipeline.needs_line();
        let needs = Needs {
            line_bytes,
            lengths: line_bytes || function.measured == Measured::Length,
            metadata: metadata_needs(&pipeline, &grouping, &names),
            pairs: false,
        };
        let Params { max_memory_bytes, max_series, .. } = *params;
        let measure = Arc::new(Measure { windows, function, max_memory_bytes, max_series });
        Ok(Program {
            compiled: compile_matchers(&range.log.matchers)?,
            matchers: range.log.matchers.clone(),
            needles: pipeline.needles(),
            label_needles: label_needles(texts, &names),
            names,
            pipeline,
            wanted: wanted.unwrap_or(Wanted::All),
            build_error,
            kind: LeafKind::Metric(MetricLeaf {
                measure,
                grouping,
                of_aggregation,
                offset_ns: range.offset_ns,
                absent,
            }),
            range: TimeRange { from_ns, to_ns },
            needs,
            of_streams: false,
        })
    }

    /// Makes `bytes_over_time` the volumes of streams.
    pub(super) fn of_streams(mut self) -> Result<Program, QueryError> {
        let LeafKind::Metric(MetricLeaf { measure, .. }) = &mut self.kind else {
            return Err(QueryError::Invalid("malformed leaf: volumes of lines".to_owned()));
        };
        if measure.function.measured != Measured::Length || !self.pipeline.is_empty() {
            return Err(QueryError::Invalid("malformed leaf: volumes of samples".to_owned()));
        }
        let Measure { windows, function, max_memory_bytes, max_series } = &**measure;
        *measure = Arc::new(Measure {
            windows: windows.clone(),
            function: function.volume(),
            max_memory_bytes: *max_memory_bytes,
            max_series: *max_series,
        });
        self.of_streams = true;
        (self.needs.metadata, self.needs.pairs) = (Some(Vec::new()), true);
        Ok(self)
    }

    /// Gives rows of a metric leaf the label `label`, by which it groups: numbers of the patterns
    /// that they match. Rows that match none are no samples.
    pub(super) fn by_patterns(
        mut self,
        patterns: &[String],
        label: &str,
    ) -> Result<Program, QueryError> {
        let malformed = |why| QueryError::Invalid(format!("malformed pattern: {why}"));
        let label = self.names.number(label);
        self.pipeline.tell_apart(LinePatterns::new(patterns, label).map_err(malformed)?);
        (self.needs.line_bytes, self.needs.lengths) = (true, true);
        Ok(self)
    }

    /// Whether every row of a selected stream is a sample of one or of its line's length.
    pub(super) fn counts_rows(&self) -> bool {
        match &self.kind {
            LeafKind::Log(_) => false,
            LeafKind::Metric(metric) => {
                self.pipeline.is_empty() && metric.measure.function.measured != Measured::Value
            }
        }
    }

    /// The limit and direction of a log query that answers every row of a selected stream, and as
    /// many rows as there are.
    pub(super) fn takes_first(&self) -> Option<(usize, Direction)> {
        let LeafKind::Log(LogLeaf { demand, ties: None, .. }) = &self.kind else { return None };
        let takes_all = self.pipeline.is_empty() && demand.interval_ns == 0;
        takes_all.then_some((demand.limit, demand.direction))
    }

    /// Whether matcher `index` accepts a value.
    pub(super) fn accepts(&self, index: usize, value: &str) -> bool {
        self.compiled[index].is_match(value.as_bytes())
    }

    /// Whether the matchers select a stream.
    pub(super) fn selects(&self, labels: &Labels) -> bool {
        self.matchers.iter().zip(&self.compiled).all(|(matcher, compiled)| {
            compiled.is_match(labels.get(&matcher.name).unwrap_or_default().as_bytes())
        })
    }

    /// Whether labels that nobody mentions matter: series by all labels.
    pub(crate) fn open_names(&self) -> bool {
        let grouped_by_all = match &self.kind {
            LeafKind::Log(_) => false,
            LeafKind::Metric(metric) => matches!(metric.grouping, Grouping::Without(_)),
        };
        grouped_by_all || self.pipeline.needs_all_labels()
    }
}

/// `outer` = what stands there as grouping, if anything does; `Some(None)` = one series.
fn grouping(outer: Option<Option<&syntax::Grouping>>, names: &mut NameList) -> Grouping {
    let grouping = match outer {
        None => return Grouping::Without(Vec::new()),
        Some(None) => return Grouping::One,
        Some(Some(grouping)) => grouping,
    };
    let labels = grouping.labels.iter().map(|name| names.number(name)).collect();
    match grouping.without {
        true => Grouping::Without(labels),
        false if grouping.labels.is_empty() => Grouping::One,
        false => Grouping::By(labels),
    }
}

/// The labels that `=` matchers give. A name that has several matchers has no one value, and one
/// that has to be empty is no label. The name of a metric is none either.
fn absent_labels(matchers: &[Matcher]) -> Labels {
    let mut labels = LabelsBuilder::default();
    let mut taken_away = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name != "__name__") {
        if matcher.op != MatchOp::Equal || labels.get(&matcher.name).is_some() {
            taken_away.push(&matcher.name);
        } else if !matcher.value.is_empty() {
            labels.set(&matcher.name, &matcher.value);
        }
    }
    taken_away.iter().for_each(|name| labels.remove(name));
    labels.build()
}

/// One past the last instant of a log query. As in Loki, an empty range is its one instant.
fn log_end(params: &Params) -> i64 {
    let (start, end) = (params.start.0, params.end.0);
    if start == end { end.saturating_add(1) } else { end }
}

fn compile_matchers(matchers: &[Matcher]) -> Result<Vec<ValueMatcher>, QueryError> {
    let compile = |matcher: &Matcher| {
        ValueMatcher::new(matcher.op, &matcher.value)
            .map_err(|why| QueryError::Invalid(format!("parse error : {why}")))
    };
    matchers.iter().map(compile).collect()
}

/// The compiled stages and their names. If a stage cannot be built there are none, and its text.
fn build(stages: &[Stage], now: UnixNanos) -> (Pipeline, NameList, Option<String>) {
    let mut names = NameList::new();
    match Pipeline::new(stages, &mut names, now) {
        Ok(pipeline) => (pipeline, names, None),
        Err(error) => (Pipeline::default(), NameList::new(), Some(error)),
    }
}

/// The stages without the `line_format`s whose line nobody reads: Loki does not even build them
/// (contract 11).
fn without_idle_formats(stages: &[Stage], function: Function) -> Vec<Stage> {
    let mut read = function.measured == Measured::Length;
    let mut kept = Vec::with_capacity(stages.len());
    for stage in stages.iter().rev() {
        match stage {
            Stage::LineFormat(_) if !read => continue,
            Stage::LabelFilter(_) | Stage::Drop(_) | Stage::Keep(_) | Stage::Decolorize => {}
            _ => read = true,
        }
        kept.push(stage.clone());
    }
    kept.reverse();
    kept
}

/// What filters look at. A parser may leave a line when it has it all, unless a filter looks at
/// errors, which may come later in the line.
fn wanted_by_filters(pipeline: &Pipeline, names: &mut NameList) -> Wanted {
    if pipeline.needs_all_labels() {
        return Wanted::All;
    }
    let (mut looked_at, mut errors_matter) = (Vec::new(), false);
    pipeline.filter_names(&mut |name, error| {
        looked_at.push(name);
        errors_matter |= error;
    });
    names.close();
    some(&looked_at, names, !errors_matter)
}

/// What filters and the grouping look at; nothing = parsers need not run at all (contract 6.11).
fn wanted_by_series(
    pipeline: &Pipeline,
    grouping: &Grouping,
    names: &mut NameList,
) -> Option<Wanted> {
    if pipeline.needs_all_labels() {
        return Some(Wanted::All);
    }
    let mut looked_at = match grouping {
        Grouping::Without(_) => return Some(Wanted::All),
        Grouping::One => Vec::new(),
        Grouping::By(labels) => labels.clone(),
    };
    pipeline.filter_names(&mut |name, _| looked_at.push(name));
    names.close();
    // Whoever asks for `x_extracted` may get it only through `x`: Loki requires both.
    let stems: Vec<NameId> = looked_at
        .iter()
        .filter_map(|&name| names.names()[name as usize].strip_suffix(EXTRACTED_SUFFIX))
        .map(str::to_owned)
        .collect::<Vec<String>>()
        .iter()
        .map(|stem| names.number(stem))
        .collect();
    looked_at.extend(stems);
    (!looked_at.is_empty()).then(|| some(&looked_at, names, true))
}

fn some(looked_at: &[NameId], names: &NameList, stop: bool) -> Wanted {
    let mut wanted = vec![false; names.names().len()];
    for &name in looked_at {
        wanted[name as usize] = true;
    }
    Wanted::Some { names: wanted, stop }
}

fn label_needles(texts: Vec<LabelText>, names: &NameList) -> Vec<LabelNeedles> {
    let label = |&name: &NameId| names.names()[name as usize].clone();
    let public = |text: LabelText| LabelNeedles {
        labels: text.names.iter().map(label).collect(),
        any: text.group,
    };
    texts.into_iter().map(public).collect()
}

/// Metadata columns that are looked at. A parsed label steps aside from a metadata key of its
/// name, and `x_extracted` may be what metadata `x` is called.
fn metadata_needs(
    pipeline: &Pipeline,
    grouping: &Grouping,
    names: &NameList,
) -> Option<Vec<String>> {
    if matches!(grouping, Grouping::Without(_)) || pipeline.needs_all_labels() {
        return None;
    }
    let mut needed: Vec<NameId> = vec![ERROR, ERROR_DETAILS];
    if let Grouping::By(labels) = grouping {
        needed.extend(labels);
    }
    pipeline.filter_names(&mut |name, _| needed.push(name));
    let mut columns = Vec::new();
    for name in needed {
        let name = &names.names()[name as usize];
        columns.push(name.clone());
        columns.extend(name.strip_suffix(EXTRACTED_SUFFIX).map(str::to_owned));
    }
    if pipeline.made() != Made::Nothing {
        // Keys that a path or a requested key fills step aside too.
        columns.extend(names.names().iter().cloned());
    }
    columns.sort_unstable();
    columns.dedup();
    Some(columns)
}
