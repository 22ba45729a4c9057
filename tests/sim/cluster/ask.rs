//! Queries and what their answers may be (P1, P2, P3).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use serde_json::Value;
use tower::ServiceExt;

use super::nodes::{Cluster, Node};
use super::push::{APPS, MIDNIGHT_NS, TENANTS};
use super::record::{Record, Row, Wanted};
use super::world::{Chance, event};

/// How long a client waits.
const PATIENCE: Duration = Duration::from_secs(100);
const SECOND_NS: i64 = 1_000_000_000;

/// A query of one of the paths.
#[derive(Clone, Debug)]
pub struct Ask {
    pub wanted: Wanted,
    pub shape: Shape,
}

#[derive(Clone, Debug)]
pub enum Shape {
    Log {
        limit: usize,
        forward: bool,
    },
    /// Counts at the last instant, over all of the range.
    Count,
    /// Counts of consecutive windows of this many seconds.
    Counts {
        step_s: i64,
    },
    /// Values of the label `app`.
    Apps,
}

/// What a client was told.
pub enum Told {
    Answer(Value),
    Refused { status: u16, text: String },
    Nothing(String),
}

impl Ask {
    pub fn random(chance: &Chance) -> Ask {
        let tenant = *chance.pick(&TENANTS);
        let app = chance.happens(400).then(|| *chance.pick(&APPS));
        let needle = chance.happens(250).then(|| format!("k{} ", chance.below(5)));
        let wide = chance.happens(500);
        let at = |s: i64| MIDNIGHT_NS + s * SECOND_NS;
        let (mut from_s, mut to_s) = (-10_800, 10_800);
        if !wide {
            from_s = chance.between(0, 14_000) as i64 - 7_200;
            to_s = from_s + 1 + chance.between(1, 7_200) as i64;
        }
        let wanted = Wanted { tenant, app, needle, from_ns: at(from_s), to_ns: at(to_s) };
        let shape = match chance.below(10) {
            0..=4 => Shape::Log {
                limit: if chance.happens(700) { 5_000 } else { chance.between(1, 12) as usize },
                forward: chance.happens(500),
            },
            5 | 6 => Shape::Count,
            7 | 8 => Shape::Counts { step_s: (to_s - from_s).div_euclid(7).max(1) },
            _ => Shape::Apps,
        };
        // The label's values depend on streams, not on lines.
        let wanted = match shape {
            Shape::Apps => Wanted { app: None, needle: None, ..wanted },
            _ => wanted,
        };
        Ask::new(wanted, shape)
    }

    fn new(mut wanted: Wanted, shape: Shape) -> Ask {
        if let Shape::Counts { step_s } = shape {
            // Instants are whole multiples of the step; a window is open at its start.
            let step_ns = step_s * SECOND_NS;
            wanted.from_ns = wanted.from_ns.div_euclid(step_ns) * step_ns + 1;
            wanted.to_ns = (wanted.to_ns.div_euclid(step_ns) + 1) * step_ns + 1;
        }
        Ask { wanted, shape }
    }

    /// Everything of a tenant, as a log query or counted.
    pub fn everything(tenant: &'static str, shape: Shape) -> Ask {
        let from_ns = MIDNIGHT_NS - 40_000 * SECOND_NS;
        let to_ns = MIDNIGHT_NS + 40_000 * SECOND_NS;
        Ask::new(Wanted { tenant, app: None, needle: None, from_ns, to_ns }, shape)
    }

    fn selector(&self) -> String {
        let filter = match &self.wanted.needle {
            Some(needle) => format!(" |= `{needle}`"),
            None => String::new(),
        };
        match self.wanted.app {
            Some(app) => format!("{{app=\"{app}\"}}{filter}"),
            None => format!("{{app=~\".+\"}}{filter}"),
        }
    }

