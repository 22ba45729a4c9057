//! Flags in Go's manner: `-name=value`, `--name value`, `-name` for switches.

use std::path::PathBuf;

use crate::config::Source;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Serve.
    Run(Source),
    /// `-verify-config`: read and validate, then end.
    Verify(Source),
    /// `-version`
    Version,
    /// `-help`
    Help,
}

/// Flags that set a key of the configuration: name, key, what it is for.
const KEYS: [(&str, &str, &str); 11] = [
    ("target", "target", "services to run"),
    ("auth.enabled", "auth_enabled", "require X-Scope-OrgID"),
    ("log.level", "server.log_level", "debug, info, warn or error"),
    ("log.format", "server.log_format", "logfmt"),
    ("server.http-listen-address", "server.http_listen_address", "address of the HTTP listener"),
    ("server.http-listen-port", "server.http_listen_port", "port; 0 takes a free one"),
    ("server.grpc-listen-port", "server.grpc_listen_port", "port of the gRPC listener"),
    ("common.path-prefix", "common.path_prefix", "directory of local state"),
    ("ingester.wal-dir", "ingester.wal.dir", "directory of the log"),
    (
        "ingester.flush-on-shutdown",
        "ingester.wal.flush_on_shutdown",
        "flush every row before the end",
    ),
    ("limits.query-timeout", "limits_config.query_timeout", "the longest a query may run"),
];

/// Switches: present without a value means true.
const SWITCHES: [&str; 7] = [
    "config.expand-env",
    "verify-config",
    "version",
    "help",
    "h",
    "auth.enabled",
    "ingester.flush-on-shutdown",
];

impl Command {
    /// Reads the arguments after the program's name. The error is for the terminal.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, String> {
        let mut source = Source::default();
        let mut verify = false;
        let mut args = args.into_iter().peekable();
        while let Some(arg) = args.next() {
            let Some(flag) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
                return Err(format!("unexpected argument {arg:?}; flags begin with -"));
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None if SWITCHES.contains(&flag) => (flag, "true".to_owned()),
                None if !is_known(flag) => {
                    return Err(format!("flag provided but not defined: -{flag}"));
                }
                None => match args.next() {
                    Some(value) => (flag, value),
                    None => return Err(format!("flag needs an argument: -{flag}")),
                },
            };
            let on = || match value.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(format!("invalid boolean value {value:?} for -{name}")),
            };
            match name {
                "config.file" => source.file = Some(first_existing(&value)),
                "config.expand-env" => source.expand_env = on()?,
                "verify-config" => verify = on()?,
                "version" if on()? => return Ok(Command::Version),
                "help" | "h" => return Ok(Command::Help),
                _ => match KEYS.iter().find(|(flag, _, _)| *flag == name) {
                    Some((_, key, _)) => source.overrides.push(((*key).to_owned(), value)),
                    None => return Err(format!("flag provided but not defined: -{name}")),
                },
            }
        }
        Ok(if verify { Command::Verify(source) } else { Command::Run(source) })
    }
}

fn is_known(flag: &str) -> bool {
    flag == "config.file" || KEYS.iter().any(|(name, _, _)| *name == flag)
}

/// `-config.file` may be a comma list: the first file that exists counts.
fn first_existing(list: &str) -> PathBuf {
    let mut paths = list.split(',').map(PathBuf::from);
    let first = paths.next().unwrap_or_default();
    if first.exists() {
        return first;
    }
    paths.find(|path| path.exists()).unwrap_or(first)
}

/// The text of `-help`.
pub fn help() -> String {
    let mut out = String::from(
        "runelog: a log store that speaks Loki's API and LogQL\n\n\
         Usage: runelog [-config.file=FILE] [FLAGS]\n\n\
         Without a file it serves http://127.0.0.1:3100 with data under ./data.\n\n",
    );
    let own = [
        ("config.file", "configuration in Loki's format; of a comma list the first that exists"),
        ("config.expand-env", "replace ${VAR} in the file"),
        ("verify-config", "read and validate the configuration, then end"),
        ("version", "print the version"),
    ];
    let keys = KEYS.iter().map(|(flag, _, what)| (*flag, *what));
    for (flag, what) in own.into_iter().chain(keys) {
        out.push_str(&format!("  -{flag:<28} {what}\n"));
    }
    out.push_str("\nOr: runelog SUBCOMMAND ... (runelog help SUBCOMMAND says more)\n\n");
    for (name, what) in crate::terminal::commands() {
        out.push_str(&format!("  {name:<29} {what}\n"));
    }
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
    fn every_flag_sets_a_key_that_exists() {
        use crate::config::root::RawConfig;
        use crate::config::value::Value;
        for (flag, key, _) in KEYS {
            let path: Vec<&str> = key.split('.').collect();
            let mut raw = RawConfig::default();
            // Text fits no number and a number fits no switch: one of the three is right.
            let fits = ["1", "true", "1s"].iter().any(|text| raw.set(&path, text).is_ok());
            assert!(fits, "-{flag} sets {key}");
        }
    }
}
