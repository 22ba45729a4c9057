//! `/ring`: who is in the ring, as a page or (`Accept: application/json`) as JSON; the form
//! `forget=ID` takes out a store that is lost for ever.
//!
//! The JSON has the keys of Loki's, and ours beside them.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base::time::Clock;
use base::{ErrorKind, StoreId, UnixNanos};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ring::{Command, Instance, Phase, Placement, Refusal, State, shares};
use rpc::http::{Form, HttpError};
use serde_json::{Value, json};

use super::Membership;

/// What the routes show.
#[derive(Clone)]
pub struct Page {
    /// `None`: this process is in no ring.
    pub ring: Option<Membership>,
    /// For `now`.
    pub clock: Arc<dyn Clock>,
}

/// `/ring`. It needs no tenant.
pub fn router(page: Page) -> Router {
    Router::new().route("/ring", get(show).post(forget)).with_state(page)
}

async fn show(Extracted(page): Extracted<Page>, headers: HeaderMap, form: Form) -> Response {
    let Some(ring) = &page.ring else { return nowhere().into_response() };
    let view = View::new(ring, page.clock.now());
    let accepts = headers.get(header::ACCEPT).and_then(|accepts| accepts.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains("application/json")) {
        let json = HeaderValue::from_static("application/json; charset=UTF-8");
        return ([(header::CONTENT_TYPE, json)], view.json().to_string()).into_response();
    }
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let with_tokens = form.value("tokens") == "true";
    ([(header::CONTENT_TYPE, html)], view.html(with_tokens)).into_response()
}

fn nowhere() -> HttpError {
    HttpError::push(ErrorKind::NotFound, "this process is in no ring (ring.join)")
}

async fn forget(Extracted(page): Extracted<Page>, form: Form) -> Result<Response, HttpError> {
    let ring = page.ring.as_ref().ok_or_else(nowhere)?;
    let id = form.value("forget");
    take_out(ring, id).await?;
    Ok((StatusCode::FOUND, [(header::LOCATION, HeaderValue::from_static("/ring"))]).into_response())
}

/// Takes the instance `id` (its name or its store) out of the ring for ever. Whoever asks for it says
/// that no acknowledged row is on this store alone, or that those that are may be lost.
async fn take_out(ring: &Membership, id: &str) -> Result<(), HttpError> {
    let state = ring.newest();
    let is_it = |i: &&Arc<Instance>| i.id == id || i.store.to_string() == id;
    let Some(found) = state.instances.values().find(is_it) else {
        return Err(HttpError::push(ErrorKind::NotFound, format!("the ring has no {id:?}")));
    };
    let store = found.store;
    if found.is_up && found.phase != Phase::Gone {
        let text = format!("{id:?} answers: stop it with /ingester/shutdown, which loses nothing");
        return Err(HttpError::push_with(409, text));
    }
    for command in [Command::Gone { store }, Command::Forget { store }] {
        let outcome = ring.propose(command).await;
        let outcome = outcome.map_err(|error| HttpError::push(error.kind(), error.to_string()))?;
        match outcome.version() {
            Ok(version) => {
                // Who reads the page next sees it gone.
                ring.watch().wait_for(|state| state.version >= version).await;
            }
            // Without rows it went with the first of them.
            Err(Refusal::Unknown(_) | Refusal::Retired(_)) => {}
            Err(refusal) => return Err(HttpError::push_with(409, refusal.to_string())),
        }
    }
    tracing::warn!(%store, instance = id, "an operator has forgotten an instance");
    Ok(())
}

/// The ring as one process sees it.
struct View {
    now: UnixNanos,
    own: StoreId,
    state: Arc<State>,
    owned: Vec<ring::Share>,
    voters: Vec<StoreId>,
    leader: Option<StoreId>,
}

impl View {
    fn new(ring: &Membership, now: UnixNanos) -> View {
        let state = ring.newest();
        View {
            now,
            own: ring.own().store,
            owned: shares(&Placement::new(&state)),
            voters: ring.voters(),
            leader: ring.leader().map(|leader| leader.store),
            state,
        }
    }

    fn owned(&self, store: StoreId) -> f64 {
        let share = self.owned.iter().find(|share| share.store == store);
        share.map_or(0.0, |share| share.owned)
    }

    /// Ingesters first, by name.
    fn instances(&self) -> Vec<&Instance> {
        let mut all: Vec<&Instance> = self.state.instances.values().map(|i| &**i).collect();
        all.sort_by_key(|instance| (!instance.is_ingester(), &instance.id, instance.store));
        all
    }

