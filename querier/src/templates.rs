//! What lines look like: templates of parts and ingesters, folded into one list.

use std::cmp::Reverse;

use part::{Miner, Template};
use rpc::ingester::LineTemplate;

/// Templates of one answer: each is searched for in every line of the range.
const MOST: usize = 512;

/// A part's templates by what its streams are called no more.
pub(crate) fn without_streams(template: Template) -> Template {
    Template { streams: Vec::new(), ..template }
}

/// An ingester's.
pub(crate) fn of_ingester(template: LineTemplate) -> Template {
    let LineTemplate { level, text, rows } = template;
    Template { level, text, rows, streams: Vec::new() }
}

/// One list, each text once, the most frequent first. The same templates in any order give the same.
pub(crate) fn folded(mut templates: Vec<Template>) -> Vec<String> {
    templates.sort_by(|a, b| {
        (Reverse(a.rows), &a.text, &a.level).cmp(&(Reverse(b.rows), &b.text, &b.level))
    });
    let mut miner = Miner::default();
    templates.iter().for_each(|template| miner.template(template));
    let mut texts: Vec<String> = Vec::new();
    for template in miner.finish() {
        if texts.len() < MOST && !texts.contains(&template.text) {
            texts.push(template.text);
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_all_sources_are_folded_and_levels_are_not_told_twice() {
        let template = |level: &str, text: &str, rows| Template {
            level: level.to_owned(),
            text: text.to_owned(),
            rows,
            streams: Vec::new(),
        };
        let all = vec![
            template("info", "user bob logged in", 3),
            template("info", "user <_> logged in", 4),
            template("warn", "user <_> logged in", 9),
            template("error", "lease of <_> lost", 8),
        ];
        let mut turned = all.clone();
        turned.reverse();
        assert_eq!(folded(all.clone()), ["user <_> logged in", "lease of <_> lost"]);
        assert_eq!(folded(turned), folded(all));
    }
}
