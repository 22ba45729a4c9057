//! Flags in Go's manner: `-name=value`, `--name value`, `-name` for switches. Every key of the
//! configuration has one.

use std::path::PathBuf;

use crate::config::Source;
use crate::config::reference;
use crate::config::value::Status;
use crate::health::DEFAULT_URL;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Serve.
    Run(Source),
    /// `-verify-config`: read and validate, then end.
    Verify(Source),
    /// `-list-targets`
    ListTargets,
    /// `-health`: ask this address whether it is ready, then end.
    Health(String),
    /// `-version`
    Version,
    /// `-help`
    Help,
}

/// Flags that are no keys: name, whether it is a switch, what it is for.
const OWN: [(&str, bool, &str); 11] = [
    (
        "config.file",
        false,
        "configuration in Loki's format; of a comma list the first that exists \
         (config.yaml,config/config.yaml)",
    ),
    ("config.expand-env", true, "replace ${VAR}, ${VAR:-default} and $VAR in the file"),
    ("verify-config", true, "read and validate the configuration, then end"),
    ("print-config-stderr", true, "print the configuration to standard error, then start"),
    ("log-config-reverse-order", true, "log the configuration at start, the last line first"),
    ("list-targets", true, "print what -target may be, then end"),
    ("health", true, "ask health.url whether a process is ready; the exit code says it"),
    ("health.url", false, "what -health asks (http://localhost:3100/ready)"),
    ("version", true, "print the version, then end"),
    ("help", true, "print this, then end"),
    ("h", true, "the same"),
];

impl Command {
    /// Reads the arguments after the program's name. The error is for the terminal.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, String> {
        let mut source = Source::default();
        let (mut verify, mut targets, mut health) = (false, false, false);
        let mut url = DEFAULT_URL.to_owned();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let (name, value) = split(&arg, &mut args)?;
            let on = || switch(name, &value);
            match name {
                "config.file" => source.file = Some(PathBuf::from(value)),
                "config.expand-env" => source.expand_env = on()?,
                "print-config-stderr" => source.print = on()?,
                "log-config-reverse-order" => source.log_reversed = on()?,
                "verify-config" => verify = on()?,
                "list-targets" => targets = on()?,
                "health" => health = on()?,
                "health.url" => url = value,
                "version" if on()? => return Ok(Command::Version),
                "version" => {}
                "help" | "h" => return Ok(Command::Help),
                _ => {
                    let key = reference::by_flag(name).expect("split took a flag that exists");
                    source.overrides.push((key.path.clone(), value));
                }
            }
        }
        Ok(match () {
            () if targets => Command::ListTargets,
            () if health => Command::Health(url),
            () if verify => Command::Verify(source),
            () => Command::Run(source),
        })
    }
}

/// Name and value of a flag; the value may be the next argument.
fn split<'a>(
    arg: &'a str,
    rest: &mut impl Iterator<Item = String>,
) -> Result<(&'a str, String), String> {
    let Some(flag) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
        return Err(format!("unexpected argument {arg:?}; flags begin with -"));
    };
    let (name, value) = match flag.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (flag, None),
    };
    let own = OWN.iter().find(|(own, _, _)| *own == name);
    let is_switch = match (own, reference::by_flag(name)) {
        (Some((_, is_switch, _)), _) => *is_switch,
        (None, Some(key)) => key.kind == "switch",
        (None, None) => return Err(format!("flag provided but not defined: -{name}")),
    };
    match value {
        Some(value) => Ok((name, value.to_owned())),
        None if is_switch => Ok((name, "true".to_owned())),
        None => match rest.next() {
            Some(value) => Ok((name, value)),
            None => Err(format!("flag needs an argument: -{name}")),
        },
    }
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" | "t" => Ok(true),
        "false" | "0" | "f" => Ok(false),
        _ => Err(format!("invalid boolean value {value:?} for -{name}")),
    }
}