    fn uri(&self) -> String {
        let Wanted { from_ns, to_ns, .. } = self.wanted;
        let selector = self.selector();
        match &self.shape {
            Shape::Log { limit, forward } => {
                let direction = if *forward { "forward" } else { "backward" };
                let query = encoded(&selector);
                format!(
                    "/loki/api/v1/query_range?query={query}&start={from_ns}&end={to_ns}\
                     &limit={limit}&direction={direction}"
                )
            }
            Shape::Count => {
                let seconds = (to_ns - from_ns) / SECOND_NS;
                let query = format!("sum(count_over_time({selector}[{seconds}s]))");
                // The window is open at its start and closed at its end.
                format!("/loki/api/v1/query?query={}&time={}", encoded(&query), to_ns - 1)
            }
            Shape::Counts { step_s } => {
                let query = encoded(&format!("sum(count_over_time({selector}[{step_s}s]))"));
                let first = from_ns - 1 + step_s * SECOND_NS;
                let end = to_ns - 1;
                format!(
                    "/loki/api/v1/query_range?query={query}&start={first}&end={end}&step={step_s}s"
                )
            }
            Shape::Apps => {
                format!("/loki/api/v1/label/app/values?start={from_ns}&end={}", to_ns - 1)
            }
        }
    }
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let escape = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(escape).collect()
}

/// Sends one request to a reader.
async fn send(reader: &Node, ask: &Ask) -> Told {
    let Some((process, router)) = reader.http.server() else {
        return Told::Nothing(format!("{} refuses connections", reader.name));
    };
    let request = http::Request::get(ask.uri())
        .header("x-scope-orgid", ask.wanted.tenant)
        .body(Body::empty())
        .expect("a valid request");
    let router = axum::Router::clone(&router);
    let answer = process.spawn(async move {
        let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 64 << 20).await;
        (status, body.map(|body| body.to_vec()).unwrap_or_default())
    });
    match tokio::time::timeout(PATIENCE, answer).await {
        Err(_) => Told::Nothing("no answer in time".to_owned()),
        Ok(Err(_)) => Told::Nothing("the connection broke".to_owned()),
        Ok(Ok((200, body))) => match serde_json::from_slice(&body) {
            Ok(value) => Told::Answer(value),
            Err(error) => Told::Refused { status: 200, text: error.to_string() },
        },
        Ok(Ok((status, body))) => {
            Told::Refused { status, text: String::from_utf8_lossy(&body).into_owned() }
        }
    }
}

/// Asks and holds the answer against the record. Returns whether there was an answer.
pub async fn ask(cluster: &Arc<Cluster>, record: &Record, reader: &Node, ask: &Ask) -> bool {
    let world = &cluster.world;
    let promised = record.promised(&ask.wanted);
    let was_faulty = world.is_faulty();
    let told = send(reader, ask).await;
    let who = format!("asks {}", reader.name);
    let excused = was_faulty || world.is_faulty();
    match told {
        Told::Answer(value) => {
            let must = record.still_promised(promised);
            let may = record.sent(&ask.wanted);
            let (musts, mays) = (must.len(), may.len());
            match check(ask, &value, &must, &may) {
                Ok(found) => {
                    let shape = &ask.shape;
                    event!(world, &who, "{shape:?}: {found} of {musts} to {mays} rows");
                }
                Err(broken) => {
                    event!(world, &who, "{ask:?} is told {value}");
                    world.violate(format!("{} at {}: {broken}", ask.uri(), reader.name));
                }
            }
            true
        }
        Told::Refused { status, text } => {
            event!(world, &who, "{:?}: {status} {text}", ask.shape);
            if !(excused && (status == 503 || status == 504)) {
                let uri = ask.uri();
                world.violate(format!("{uri} at {}: {status} {text} without a fault", reader.name));
            }
            false
        }
        Told::Nothing(why) => {
            event!(world, &who, "{:?}: {why}", ask.shape);
            if !excused {
                world.violate(format!("{} does not answer: {why}, without a fault", reader.name));
            }
            false
        }
    }
}

