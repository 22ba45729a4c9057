//! A server that gives the answers it was told to, in order, and remembers what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base::task;

/// What the server was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub params: BTreeMap<String, String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// One answer: status, headers, body.
pub type Answer = (u16, Vec<(&'static str, String)>, String);

#[derive(Default)]
struct Inner {
    answers: VecDeque<Answer>,
    asked: Vec<Asked>,
}

/// A running server.
#[derive(Clone)]
pub struct Replay {
    pub url: String,
    inner: Arc<Mutex<Inner>>,
}

impl Replay {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Replay {
        let inner = Arc::new(Mutex::new(Inner {
            answers: answers.into_iter().collect(),
            asked: Vec::new(),
        }));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        task::spawn("replay", async move { axum::serve(listener, router).await });
        Replay { url, inner }
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.inner.lock().unwrap().asked.clone()
    }
}

async fn answer(
    State(inner): State<Arc<Mutex<Inner>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = uri.query().unwrap_or_default();
    let url = reqwest::Url::parse(&format!("http://host/?{params}")).unwrap();
    let params = url.query_pairs().into_owned().collect();
    let mut inner = inner.lock().unwrap();
    inner.asked.push(Asked { path: uri.path().to_owned(), params, headers, body });
    let (status, headers, body) =
        inner.answers.pop_front().unwrap_or((500, vec![], "no answer is left".to_owned()));
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// A good answer.
pub fn ok(body: &str) -> Answer {
    (200, vec![], body.to_owned())
}
