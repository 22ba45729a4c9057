//! `runelog config check FILE`: what each key of a Loki configuration means here.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::config::load::{self, Loaded};
use crate::config::node::{At, Kind, Node};
use crate::config::reference;
use crate::config::value::Status;
use crate::config::{self, Config, page};

/// Explain configurations
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Say what each key of a file means here
    Check(Check),
    /// Print docs/configuration.md
    Reference,
}

/// The arguments of `check`.
#[derive(Args, Debug)]
pub struct Check {
    /// The file, in Loki's format
    file: PathBuf,
    /// Replace ${VAR}, ${VAR:-default} and $VAR in it
    #[arg(long)]
    expand_env: bool,
    /// Leave out the keys that work
    #[arg(long, short)]
    quiet: bool,
}

/// Runs it; fails the process where a start would fail for what is in the file.
pub fn run(command: &ConfigCommand) -> Result<ExitCode> {
    match command {
        ConfigCommand::Reference => print!("{}", page::page()),
        ConfigCommand::Check(check) => {
            let text = load::read_file(&check.file)?;
            let text = if check.expand_env { load::expand_env(&text)? } else { text };
            let report = Report::of(&text);
            print!("{}", report.print(&check.file.display().to_string(), check.quiet));
            if !report.errors.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What there is to say about a file.
#[derive(Debug, Default)]
struct Report {
    /// Key, value, meaning.
    works: Vec<[String; 3]>,
    /// Place, key, what happens instead.
    ignored: Vec<[String; 3]>,
    /// Place, key, what is missing.
    later: Vec<[String; 3]>,
    errors: Vec<String>,
}

impl Report {
    fn of(text: &str) -> Report {
        let (raw, reading) = load::parse(text);
        let mut report = Report::default();
        report.errors.extend(reading.faults.iter().map(ToString::to_string));
        let values = Node::parse(&config::dump(&raw));
        for (path, at) in &reading.set {
            let Some(key) = reference::key(path) else { continue };
            let value = values.as_ref().map_or_else(|_| String::new(), |root| find(root, path));
            let place = place(*at);
            match key.status {
                Status::Used if key.kind == "list of blocks" => {}
                Status::Used => report.works.push([path.clone(), value, key.doc.clone()]),
                Status::Ignored(why) => report.ignored.push([place, path.clone(), why.to_owned()]),
                Status::Later(why) => report.later.push([place, path.clone(), why.to_owned()]),
            }
        }
        if report.errors.is_empty() {
            let loaded = Loaded { raw, file: None, set: reading.set };
            match Config::derive(loaded) {
                Err(error) => report.errors.push(format!("{error:#}")),
                Ok(config) => report.add_others(&config),
            }
        }
        report
    }

    /// What several keys say together.
    fn add_others(&mut self, config: &Config) {
        let known = |rows: &[[String; 3]], key: &str| {
            rows.iter().any(|[_, own, _]| own == key || own.starts_with(&format!("{key}.")))
        };
        for notice in &config.notices {
            let row = [String::new(), notice.key.clone(), notice.text.clone()];
            if notice.error && !known(&self.later, &notice.key) {
                self.later.push(row);
            } else if !notice.error && !known(&self.ignored, &notice.key) {
                self.ignored.push(row);
            }
        }
    }

    fn print(&self, file: &str, quiet: bool) -> String {
        let mut out = String::new();
        if !quiet {
            section(&mut out, "Works", &self.works);
        }
        section(&mut out, "Has no meaning here", &self.ignored);
        section(&mut out, "Is not built yet", &self.later);
        if !self.errors.is_empty() {
            out.push_str("Is wrong\n");
            for error in &self.errors {
                out.push_str(&format!("  {}\n", error.replace('\n', "\n  ")));
            }
            out.push('\n');
        }
        out.push_str(&format!(
            "{file}: {}; of its keys {} work, {} have no meaning here, {} are not built yet\n",
            match self.errors.len() {
                0 => "valid".to_owned(),
                1 => "1 error".to_owned(),
                count => format!("{count} errors"),
            },
            self.works.len(),
            self.ignored.len(),
            self.later.len(),
        ));
        out
    }
}

fn place(at: At) -> String {
    format!("line {}", at.line)
}

fn section(out: &mut String, title: &str, rows: &[[String; 3]]) {
    if rows.is_empty() {
        return;
    }
    let width = |column: usize, at_most: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.filter(|width| *width <= at_most).max().unwrap_or(0)
    };
    let (first, second) = (width(0, 56), width(1, 56));
    out.push_str(&format!("{title}\n"));
    for [a, b, c] in rows {
        out.push_str(format!("  {a:<first$}  {b:<second$}  {c}").trim_end());
        out.push('\n');
    }
    out.push('\n');
}

/// What stands at `path` of a printed configuration; of a list of blocks, every block's.
fn find(node: &Node, path: &str) -> String {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let (name, is_list) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
    let Kind::Map(pairs) = &node.kind else { return String::new() };
    let Some((_, value)) = pairs.iter().find(|(key, _)| key.name == name) else {
        return String::new();
    };
    match (&value.kind, rest) {
        (Kind::List(items), rest) if is_list && !rest.is_empty() => {
            items.iter().map(|item| find(item, rest)).collect::<Vec<_>>().join(", ")
        }
        (_, "") => shown(value),
        (_, rest) => find(value, rest),
    }
}

fn shown(node: &Node) -> String {
    match &node.kind {
        Kind::Null => String::new(),
        Kind::Scalar(text) => text.clone(),
        Kind::List(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Kind::Map(_) => "{...}".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "server:\n  http_listen_port: 3200\nmemberlist:\n  join_members: [a, b]\n\
                        limits_config:\n  deletion_mode: disabled\nschema_config:\n  configs:\n\
                        \x20 - {from: 2024-01-01, object_store: filesystem, store: tsdb}\n\
                        \x20 - {from: 2025-01-01, object_store: filesystem}\n\
                        storage_config: {aws: {secret_access_key: hidden}}\n";

    #[test]
    fn every_key_of_a_file_is_in_one_of_the_lists() {
        let report = Report::of(FILE);
        assert_eq!(report.errors, [""; 0]);
        let keys: Vec<&str> = report.works.iter().map(|row| row[0].as_str()).collect();
        let works = [
            "schema_config.configs[].from",
            "schema_config.configs[].object_store",
            "server.http_listen_port",
            "storage_config.aws.secret_access_key",
        ];
        assert_eq!(keys, works);
        assert_eq!(report.works[0][1], "2024-01-01, 2025-01-01");
        assert_eq!(report.works[2][1], "3200");
        assert_eq!(report.works[3][1], "********");
        assert_eq!(report.ignored.len(), 2, "{:?}", report.ignored);
        assert_eq!(report.later.len(), 1, "{:?}", report.later);
        let text = report.print("f.yaml", false);
        assert!(text.ends_with(
            "f.yaml: valid; of its keys 4 work, 2 have no meaning here, 1 are not built yet\n"
        ));
        assert!(text.contains("line 6") && text.contains("deletes are not built"), "{text}");
        assert!(!report.print("f.yaml", true).contains("Works"));
    }

    #[test]
    fn what_is_wrong_is_said_and_fails() {
        let report = Report::of("server: {http_listen_prot: 1}\nauth_enabled: 7\n");
        assert_eq!(report.errors.len(), 2);
        assert!(report.print("f", false).contains("(did you mean http_listen_port?)"));
        let report = Report::of("compactor: {retention_enabled: true}\n");
        assert!(report.errors[0].contains("compactor.delete-request-store"), "{report:?}");
        let report = Report::of("a: [\n");
        assert_eq!(report.errors.len(), 1);
    }
}