/// How many rows were found, or which promise is broken.
fn check(ask: &Ask, value: &Value, must: &[Row], may: &BTreeSet<Row>) -> Result<usize, String> {
    let result = &value["data"]["result"];
    match &ask.shape {
        Shape::Log { limit, forward } => check_log(ask, result, *limit, *forward, must, may),
        Shape::Count => {
            let count = number(&result[0]["value"][1])?;
            between(count, must.len(), may.len(), "the count")?;
            Ok(count)
        }
        Shape::Counts { step_s } => check_counts(ask, result, *step_s, must, may),
        Shape::Apps => {
            let told = value["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            let told: BTreeSet<&str> = told.iter().filter_map(Value::as_str).collect();
            let must: BTreeSet<&str> = must.iter().map(|row| row.app.as_str()).collect();
            match must.difference(&told).next() {
                Some(lost) => Err(format!("P1/P3: no label value {lost}, told {told:?}")),
                None => Ok(told.len()),
            }
        }
    }
}

fn number(value: &Value) -> Result<usize, String> {
    match value {
        Value::Null => Ok(0),
        Value::String(text) => text.parse().map_err(|error| format!("{text}: {error}")),
        other => Err(format!("{other} is no number")),
    }
}

fn between(count: usize, least: usize, most: usize, what: &str) -> Result<(), String> {
    if count < least {
        return Err(format!("P1/P3: {what} is {count}, {least} rows are promised"));
    }
    if count > most {
        return Err(format!("P2: {what} is {count}, only {most} rows were ever sent"));
    }
    Ok(())
}

fn check_log(
    ask: &Ask,
    result: &Value,
    limit: usize,
    forward: bool,
    must: &[Row],
    may: &BTreeSet<Row>,
) -> Result<usize, String> {
    let mut found = BTreeSet::new();
    let mut times = Vec::new();
    for stream in result.as_array().map(Vec::as_slice).unwrap_or_default() {
        let label = |name: &str| stream["stream"][name].as_str().map(str::to_owned);
        let (app, trace) = (label("app").unwrap_or_default(), label("trace"));
        let values = stream["values"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut last = None;
        for value in values {
            let ts_ns: i64 = value[0].as_str().unwrap_or("").parse().map_err(|e| format!("{e}"))?;
            let line = value[1].as_str().unwrap_or_default().to_owned();
            let tenant = ask.wanted.tenant;
            let row = Row { tenant, app: app.clone(), ts_ns, line, trace: trace.clone() };
            if last.is_some_and(|last| if forward { ts_ns < last } else { ts_ns > last }) {
                return Err(format!("{row:?} is out of order"));
            }
            last = Some(ts_ns);
            times.push(ts_ns);
            if !may.contains(&row) {
                return Err(format!("foreign: {row:?} was never sent"));
            }
            if let Some(row) = found.replace(row) {
                return Err(format!("P2: twice: {row:?}"));
            }
        }
    }
    if found.len() > limit {
        return Err(format!("{} rows over a limit of {limit}", found.len()));
    }
    // What lies beyond the last row of a full answer need not be there.
    let is_full = found.len() == limit;
    let edge = if forward { times.iter().max() } else { times.iter().min() };
    let is_due = |row: &&Row| match edge {
        Some(&edge) if is_full => {
            if forward {
                row.ts_ns < edge
            } else {
                row.ts_ns > edge
            }
        }
        _ => true,
    };
    match must.iter().filter(is_due).find(|row| !found.contains(row)) {
        Some(lost) => Err(format!("P1/P3: acknowledged and not found: {lost:?}")),
        None => Ok(found.len()),
    }
}

fn check_counts(
    ask: &Ask,
    result: &Value,
    step_s: i64,
    must: &[Row],
    may: &BTreeSet<Row>,
) -> Result<usize, String> {
    let points = result[0]["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut sum = 0;
    let step_ns = step_s * SECOND_NS;
    let mut from_ns = ask.wanted.from_ns;
    let mut point = points.iter();
    let mut next = point.next();
    while from_ns + step_ns <= ask.wanted.to_ns {
        let to_ns = from_ns + step_ns;
        let window = ask.wanted.within(from_ns, to_ns);
        // Points say milliseconds; the instant is one nanosecond before the window's end.
        let at_ms = (to_ns - 1).div_euclid(1_000_000);
        let is_here = next.is_some_and(|point| {
            (point[0].as_f64().unwrap_or(0.0) * 1000.0).round() as i64 - at_ms <= 1
        });
        let count = if is_here { number(&next.map_or(Value::Null, |p| p[1].clone()))? } else { 0 };
        if is_here {
            next = point.next();
        }
        let least = must.iter().filter(|row| window.matches(row)).count();
        let most = may.iter().filter(|row| window.matches(row)).count();
        between(count, least, most, &format!("the count from {from_ns} to {to_ns}"))?;
        sum += count;
        from_ns = to_ns;
    }
    match next {
        Some(point) => Err(format!("a point too many: {point}")),
        None => Ok(sum),
    }
}
