//! `/ring`: who is in the ring, as a page or (`Accept: application/json`) as JSON; the form
//! `forget=ID` takes out a store that is lost for ever. `/distributor/ring` and its like are the same
//! with other instances first. `/memberlist` says that there is none.
//!
//! The JSON has the keys of Loki's, and ours beside them.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base::time::Clock;
use base::{ErrorKind, StoreId, UnixNanos};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use ring::{Command, Instance, Phase, Placement, Refusal, Roles, State, shares};
use rpc::http::{Form, HttpError};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Membership;

/// How long a committed change may take to this process.
const REACH: Duration = Duration::from_secs(5);

/// What the routes show.
#[derive(Clone)]
pub struct Page {
    /// `None`: this process is in no ring.
    pub ring: Option<Membership>,
    /// For `now`.
    pub clock: Arc<dyn Clock>,
}

/// Where Loki has a ring of each service, and who is in it here.
const PATHS: [(&str, Roles); 7] = [
    ("/ring", Roles::INGESTER),
    ("/distributor/ring", Roles::DISTRIBUTOR),
    ("/scheduler/ring", Roles::QUERY_FRONTEND),
    ("/compactor/ring", Roles::COMPACTOR),
    ("/ruler/ring", Roles::RULER),
    // Whoever does the work of these here.
    ("/indexgateway/ring", Roles::QUERIER),
    ("/pattern/ring", Roles::INGESTER),
];

/// What is said of gossip, which Loki keeps rings by.
const NO_MEMBERLIST: &str =
    "This instance doesn't use memberlist: the ring is agreed upon by its ingesters, see /ring.";

/// `/ring` and those of single services. They need no tenant.
pub fn router(page: Page) -> Router {
    let route = |router: Router<Page>, (path, role): (&str, Roles)| {
        let show = move |page, headers, form| show(page, role, headers, form);
        router.route(path, get(show).post(forget))
    };
    let router = PATHS.into_iter().fold(Router::new(), route).with_state(page);
    router.route("/memberlist", get(memberlist))
}

async fn memberlist(headers: HeaderMap) -> Response {
    if accepts_json(&headers) {
        return as_json(&json!({ "message": NO_MEMBERLIST }));
    }
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let page = format!("<!doctype html>\n<title>Memberlist</title>\n<p>{NO_MEMBERLIST}</p>\n");
    ([(header::CONTENT_TYPE, html)], page).into_response()
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|accepts| accepts.to_str().ok());
    accepts.is_some_and(|accepts| accepts.contains("application/json"))
}

fn as_json(value: &Value) -> Response {
    let json = HeaderValue::from_static("application/json; charset=UTF-8");
    ([(header::CONTENT_TYPE, json)], value.to_string()).into_response()
}

async fn show(
    Extracted(page): Extracted<Page>,
    role: Roles,
    headers: HeaderMap,
    form: Form,
) -> Response {
    let Some(ring) = &page.ring else { return nowhere().into_response() };
    let view = View::new(ring, role, page.clock.now());
    if accepts_json(&headers) {
        return as_json(&view.json());
    }
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let with_tokens = form.value("tokens") == "true";
    ([(header::CONTENT_TYPE, html)], view.html(with_tokens)).into_response()
}

fn nowhere() -> HttpError {
    HttpError::push(ErrorKind::NotFound, "this process is in no ring (ring.join)")
}

async fn forget(
    Extracted(page): Extracted<Page>,
    uri: Uri,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    if is_from_elsewhere(&uri, &headers) {
        return Err(HttpError::push_with(403, "a page of another site may not change the ring"));
    }
    let ring = page.ring.as_ref().ok_or_else(nowhere)?;
    let id = form.value("forget");
    take_out(ring, id).await?;
    Ok((StatusCode::FOUND, [(header::LOCATION, HeaderValue::from_static("/ring"))]).into_response())
}

/// Whether a browser says that another site's page has sent this. Programs say nothing of the kind.
fn is_from_elsewhere(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let own = uri.authority().map(Authority::as_str).or_else(|| text("host"));
            origin.split_once("://").map(|(_, from)| from) != own
        }
        (None, None) => false,
    }
}

