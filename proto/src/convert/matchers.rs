//! Stream matchers.

use logql::syntax::{MatchOp, Matcher};

use crate::columns::{TextList, check_ends, column, texts, values};
use crate::error::WireError;
use crate::v1;

const MESSAGE: &str = "Matchers";
/// Most matchers: a query may have 128 KiB.
const MAX_MATCHERS: usize = 1 << 16;

/// Lists of matchers.
pub fn matchers(lists: &[Vec<Matcher>]) -> v1::Matchers {
    let all = || lists.iter().flatten();
    let mut list_ends = Vec::with_capacity(lists.len());
    let mut end = 0;
    for list in lists {
        end += list.len() as u32;
        list_ends.push(end);
    }
    let ops: Vec<u8> = all().map(|matcher| number(matcher.op)).collect();
    v1::Matchers {
        list_ends: column(list_ends.into_iter()),
        ops: ops.into(),
        names: Some(texts(all().map(|matcher| matcher.name.as_str()))),
        values: Some(texts(all().map(|matcher| matcher.value.as_str()))),
    }
}

fn number(op: MatchOp) -> u8 {
    match op {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    }
}

/// Reads what [`matchers`] wrote; absent = no list.
pub fn read_matchers(lists: Option<&v1::Matchers>) -> Result<Vec<Vec<Matcher>>, WireError> {
    let Some(lists) = lists else { return Ok(Vec::new()) };
    let list_ends: Vec<u32> = values(MESSAGE, "list_ends", &lists.list_ends)?;
    let count = lists.ops.len();
    let most = count.max(list_ends.len());
    ensure!(most <= MAX_MATCHERS, MESSAGE, "{most} matchers or lists are too many");
    check_ends(MESSAGE, "list_ends", &list_ends, count)?;
    let names = TextList::new(MESSAGE, "names", lists.names.as_ref())?;
    let values = TextList::new(MESSAGE, "values", lists.values.as_ref())?;
    ensure!(
        names.len() == count && values.len() == count,
        MESSAGE,
        "{count} operators, {} names, {} values",
        names.len(),
        values.len()
    );
    let mut out: Vec<Vec<Matcher>> = Vec::with_capacity(list_ends.len());
    let mut all = lists.ops.iter().zip(names.iter().zip(values.iter()));
    let mut from = 0;
    for end in list_ends {
        let mut list = Vec::new();
        for (&op, (name, value)) in all.by_ref().take((end - from) as usize) {
            let op = match op {
                0 => MatchOp::Equal,
                1 => MatchOp::NotEqual,
                2 => MatchOp::Regex,
                3 => MatchOp::NotRegex,
                other => return Err(WireError::new(MESSAGE, format_args!("operator {other}"))),
            };
            list.push(Matcher { name: name.to_owned(), op, value: value.to_owned() });
        }
        from = end;
        out.push(list);
    }
    Ok(out)
}
