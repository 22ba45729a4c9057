//! `/loki/api/v1/tail`: the lines of a log query as they come, over a WebSocket (contract 2.12).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::{IntoResponse, Response};
use base::task;
use http::{HeaderMap, HeaderValue};
use logql::syntax::{Expr, parse_log};
use rpc::http::{Form, HttpError, Tenant, Tenants};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};

use super::encode::{self, EncodingFlags};
use super::params::{self, ParamError, RangeQuery};
use super::query_range::FLAGS_HEADER;
use super::refuse;
use super::telemetry::tags;
use crate::checks::Checks;
use crate::error::Error;
use crate::frontend::Frontend;
use crate::tail::{Follow, Frame, OpenTail, TailQuery, pump};

/// The longest a tail may hold lines back.
const MAX_DELAY_SECONDS: i64 = 5;
/// Frames that wait for the connection, as Loki has it.
const FRAMES: usize = 10;
/// How often the client is pinged, as Loki has it.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long the connection may take for one frame; a client that reads nothing for that long is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// A client has nothing to say.
const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// A close frame has 125 bytes, two of them its code.
const MAX_REASON_BYTES: usize = 123;

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

pub(super) async fn tail(
    State(frontend): State<Arc<Frontend>>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
    upgrade: Upgrade,
    form: Form,
) -> Result<Response, HttpError> {
    let flags = headers.get(FLAGS_HEADER).and_then(|value| value.to_str().ok());
    let flags = EncodingFlags::parse(flags.unwrap_or(""));
    let now = frontend.clock().now();
    let text = form.value("query").to_owned();
    let log = parse_log(&text).map_err(refuse)?;
    let limit = params::limit(&form).map_err(refuse)?;
    let (start, _) = params::bounds(&form, now).map_err(refuse)?;
    let delay = delay(&form)?;
    let tenants = Tenants::one(tenant.clone());
    let checks = Checks { limits: frontend.limits(), tenants: &tenants, now };
    let (direction, end) = (logql::plan::Direction::Backward, now.max(start));
    let (step_ns, interval_ns, expr) = (1_000_000_000, 0, Expr::Log(log.clone()));
    let mut asked =
        RangeQuery { query: text.clone(), start, end, step_ns, interval_ns, limit, direction };
    checks.range(&expr, &mut asked).map_err(refuse)?;
    let (start, tags, categorize) = (asked.start, tags(&headers), flags.categorize());
    let query = TailQuery { tenant, text, log, start, limit, tags, categorize };
    let Ok(upgrade) = upgrade else { return Ok(not_a_websocket()) };
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    let session = Session { frontend, query, delay, flags };
    Ok(upgrade.on_upgrade(move |socket| session.run(socket)))
}

fn delay(form: &Form) -> Result<Duration, HttpError> {
    let seconds = match form.value("delay_for") {
        "" => 0,
        text => params::integer(text).map_err(refuse)?,
    };
    if seconds > MAX_DELAY_SECONDS {
        let text = format!("delay_for can't be greater than {MAX_DELAY_SECONDS}");
        return Err(refuse(ParamError(text)));
    }
    Ok(Duration::from_secs(seconds.max(0) as u64))
}

/// What Go's usual library says to a request that is no handshake.
fn not_a_websocket() -> Response {
    let mut response = HttpError::push_with(400, "Bad Request").into_response();
    let version = HeaderValue::from_static("13");
    response.headers_mut().insert("sec-websocket-version", version);
    response
}

/// One tail over its connection.
struct Session {
    frontend: Arc<Frontend>,
    query: TailQuery,
    delay: Duration,
    flags: EncodingFlags,
}

/// Why a tail ends.
enum End {
    /// The client is gone, or said so.
    Gone,
    /// The client is told.
    Told(u16, String),
}

impl Session {
    async fn run(self, mut socket: WebSocket) {
        let limit = self.frontend.limits().max_concurrent_tail_requests(&self.query.tenant);
        let end = match self.frontend.open_tails().open(&self.query.tenant, limit) {
            Err(too_many) => End::Told(close_code::ERROR, too_many.to_string()),
            Ok(open) => self.follow(&mut socket, open).await,
        };
        if let End::Told(code, reason) = end {
            let reason = Utf8Bytes::from(cut(reason));
            let close = Message::Close(Some(CloseFrame { code, reason }));
            // Whoever is gone need not be told.
            let _ = timeout(WRITE_PATIENCE, socket.send(close)).await;
        }
    }

    async fn follow(self, socket: &mut WebSocket, _open: OpenTail) -> End {
        let Session { frontend, query, delay, flags } = self;
        let (ending, longest) =
            (frontend.open_tails().ending().clone(), frontend.config().tail_max_duration);
        let (to, mut frames) = mpsc::channel(FRAMES);
        let pump = task::spawn("tail", async move {
            match Follow::begin(frontend, query).await {
                Ok((follow, history)) => pump(follow, history, delay, &to).await,
                Err(error) => error,
            }
        });
        let mut pump = Aborting(pump);
        let mut pings = interval(PING_EVERY);
        let mut until = std::pin::pin!(sleep(longest));
        loop {
            let message = tokio::select! {
                biased;
                () = ending.cancelled() => {
                    return End::Told(close_code::AWAY, "the query frontend is stopping".to_owned());
                }
                () = &mut until => {
                    let reason = "reached tail max duration limit";
                    return End::Told(close_code::ERROR, reason.to_owned());
                }
                said = socket.recv() => match said {
                    None | Some(Err(_)) | Some(Ok(Message::Close(_))) => return End::Gone,
                    Some(Ok(_)) => continue,
                },
                frame = frames.recv() => match frame {
                    Some(frame) => text(&frame, &flags),
                    None => return ended(&mut pump).await,
                },
                _ = pings.tick() => Message::Ping(Vec::new().into()),
            };
            if !matches!(timeout(WRITE_PATIENCE, socket.send(message)).await, Ok(Ok(()))) {
                return End::Gone;
            }
        }
    }
}

fn text(frame: &Frame, flags: &EncodingFlags) -> Message {
    let text = encode::tail_frame(frame, flags);
    // Written by us as JSON, whatever the lines hold.
    Message::Text(String::from_utf8_lossy(&text).into_owned().into())
}

async fn ended(pump: &mut Aborting<Error>) -> End {
    match (&mut pump.0).await {
        Ok(error) => End::Told(close_code::ERROR, error.to_string()),
        Err(died) => End::Told(close_code::ERROR, format!("the tail died: {died}")),
    }
}

/// A task that ends with whoever waits for it.
struct Aborting<T>(task::JoinHandle<T>);

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// As much of a reason as a close frame has room for.
fn cut(mut reason: String) -> String {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}