/// The instance `id`, by its store or its name. Of several with one name it is the one that is gone:
/// the others took its place.
fn named<'a>(state: &'a State, id: &str) -> Result<&'a Instance, HttpError> {
    let all = || state.instances.values().map(|instance| &**instance);
    if let Some(found) = all().find(|instance| instance.store.to_string() == id) {
        return Ok(found);
    }
    let found: Vec<&Instance> = all().filter(|instance| instance.id == id).collect();
    let is_lost = |instance: &Instance| instance.phase == Phase::Gone && !instance.is_forgotten();
    let gone = || found.iter().filter(|instance| is_lost(instance));
    match found.as_slice() {
        [] => Err(HttpError::push(ErrorKind::NotFound, format!("the ring has no {id:?}"))),
        [one] => Ok(one),
        _ if gone().count() == 1 => Ok(gone().next().expect("one was counted")),
        several => {
            let stores: Vec<String> = several.iter().map(|i| i.store.to_string()).collect();
            let text = format!("{id:?} is several: say which store, of {}", stores.join(", "));
            Err(HttpError::push_with(409, text))
        }
    }
}

/// Takes the instance `id` (its name or its store) out of the ring for ever. Whoever asks for it says
/// that no acknowledged row is on this store alone, or that those that are may be lost.
async fn take_out(ring: &Membership, id: &str) -> Result<(), HttpError> {
    let state = ring.newest();
    let found = named(&state, id)?;
    let store = found.store;
    if ring.leader().is_none() {
        let text = "the ring has no leader, so nobody can say who is lost: start voters, or see \
                    runelog ring recover";
        return Err(HttpError::push(ErrorKind::Unavailable, text));
    }
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
                let mut states = ring.watch();
                let known = states.wait_for(|state| state.version >= version);
                let _in_time = timeout(REACH, known).await;
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
    /// Whose instances come first.
    role: Roles,
    own: StoreId,
    state: Arc<State>,
    owned: Vec<ring::Share>,
    voters: Vec<StoreId>,
    leader: Option<StoreId>,
}

