//! One tail, step by step: history, then what came since.

use std::collections::VecDeque;
use std::sync::Arc;

use base::hash::hash128;
use base::{HashSet, Labels, TenantId, UnixNanos, task};
use logql::engine::{Answer, Origins, Partial, Stream};
use logql::plan::{Direction, Leaf, Params, Plan};
use logql::syntax::{Expr, LogExpr};
use rpc::http::Tenants;
use rpc::tail::{Cursor, TailJob};

use crate::error::Error;
use crate::frontend::Frontend;
use crate::http::params::RangeQuery;
use crate::query::{Asked, Query};

/// Lines that are remembered. A line that comes again, because a client has repeated a push or
/// because history has shown it, is told once if it is among them.
const REMEMBERED: usize = 1 << 17;
/// Instants of all rows.
const EVER_NS: i64 = 4_500_000_000_000_000_000;
/// How far history looks ahead: clocks of senders differ.
const AHEAD_NS: i64 = 3_600_000_000_000;

/// What is tailed.
#[derive(Clone, Debug)]
pub struct TailQuery {
    /// Whose rows.
    pub tenant: TenantId,
    /// The query as the client wrote it.
    pub text: String,
    /// Which rows.
    pub log: LogExpr,
    /// History begins here.
    pub start: UnixNanos,
    /// Most lines of history, the newest.
    pub limit: usize,
    /// What the client says of itself.
    pub tags: String,
    /// Whether lines say where their labels come from.
    pub categorize: bool,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When.
    pub ts_ns: i64,
    /// All labels.
    pub labels: Labels,
    /// Which of them are no stream labels, if that was asked for.
    pub origins: Option<Origins>,
    /// The line after the pipeline.
    pub line: Vec<u8>,
}

/// One tail.
pub struct Follow {
    frontend: Arc<Frontend>,
    tenant: TenantId,
    plan: Arc<Plan>,
    cursor: Cursor,
    /// Ingesters that did not answer in the last step.
    silent: Vec<String>,
    recent: Recent,
}

impl Follow {
    /// Begins a tail; returns its history, oldest line first.
    pub async fn begin(
        frontend: Arc<Frontend>,
        query: TailQuery,
    ) -> Result<(Follow, Vec<Line>), Error> {
        let plan = Arc::new(Plan::new(&Expr::Log(query.log.clone()), &params(&frontend, &query))?);
        let tenant = query.tenant.clone();
        let job = TailJob { tenant: tenant.clone(), leaf: leaf(&plan), cursor: None };
        // The cursor first: what comes before history is read is in both.
        let begun = frontend.tail(job).await?;
        let (cursor, silent) = (begun.cursor, begun.silent);
        let streams = history(&frontend, query).await?;
        let recent = Recent::default();
        let mut follow = Follow { frontend, tenant, plan, cursor, silent, recent };
        let lines = follow.news(streams);
        Ok((follow, lines))
    }

    /// What came since, oldest line first, and whether there is no more at present.
    pub async fn next(&mut self) -> Result<(Vec<Line>, bool), Error> {
        let (tenant, leaf) = (self.tenant.clone(), leaf(&self.plan));
        let job = TailJob { tenant, leaf, cursor: Some(self.cursor.clone()) };
        let tailed = self.frontend.tail(job).await?;
        if self.silent != tailed.silent {
            // Told when it changes, not with every step.
            tracing::warn!(silent = ?tailed.silent, "ingesters that a tail does without");
            self.silent = tailed.silent;
        }
        let streams = self.render(tailed.partial).await?;
        self.cursor = tailed.cursor;
        Ok((self.news(streams), tailed.is_all))
    }

    async fn render(&self, partial: Partial) -> Result<Vec<Stream>, Error> {
        let plan = self.plan.clone();
        let job = task::blocking("frontend.tail", move || plan.finish(vec![partial]));
        let died = |died| Error::Internal(format!("an answer died: {died}"));
        match job.await.map_err(died)?? {
            Answer::Streams(streams) => Ok(streams),
            _ => Err(Error::Internal("a log query was answered with samples".to_owned())),
        }
    }

    /// The lines that were not told yet, in order of time.
    fn news(&mut self, streams: Vec<Stream>) -> Vec<Line> {
        let mut lines = Vec::new();
        for stream in streams {
            for entry in stream.entries {
                let line = Line {
                    ts_ns: entry.ts_ns,
                    labels: stream.labels.clone(),
                    origins: stream.origins.get(entry.origins as usize).cloned(),
                    line: entry.line,
                };
                if self.recent.is_new(&line) {
                    lines.push(line);
                }
            }
        }
        lines.sort_by_key(|line| line.ts_ns);
        lines
    }
}

fn leaf(plan: &Plan) -> Arc<Leaf> {
    plan.leaves()[0].clone()
}

/// All rows, whenever they are of.
fn params(frontend: &Frontend, query: &TailQuery) -> Params {
    Params {
        start: UnixNanos(-EVER_NS),
        end: UnixNanos(EVER_NS),
        // A step is bounded by its bytes.
        limit: u32::MAX as usize,
        direction: Direction::Forward,
        max_memory_bytes: frontend.config().max_query_memory_bytes,
        categorize: query.categorize,
        ..Params::at(frontend.clock().now())
    }
}

async fn history(frontend: &Frontend, query: TailQuery) -> Result<Vec<Stream>, Error> {
    let TailQuery { tenant, text, log, start, limit, tags, categorize } = query;
    let end = UnixNanos(frontend.clock().now().0.saturating_add(AHEAD_NS));
    let asked = RangeQuery {
        query: text,
        start,
        end,
        // Lines have no steps; who reads the leaf bounds their number all the same.
        step_ns: end.0.saturating_sub(start.0).max(1),
        interval_ns: 0,
        limit,
        direction: Direction::Backward,
    };
    if start >= end {
        return Ok(Vec::new());
    }
    let (tenants, expr, asked) = (Tenants::one(tenant), Expr::Log(log), Asked::Range(asked));
    match frontend.evaluate(Query { tenants, expr, asked, tags, categorize }).await?.answer {
        Answer::Streams(streams) => Ok(streams),
        _ => Err(Error::Internal("a log query was answered with samples".to_owned())),
    }
}

/// The lines that were told last.
#[derive(Default)]
struct Recent {
    known: HashSet<u128>,
    order: VecDeque<u128>,
    scratch: Vec<u8>,
}

impl Recent {
    /// Whether the line is not known; from then on it is. Loki compares what leaves the pipeline.
    fn is_new(&mut self, line: &Line) -> bool {
        self.scratch.clear();
        self.scratch.extend_from_slice(&line.ts_ns.to_le_bytes());
        for (name, value) in line.labels.iter() {
            for text in [name, value] {
                self.scratch.extend_from_slice(&(text.len() as u32).to_le_bytes());
                self.scratch.extend_from_slice(text.as_bytes());
            }
        }
        // No length: the line is last, and no label's length comes in its place.
        self.scratch.extend_from_slice(&u32::MAX.to_le_bytes());
        self.scratch.extend_from_slice(&line.line);
        let hash = hash128(&self.scratch);
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}
