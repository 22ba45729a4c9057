//! `-target=`: which services this process runs.

use std::fmt;

use anyhow::{Result, bail};

use super::Notice;

/// A service of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Accepts pushes.
    Distributor,
    /// Holds recent rows.
    Ingester,
    /// Runs pieces of queries.
    Querier,
    /// Takes queries, cuts them in pieces and merges the answers.
    QueryFrontend,
    /// Removes what nothing names any more.
    Compactor,
}

impl Target {
    /// Every service, in the order in which they start.
    pub const ALL: [Target; 5] = [
        Target::Ingester,
        Target::Distributor,
        Target::Querier,
        Target::QueryFrontend,
        Target::Compactor,
    ];

    /// As `-target=` names it.
    pub fn name(self) -> &'static str {
        match self {
            Target::Distributor => "distributor",
            Target::Ingester => "ingester",
            Target::Querier => "querier",
            Target::QueryFrontend => "query-frontend",
            Target::Compactor => "compactor",
        }
    }
}

/// A set of services. It may be empty: a process of a target that Loki needs and Runelog does not
/// answers its operational routes and nothing else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Targets {
    bits: u8,
}

impl Targets {
    /// Every service.
    pub const ALL: Targets = Targets::of(&Target::ALL);

    const fn of(targets: &[Target]) -> Targets {
        let mut bits = 0;
        let mut at = 0;
        while at < targets.len() {
            bits |= 1 << targets[at] as u8;
            at += 1;
        }
        Targets { bits }
    }

    /// Whether `target` runs in this process.
    pub fn contains(self, target: Target) -> bool {
        self.bits & (1 << target as u8) != 0
    }

    /// Whether no service runs here.
    pub fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// The services, in the order in which they start.
    pub fn iter(self) -> impl Iterator<Item = Target> {
        Target::ALL.into_iter().filter(move |target| self.contains(*target))
    }

    /// Reads a comma list; says what the names mean here that are Loki's alone.
    pub fn parse(list: &str) -> Result<(Targets, Vec<Notice>)> {
        let mut targets = Targets { bits: 0 };
        let mut notices = Vec::new();
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let Some(known) = NAMES.iter().find(|known| known.name == name) else {
                let known: Vec<&str> = NAMES.iter().map(|known| known.name).collect();
                bail!("target: unrecognised module name: {name} (known: {})", known.join(", "));
            };
            targets.bits |= known.targets.bits;
            if !known.text.is_empty() {
                let key = format!("target={name}");
                let text = known.text.to_owned();
                notices.push(Notice { key, text, error: known.missing });
            }
        }
        if list.trim().is_empty() {
            bail!("target: names no service");
        }
        Ok((targets, notices))
    }

    /// The lines of `-list-targets`.
    pub fn list() -> String {
        let mut out = String::new();
        for known in &NAMES {
            let parts: Vec<&str> = known.targets.iter().map(Target::name).collect();
            let is_plain = parts == [known.name];
            let parts = if is_plain { String::new() } else { parts.join(", ") };
            let text = [parts.as_str(), known.text];
            let text: Vec<&str> = text.into_iter().filter(|text| !text.is_empty()).collect();
            out.push_str(format!("{:<24} {}", known.name, text.join(": ")).trim_end());
            out.push('\n');
        }
        out
    }
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Target::name)).finish()
    }
}

struct Name {
    name: &'static str,
    targets: Targets,
    /// What the user should hear; empty for our own names.
    text: &'static str,
    missing: bool,
}

const fn name(name: &'static str, targets: &[Target], text: &'static str) -> Name {
    Name { name, targets: Targets::of(targets), text, missing: false }
}

const fn missing(name: &'static str, text: &'static str) -> Name {
    Name { name, targets: Targets { bits: 0 }, text, missing: true }
}

const NO_INDEX: &str = "queriers read the catalog themselves; nothing runs in this process";
const NO_BLOOMS: &str = "parts carry their sketches; nothing runs in this process";
const NO_LIMITS: &str = "distributors limit on their own; nothing runs in this process";

const NAMES: [Name; 22] = [
    name("all", &Target::ALL, ""),
    name("distributor", &[Target::Distributor], ""),
    name("ingester", &[Target::Ingester], ""),
    name("querier", &[Target::Querier], ""),
    name("query-frontend", &[Target::QueryFrontend], ""),
    name("compactor", &[Target::Compactor], ""),
    name(
        "write",
        &[Target::Distributor, Target::Ingester],
        "an older name of distributor and ingester",
    ),
    name(
        "read",
        &[Target::Querier, Target::QueryFrontend],
        "an older name of query-frontend and querier",
    ),
    name("backend", &[Target::Compactor], "an older name; what is left of it is the compactor"),
    name("query-scheduler", &[Target::QueryFrontend], "the queue is in the query-frontend"),
    name("index-gateway", &[], NO_INDEX),
    name("bloom-planner", &[], NO_BLOOMS),
    name("bloom-builder", &[], NO_BLOOMS),
    name("bloom-gateway", &[], NO_BLOOMS),
    name("bloom-gateway-client", &[], NO_BLOOMS),
    name("overrides-exporter", &[], "limits are metrics of every process; nothing runs here"),
    name("ingest-limits", &[], NO_LIMITS),
    name("ingest-limits-frontend", &[], NO_LIMITS),
    name("pattern-ingester", &[], "patterns are learned by ingesters and counted by queriers"),
    missing("ruler", "rules are not evaluated"),
    missing("gateway", "there is no gateway"),
    missing("ui", "there is no web page"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_list_is_the_union_of_its_targets() {
        let (targets, notices) = Targets::parse("distributor, querier").unwrap();
        assert!(notices.is_empty());
        assert_eq!(targets.iter().collect::<Vec<_>>(), [Target::Distributor, Target::Querier]);
        assert_eq!(Targets::parse("all").unwrap().0, Targets::ALL);
        assert_eq!(Targets::parse("ingester,all").unwrap().0, Targets::ALL);
        assert!(!targets.contains(Target::Ingester) && !targets.is_empty());
    }

    #[test]
    fn older_names_say_what_they_stand_for() {
        let (targets, notices) = Targets::parse("write,read,backend").unwrap();
        assert_eq!(targets, Targets::ALL);
        assert_eq!(notices.len(), 3);
        assert!(notices.iter().all(|notice| !notice.error));
        let (targets, notices) = Targets::parse("index-gateway").unwrap();
        assert!(targets.is_empty() && notices[0].text.contains("catalog"));
    }

    #[test]
    fn a_target_that_is_missing_is_an_error_line_and_an_unknown_one_fails() {
        let (targets, notices) = Targets::parse("ruler").unwrap();
        assert!(targets.is_empty() && notices[0].error);
        let error = Targets::parse("ingestor").unwrap_err().to_string();
        assert!(error.contains("ingestor") && error.contains("query-frontend"), "{error}");
        assert!(Targets::parse("").is_err());
    }

    #[test]
    fn the_list_names_every_target_once() {
        let list = Targets::list();
        assert_eq!(list.lines().count(), NAMES.len());
        for target in Target::ALL {
            let lines = list.lines().filter(|line| *line == target.name()).count();
            assert_eq!(lines, 1, "{list}");
        }
    }
}