impl View {
    fn new(ring: &Membership, role: Roles, now: UnixNanos) -> View {
        let state = ring.newest();
        View {
            now,
            role,
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

    /// Those of the role first, by name.
    fn instances(&self) -> Vec<&Instance> {
        let mut all: Vec<&Instance> = self.state.instances.values().map(|i| &**i).collect();
        all.sort_by_key(|instance| (!instance.roles.has(self.role), &instance.id, instance.store));
        all
    }

    fn json(&self) -> Value {
        let (first, others): (Vec<&Instance>, Vec<&Instance>) =
            self.instances().into_iter().partition(|instance| instance.roles.has(self.role));
        let list = |instances: Vec<&Instance>| -> Vec<Value> {
            instances.into_iter().map(|instance| self.shard(instance)).collect()
        };
        let text = |store: &StoreId| store.to_string();
        json!({
            "shards": list(first),
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
            let uncleared = self.state.uncleared_by(instance.store);
            json!({
                "since": departure.since,
                "leaving": departure.is_leaving,
                "cleared": cleared.collect::<Vec<String>>(),
                "uncleared_by": uncleared.iter().map(StoreId::to_string).collect::<Vec<String>>(),
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
            "next_zone": self.next_zone(instance),
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

    /// What it is, and for whom it waits to be removed.
    fn state_text(&self, instance: &Instance) -> String {
        let uncleared = self.state.uncleared_by(instance.store);
        let name = |store: &StoreId| self.state.instance(*store).map(|other| other.id.as_str());
        let names: Vec<&str> = uncleared.iter().filter_map(name).collect();
        match names.is_empty() {
            true => phase(instance).to_owned(),
            false => format!("{} until cleared by {}", phase(instance), names.join(", ")),
        }
    }

    fn zone_text(&self, instance: &Instance) -> String {
        match self.next_zone(instance) {
            None => instance.zone.clone(),
            Some(next) => format!("{} (next {next})", instance.zone),
        }
    }

    /// The zone that it is on its way to.
    fn next_zone<'a>(&'a self, instance: &'a Instance) -> Option<&'a str> {
        let next = self.state.next_zone(instance);
        (next != instance.zone).then_some(next)
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
                escape(&self.state_text(instance)),
                if instance.is_up { "yes" } else { "no" },
                escape(&self.zone_text(instance)),
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

#[cfg(test)]
mod tests {
    use ring::{Registration, apply};
    use ulid::Ulid;

    use super::*;

    fn register(state: &mut State, store: u128, id: &str) {
        let command = Command::Register(Registration {
            store: StoreId(Ulid(store)),
            id: id.to_owned(),
            grpc_address: format!("h:{store}"),
            http_address: String::new(),
            zone: String::new(),
            roles: Roles::QUERIER,
            tokens: Vec::new(),
        });
        apply(state, &command);
    }

    #[test]
    fn of_several_with_one_name_the_gone_one_is_meant_or_a_store_must_be_said() {
        let mut state = State::new(Ulid(7));
        register(&mut state, 1, "a");
        register(&mut state, 2, "b");
        let of = |state: &State, id: &str| {
            named(state, id).map(|found| found.store.0.0).map_err(|error| error.status().as_u16())
        };
        let text = StoreId(Ulid(2)).to_string();
        assert_eq!([of(&state, "a"), of(&state, &text), of(&state, "c")], [Ok(1), Ok(2), Err(404)]);
        let rename = |state: &mut State, store: u128, change: fn(&mut Instance)| {
            let found = state.instances.get_mut(&StoreId(Ulid(store))).unwrap();
            change(Arc::make_mut(found));
        };
        rename(&mut state, 2, |found| found.id = "a".to_owned());
        assert_eq!([of(&state, "a"), of(&state, &text)], [Err(409), Ok(2)]);
        rename(&mut state, 1, |found| found.phase = Phase::Gone);
        assert_eq!(of(&state, "a"), Ok(1));
        rename(&mut state, 2, |found| found.phase = Phase::Gone);
        assert_eq!(of(&state, "a"), Err(409));
    }

    #[tokio::test]
    async fn without_gossip_the_page_of_it_says_so() {
        let clock: Arc<dyn Clock> = Arc::new(base::time::ManualClock::new(UnixNanos(0)));
        let ask = async |accept: &'static str| {
            let router = router(Page { ring: None, clock: clock.clone() });
            let request = http::Request::get("/memberlist").header(header::ACCEPT, accept);
            let request = request.body(axum::body::Body::empty()).unwrap();
            let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            (kind, String::from_utf8(body.to_vec()).unwrap())
        };
        let (kind, page) = ask("text/html").await;
        assert!(kind.starts_with("text/html") && page.contains(NO_MEMBERLIST), "{kind} {page}");
        let (kind, body) = ask("application/json").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(kind.starts_with("application/json"), "{kind}");
        assert_eq!(body, json!({ "message": NO_MEMBERLIST }));
    }

    #[test]
    fn what_another_sites_page_sends_is_known_by_what_browsers_say() {
        let is_from_elsewhere = |uri: &str, pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_from_elsewhere(&uri.parse().unwrap(), &headers)
        };
        let host = ("host", "h:3100");
        for pairs in [
            &[host] as &[_],
            &[],
            &[host, ("origin", "http://h:3100")],
            &[host, ("sec-fetch-site", "same-origin"), ("origin", "https://proxy")],
            &[host, ("sec-fetch-site", "none")],
        ] {
            assert!(!is_from_elsewhere("/ring", pairs), "{pairs:?}");
        }
        for pairs in [
            &[host, ("origin", "http://evil.example")] as &[_],
            &[host, ("origin", "null")],
            &[("origin", "http://h:3100")],
            &[host, ("origin", "http://h:3100"), ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ] {
            assert!(is_from_elsewhere("/ring", pairs), "{pairs:?}");
        }
        assert!(!is_from_elsewhere("http://h:3100/ring", &[("origin", "http://h:3100")]));
    }
}
