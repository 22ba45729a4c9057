//! What a tenant wants of attributes: labels, metadata, nothing (`otlp_config`).

use regex::Regex;

/// What becomes of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A label of the stream.
    IndexLabel,
    /// Structured metadata.
    Metadata,
    /// Nothing.
    Drop,
}

/// Which attributes a rule is about, by the names senders use.
#[derive(Clone, Debug)]
pub enum Match {
    /// These.
    Names(Vec<String>),
    /// Those that it matches from beginning to end.
    Regex(Regex),
}

impl Match {
    /// A regular expression that a name has to match from beginning to end. The error says what is
    /// wrong with it.
    pub fn regex(pattern: &str) -> Result<Match, String> {
        let anchored = format!("^(?s:{pattern})$");
        Regex::new(&anchored).map(Match::Regex).map_err(|error| error.to_string())
    }

    fn holds(&self, name: &[u8]) -> bool {
        match self {
            Match::Names(names) => names.iter().any(|known| known.as_bytes() == name),
            Match::Regex(regex) => std::str::from_utf8(name).is_ok_and(|name| regex.is_match(name)),
        }
    }
}

impl PartialEq for Match {
    fn eq(&self, other: &Match) -> bool {
        match (self, other) {
            (Match::Names(a), Match::Names(b)) => a == b,
            (Match::Regex(a), Match::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

/// One rule: the first that holds counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What becomes of the attribute.
    pub action: Action,
    /// Which attributes.
    pub of: Match,
}

/// A tenant's rules. What no rule is about becomes metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Attributes of resources.
    pub resource: Vec<Rule>,
    /// Attributes of scopes: never labels.
    pub scope: Vec<Rule>,
    /// Attributes of records.
    pub log: Vec<Rule>,
    /// `severity_text` of a record is a label too.
    pub severity_text_as_label: bool,
}

/// Resource attributes that are labels unless a configuration says otherwise.
const LABELS: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

impl Default for Rules {
    fn default() -> Rules {
        let names = LABELS.iter().map(|&name| name.to_owned()).collect();
        Rules {
            resource: vec![Rule { action: Action::IndexLabel, of: Match::Names(names) }],
            scope: Vec::new(),
            log: Vec::new(),
            severity_text_as_label: false,
        }
    }
}

fn action(rules: &[Rule], name: &[u8]) -> Action {
    rules.iter().find(|rule| rule.of.holds(name)).map_or(Action::Metadata, |rule| rule.action)
}

impl Rules {
    pub(super) fn resource(&self, name: &[u8]) -> Action {
        action(&self.resource, name)
    }

    pub(super) fn scope(&self, name: &[u8]) -> Action {
        action(&self.scope, name)
    }

    pub(super) fn log(&self, name: &[u8]) -> Action {
        action(&self.log, name)
    }
}