/// The text of `-help`.
pub fn help() -> String {
    let mut out = String::from(
        "runelog: a log store that speaks Loki's API and LogQL\n\n\
         Usage: runelog [-config.file=FILE] [FLAGS]\n\
         \x20      runelog SUBCOMMAND ...\n\n\
         Without a file it serves http://127.0.0.1:3100 with data under ./data.\n\n",
    );
    for (name, what) in crate::terminal::commands() {
        out.push_str(&format!("  {name:<30} {what}\n"));
    }
    out.push('\n');
    for (flag, _, what) in OWN {
        out.push_str(&format!("  -{flag:<28}  {what}\n"));
    }
    out.push_str("\nKeys of the configuration:\n\n");
    let mut others = 0;
    for key in reference::keys().iter().filter(|key| reference::by_flag(&key.flag).is_some()) {
        if key.status != Status::Used {
            others += 1;
            continue;
        }
        let default = match key.default.as_str() {
            "" => String::new(),
            default => format!(" ({default})"),
        };
        out.push_str(&format!("  -{} <{}>{default}\n        {}\n", key.flag, key.kind, key.doc));
    }
    out.push_str(&format!(
        "\n{others} more flags are accepted because Loki has them: docs/configuration.md says \
         what happens instead.\n"
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn both_dashes_and_both_ways_of_values_are_understood() {
        for line in [
            "-config.file=/a.yaml -server.http-listen-port=0 -auth.enabled",
            "--config.file /a.yaml --server.http-listen-port 0 --auth.enabled=true",
        ] {
            let Ok(Command::Run(source)) = parse(line) else { panic!("{line}") };
            assert_eq!(source.file, Some(PathBuf::from("/a.yaml")));
            let port = ("server.http_listen_port".to_owned(), "0".to_owned());
            let auth = ("auth_enabled".to_owned(), "true".to_owned());
            assert_eq!(source.overrides, [port, auth]);
        }
        assert!(matches!(parse("-verify-config"), Ok(Command::Verify(_))));
        assert!(matches!(parse("-verify-config=false"), Ok(Command::Run(_))));
        assert!(matches!(parse("--version"), Ok(Command::Version)));
        assert!(matches!(parse("-h"), Ok(Command::Help)));
    }

    #[test]
    fn mistakes_are_named() {
        for line in ["-nosuch=1", "-nosuch"] {
            let error = parse(line).unwrap_err();
            assert_eq!(error, "flag provided but not defined: -nosuch");
        }
        assert!(parse("-config.file").unwrap_err().contains("needs an argument"));
        assert!(parse("serve").unwrap_err().contains("serve"));
        assert!(parse("-verify-config=maybe").unwrap_err().contains("maybe"));
    }

    #[test]
    fn every_flag_of_every_key_parses_in_both_ways() {
        for key in reference::keys().iter().filter(|key| reference::by_flag(&key.flag).is_some()) {
            for line in [format!("-{}=1", key.flag), format!("--{} 1", key.flag)] {
                let takes_none = key.kind == "switch" && line.starts_with("--");
                match parse(&line) {
                    Ok(Command::Run(source)) => assert_eq!(source.overrides.len(), 1, "{line}"),
                    Err(error) => assert!(takes_none && error.contains("\"1\""), "{line}: {error}"),
                    other => panic!("{line}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_is_only_asked_for_starts_nothing() {
        let Ok(Command::Health(url)) = parse("-health") else { panic!("not health") };
        assert_eq!(url, "http://localhost:3100/ready");
        let Ok(Command::Health(url)) = parse("-health -health.url=http://h:1/ready") else {
            panic!("not health")
        };
        assert_eq!(url, "http://h:1/ready");
        assert!(matches!(parse("-list-targets"), Ok(Command::ListTargets)));
        let Ok(Command::Run(source)) = parse("-print-config-stderr -log-config-reverse-order")
        else {
            panic!("not a start")
        };
        assert!(source.print && source.log_reversed && source.overrides.is_empty());
    }

    #[test]
    fn help_names_every_flag_that_works() {
        let help = help();
        for key in reference::keys() {
            let works = key.status == Status::Used && reference::by_flag(&key.flag).is_some();
            let line = format!("\n  -{} ", key.flag);
            assert_eq!(help.contains(&line), works, "{line}");
        }
    }
}
