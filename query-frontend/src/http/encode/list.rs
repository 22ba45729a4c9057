//! The bodies of `labels`, `label/{name}/values` and `series`, written a piece at a time.

use base::Labels;
use logql::engine::tenants::with_tenant;

use super::json;
use super::pieces::{Left, Written};

/// A list that is being written. What was written is let go of.
pub struct ListBody {
    items: Items,
    is_begun: bool,
}

enum Items {
    /// Names or values.
    Texts(Left<String>),
    /// Streams; of several tenants each with its own.
    Series {
        left: Left<Labels>,
        tenant: Option<String>,
        others: Vec<(Option<String>, Vec<Labels>)>,
    },
}

impl ListBody {
    /// Of the label endpoints: `data` is left out when there is none.
    pub fn texts(texts: Vec<String>) -> ListBody {
        ListBody { items: Items::Texts(Left::of(texts)), is_begun: false }
    }

    /// Of `/series`: the streams of each tenant, which are told its name if there is one.
    pub fn series(mut of_tenants: Vec<(Option<String>, Vec<Labels>)>) -> ListBody {
        of_tenants.reverse();
        let left = Left::of(Vec::new());
        let items = Items::Series { left, tenant: None, others: of_tenants };
        ListBody { items, is_begun: false }
    }
}

impl Written for ListBody {
    fn write(&mut self, out: &mut Vec<u8>, enough: usize) -> bool {
        if !self.is_begun {
            out.extend_from_slice(b"{\"status\":\"success\"");
            self.is_begun = true;
            match &self.items {
                Items::Texts(left) if left.is_empty() => {
                    out.extend_from_slice(b"}\n");
                    return true;
                }
                _ => out.extend_from_slice(b",\"data\":["),
            }
        }
        while out.len() < enough {
            if !self.items.next(out) {
                out.extend_from_slice(b"]}\n");
                return true;
            }
        }
        false
    }
}

impl Items {
    /// Writes the next item; `false`: there is none.
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        match self {
            Items::Texts(left) => {
                let Some(text) = left.next(out) else { return false };
                json::string(out, text.as_bytes());
            }
            Items::Series { left, tenant, others } => loop {
                if let Some(labels) = left.next(out) {
                    match tenant {
                        Some(tenant) => json::labels(out, &with_tenant(&labels, tenant)),
                        None => json::labels(out, &labels),
                    }
                    break;
                }
                let Some((next, streams)) = others.pop() else { return false };
                *tenant = next;
                left.go_on(streams);
            },
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, written so many bytes at a time; each piece is little longer.
    fn written(mut body: ListBody, enough: usize) -> String {
        let mut whole = Vec::new();
        loop {
            let mut piece = Vec::new();
            let is_done = body.write(&mut piece, enough);
            assert!(piece.len() < enough.saturating_add(100), "{}", piece.len());
            whole.extend(piece);
            if is_done {
                return String::from_utf8(whole).unwrap();
            }
        }
    }

    #[test]
    fn pieces_of_a_list_are_the_list() {
        let texts = |count: usize| (0..count).map(|n| format!("\"{n}<")).collect::<Vec<String>>();
        let streams = |app: &str, count: usize| {
            let one =
                |n: usize| Labels::from_pairs([("app", app.to_owned()), ("n", n.to_string())]);
            (0..count).map(one).collect::<Vec<Labels>>()
        };
        for enough in [1, 40, usize::MAX] {
            assert_eq!(written(ListBody::texts(Vec::new()), enough), "{\"status\":\"success\"}\n");
            let found = written(ListBody::texts(texts(3)), enough);
            let want = r#"{"status":"success","data":["\"0\u003c","\"1\u003c","\"2\u003c"]}"#;
            assert_eq!(found, format!("{want}\n"));
            let none = "{\"status\":\"success\",\"data\":[]}\n";
            assert_eq!(written(ListBody::series(Vec::new()), enough), none);
            assert_eq!(written(ListBody::series(vec![(None, Vec::new())]), enough), none);
            let of = |tenant: &str| Some(tenant.to_owned());
            let several =
                vec![(of("a"), streams("x", 1)), (of("b"), Vec::new()), (of("c"), streams("y", 2))];
            let found = written(ListBody::series(several), enough);
            let want = [
                r#"{"status":"success","data":[{"__tenant_id__":"a","app":"x","n":"0"}"#,
                r#"{"__tenant_id__":"c","app":"y","n":"0"}"#,
                r#"{"__tenant_id__":"c","app":"y","n":"1"}]}"#,
            ];
            assert_eq!(found, format!("{}\n", want.join(",")));
        }
    }
}
