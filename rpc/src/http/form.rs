//! Parameters as Go's `http.Request.ParseForm` sees them.

use axum::extract::{FromRequest, Request};
use base::ErrorKind;
use base::quote::quote;
use http::{Method, header};

use super::body::{self, BodyError};
use super::error::HttpError;

/// Go's own limit for a urlencoded body.
const MAX_FORM_BYTES: usize = 10 << 20;

/// Query string and, for POST, PUT and PATCH, urlencoded body. Values of the body come first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pairs: Vec<(String, String)>,
}

impl Form {
    /// The first value of `name`; `None` when it is absent. (Go's lookup gives an empty text for
    /// both absent and empty: use [`Form::value`] where that matters.)
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of `name`, empty when absent.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// All values of `name`, body first.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All pairs, body first.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Merges a body and a query string. The error is the text Go would give for the first
    /// malformed pair.
    pub fn parse(query: &str, body: &[u8]) -> Result<Form, String> {
        let mut pairs = Vec::new();
        let in_body = parse_pairs(body, &mut pairs);
        let in_query = parse_pairs(query.as_bytes(), &mut pairs);
        in_body.and(in_query).map(|()| Form { pairs })
    }
}

/// Go's `url.ParseQuery`: reads everything, reports the first error.
fn parse_pairs(text: &[u8], pairs: &mut Vec<(String, String)>) -> Result<(), String> {
    let mut first = Ok(());
    for pair in text.split(|&b| b == b'&') {
        if pair.contains(&b';') {
            first = first.and(Err("invalid semicolon separator in query".to_owned()));
            continue;
        }
        if pair.is_empty() {
            continue;
        }
        let equals = pair.iter().position(|&b| b == b'=');
        let (key, value) = match equals {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &pair[pair.len()..]),
        };
        match unescape(key).and_then(|key| Ok((key, unescape(value)?))) {
            Ok(pair) => pairs.push(pair),
            Err(error) => first = first.and(Err(error)),
        }
    }
    first
}

/// Go's `url.QueryUnescape`.
fn unescape(text: &[u8]) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut i = 0;
    while i < text.len() {
        match text[i] {
            b'%' => {
                let digits =
                    text.get(i + 1..i + 3).and_then(|two| Some((hex(two[0])?, hex(two[1])?)));
                let Some((high, low)) = digits else {
                    let bad = &text[i..text.len().min(i + 3)];
                    let bad = quote(&String::from_utf8_lossy(bad));
                    return Err(format!("invalid URL escape {bad}"));
                };
                out.push(high << 4 | low);
                i += 3;
            }
            b'+' => {
                out.push(b' ');
                i += 1;
            }
            other => {
                out.push(other);
                i += 1;
            }
        }
    }
    Ok(String::from_utf8(out)
        .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

fn is_form(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&b| b == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// 400 for a malformed form, with Go's text.
impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = HttpError;

    async fn from_request(request: Request, _: &S) -> Result<Form, HttpError> {
        let invalid = |text: String| HttpError::query(ErrorKind::Invalid, text);
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or("");
        let with_body = [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method);
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        if !with_body || !content_type.is_some_and(|value| is_form(value.as_bytes())) {
            return Form::parse(query, b"").map_err(invalid);
        }
        let collected = body::collect(&parts, body, MAX_FORM_BYTES).await;
        match collected {
            Ok(collected) => Form::parse(query, &collected.bytes).map_err(invalid),
            Err(BodyError::TooLarge { .. }) => Err(invalid("http: POST too large".to_owned())),
            Err(error) => Err(error.into_query()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn form(query: &str, body: &str) -> Vec<(String, String)> {
        Form::parse(query, body.as_bytes()).unwrap().pairs
    }

    #[test]
    fn values_of_the_body_come_first() {
        let form = Form::parse("a=query&b=1", b"a=body&c=").unwrap();
        assert_eq!(form.get("a"), Some("body"));
        assert_eq!(form.all("a").collect::<Vec<_>>(), ["body", "query"]);
        assert_eq!((form.get("b"), form.get("c"), form.get("d")), (Some("1"), Some(""), None));
        assert_eq!(form.value("d"), "");
    }

    #[test]
    fn escapes_and_plus_signs_are_undone() {
        let pairs = form("query=%7Ba%3D%22b%22%7D+%7C%3D&%6d=1&flag&&=x", "");
        let expected = [("query", "{a=\"b\"} |="), ("m", "1"), ("flag", ""), ("", "x")];
        let expected: Vec<_> =
            expected.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        assert_eq!(pairs, expected);
        assert_eq!(form("a=%ff", "")[0].1, "\u{fffd}");
    }

    #[test]
    fn malformed_pairs_are_refused_with_gos_text() {
        let error = |query, body: &str| Form::parse(query, body.as_bytes()).unwrap_err();
        assert_eq!(error("a=%zz", ""), "invalid URL escape \"%zz\"");
        assert_eq!(error("a=%z", ""), "invalid URL escape \"%z\"");
        assert_eq!(error("a=1;b=2", ""), "invalid semicolon separator in query");
        assert_eq!(error("a=1;b=2", "a=%"), "invalid URL escape \"%\"");
    }

    async fn extract(method: &str, content_type: &str, body: &str) -> Result<Form, HttpError> {
        let request = Request::builder()
            .method(method)
            .uri("/x?a=query")
            .header("content-type", content_type)
            .body(Body::from(body.to_owned()))
            .unwrap();
        Form::from_request(request, &()).await
    }

    #[tokio::test]
    async fn only_an_urlencoded_body_of_a_post_counts() {
        let urlencoded = "application/x-www-form-urlencoded; charset=utf-8";
        let first = |form: Form| form.value("a").to_owned();
        assert_eq!(first(extract("POST", urlencoded, "a=body").await.unwrap()), "body");
        assert_eq!(first(extract("GET", urlencoded, "a=body").await.unwrap()), "query");
        assert_eq!(first(extract("POST", "text/plain", "a=body").await.unwrap()), "query");
        let error = extract("POST", urlencoded, "a=%").await.unwrap_err();
        assert_eq!(error.status(), 400);
        let long = format!("a={}", "x".repeat(MAX_FORM_BYTES));
        let error = extract("POST", urlencoded, &long).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.text()), (400, "http: POST too large"));
    }
}