    fn json(&self) -> Value {
        let (ingesters, others): (Vec<&Instance>, Vec<&Instance>) =
            self.instances().into_iter().partition(|instance| instance.is_ingester());
        let list = |instances: Vec<&Instance>| -> Vec<Value> {
            instances.into_iter().map(|instance| self.shard(instance)).collect()
        };
        let text = |store: &StoreId| store.to_string();
        json!({
            "shards": list(ingesters),
            "others": list(others),
            "now": time(self.now),
            "cluster": self.state.cluster.to_string(),
            "version": self.state.version,
            "placement_version": self.state.placement_version,
            "replication_factor": self.state.write_factor(),
            "read_replication_factor": self.state.read_factor(),
            "voters": self.voters.iter().map(text).collect::<Vec<String>>(),
            "leader": self.leader.as_ref().map(text),
            "self": self.own.to_string(),
        })
    }

    fn shard(&self, instance: &Instance) -> Value {
        let departure = instance.departure.as_ref().map(|departure| {
            let cleared = departure.cleared.iter().map(StoreId::to_string);
            json!({
                "since": departure.since,
                "leaving": departure.is_leaving,
                "cleared": cleared.collect::<Vec<String>>(),
            })
        });
        // Nobody keeps times of signs of life: whoever is up was heard within seconds.
        let heard = if instance.is_up { time(self.now) } else { String::new() };
        json!({
            "id": instance.id,
            "state": phase(instance),
            "address": instance.grpc_address,
            "timestamp": heard,
            "registered_timestamp": time(made_at(instance.store)),
            "read_only": false,
            "read_only_updated_timestamp": "",
            "zone": instance.zone,
            "tokens": instance.tokens,
            "store": instance.store.to_string(),
            "http_address": instance.http_address,
            "roles": instance.roles.names().collect::<Vec<&str>>(),
            "phase": instance.phase.as_str(),
            "up": instance.is_up,
            "owned": self.owned(instance.store),
            "voter": self.voters.contains(&instance.store),
            "seen": instance.seen,
            "replication_factor": instance.factor,
            "departure": departure,
        })
    }

    fn html(&self, with_tokens: bool) -> String {
        let mut page = String::from(HEAD);
        let leader = self.leader.map_or("none is known".to_owned(), |leader| leader.to_string());
        let state = &self.state;
        let mut put = |text: std::fmt::Arguments<'_>| {
            let written = page.write_fmt(text);
            debug_assert!(written.is_ok());
        };
        put(format_args!(
            "<p>Cluster {}, version {} (placement {}), replication factor {} (reads count on {}), \
             leader {leader}.</p>\n<table>\n<tr><th>Instance<th>State<th>Up<th>Zone<th>Address\
             <th>HTTP<th>Roles<th>Store<th>Voter<th>Owned<th></tr>\n",
            state.cluster,
            state.version,
            state.placement_version,
            state.write_factor(),
            state.read_factor(),
        ));
        for instance in self.instances() {
            let mark = match (self.voters.contains(&instance.store), self.leader) {
                (_, Some(leader)) if leader == instance.store => "leader",
                (true, _) => "voter",
                (false, _) => "",
            };
            let own = if instance.store == self.own { " (this process)" } else { "" };
            put(format_args!(
                "<tr><td>{}{own}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{mark}<td>{:.1} %<td>",
                escape(&instance.id),
                phase(instance),
                if instance.is_up { "yes" } else { "no" },
                escape(&instance.zone),
                escape(&instance.grpc_address),
                escape(&instance.http_address),
                instance.roles.names().collect::<Vec<&str>>().join(", "),
                instance.store,
                100.0 * self.owned(instance.store),
            ));
            if !instance.is_up {
                put(format_args!(
                    "<form method=post action=/ring><button name=forget value=\"{}\">Forget\
                     </button></form>",
                    instance.store
                ));
            }
            put(format_args!("</tr>\n"));
            if with_tokens {
                let tokens: Vec<String> = instance.tokens.iter().map(u32::to_string).collect();
                put(format_args!("<tr><td colspan=11>{}</tr>\n", tokens.join(" ")));
            }
        }
        put(format_args!("</table>\n<p>{}</p>\n</html>\n", time(self.now)));
        page
    }
}

const HEAD: &str = "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Ring</title>\n\
    <style>body{font-family:sans-serif}td,th{text-align:left;padding:.2em .8em}</style>\n\
    <h1>Ring</h1>\n";

/// As Loki's page calls it.
fn phase(instance: &Instance) -> &'static str {
    match instance.phase {
        Phase::Joining => "JOINING",
        Phase::Active if !instance.is_up => "UNHEALTHY",
        Phase::Active => "ACTIVE",
        Phase::Leaving => "LEAVING",
        Phase::Gone => "LEFT",
    }
}

/// When the directory of a store was made: its id says it, to the millisecond.
fn made_at(store: StoreId) -> UnixNanos {
    let ms = i64::try_from(store.0.timestamp_ms()).unwrap_or(i64::MAX);
    UnixNanos(ms.saturating_mul(1_000_000))
}

fn time(at: UnixNanos) -> String {
    let seconds = at.0.div_euclid(1_000_000_000);
    let nanos = at.0.rem_euclid(1_000_000_000) as u32;
    let time = chrono::DateTime::from_timestamp(seconds, nanos);
    time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)).unwrap_or_default()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
