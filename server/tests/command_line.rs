//! The binary, asked about configurations as people have them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn runelog(args: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_runelog"));
    command.args(args).current_dir(folder.path()).output().expect("it starts")
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/configs");
    let entries = std::fs::read_dir(folder).expect("the folder of files");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 6);
    files
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn every_known_file_passes_verification_with_one_warning_for_a_key() {
    for file in files() {
        let flag = format!("-config.file={}", file.display());
        let output = runelog(&[&flag, "-config.expand-env", "-verify-config"]);
        let told = text(&output.stderr);
        assert!(output.status.success(), "{flag}: {told}");
        assert_eq!(text(&output.stdout), "config is valid\n");
        let mut keys: Vec<&str> = told
            .lines()
            .map(|line| line.split(": ").nth(1).unwrap_or_else(|| panic!("{flag}: {line}")))
            .collect();
        let all = keys.len();
        assert!(all > 0, "{flag}");
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all, "{told}");
        let output = runelog(&["config", "check", &file.to_string_lossy()]);
        assert!(output.status.success(), "{flag}");
        for key in keys {
            let block = key.split(['[', '=']).next().unwrap();
            assert!(text(&output.stdout).contains(block), "{flag}: {key} is not explained");
        }
    }
}

#[test]
fn a_printed_configuration_reads_back_and_prints_the_same() {
    let print = |flag: &str| {
        let output = runelog(&[flag, "--verify-config", "--print-config-stderr"]);
        assert!(output.status.success(), "{flag}: {}", text(&output.stderr));
        let stderr = text(&output.stderr);
        let begin = stderr.find("---\n").unwrap();
        let warnings = |line: &&str| line.starts_with("warning: ") || line.starts_with("error: ");
        let lines: Vec<&str> = stderr[begin..].lines().filter(|line| !warnings(line)).collect();
        lines.join("\n") + "\n"
    };
    for file in files() {
        let once = print(&format!("-config.file={}", file.display()));
        assert!(once.lines().count() > 400, "{once}");
        let dir = tempfile::tempdir().unwrap();
        let printed = dir.path().join("printed.yaml");
        std::fs::write(&printed, &once).unwrap();
        assert_eq!(print(&format!("-config.file={}", printed.display())), once);
    }
}

#[test]
fn mistakes_fail_with_file_line_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("loki.yaml");
    std::fs::write(&file, "server:\n  http_listen_prot: 1\nmemberlist: {join_member: [a]}\n")
        .unwrap();
    let flag = format!("-config.file={}", file.display());
    for args in [vec![flag.as_str()], vec![flag.as_str(), "-verify-config"]] {
        let output = runelog(&args);
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        assert!(told.contains("failed parsing config: ") && told.contains("loki.yaml"), "{told}");
        for expected in [
            "line 2, column 3: server.http_listen_prot: field http_listen_prot not found in type server",
            "line 3, column 14: memberlist.join_member: field join_member not found in type memberlist",
        ] {
            assert!(told.contains(expected), "{told}");
        }
    }
    let output = runelog(&["-config.file=no.yaml,nor.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no.yaml,nor.yaml does not exist, set config.file"));
    let output = runelog(&["-server.http-listen-port=x"]);
    assert!(text(&output.stderr).contains("invalid value \"x\" for flag -server.http-listen-port"));
    let output = runelog(&["-nosuch"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_start_without_its_certificates_names_the_file() {
    let secure = files().into_iter().find(|file| file.ends_with("secure.yaml")).unwrap();
    let output = runelog(&[&format!("-config.file={}", secure.display())]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("/etc/loki/tls/server-cert.pem"), "{told}");
}

#[test]
fn a_file_in_the_current_folder_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let check = |expected: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runelog"));
        let output = command.arg("-verify-config").current_dir(dir.path()).output().unwrap();
        assert_eq!(output.status.success(), expected, "{}", text(&output.stderr));
    };
    check(true);
    std::fs::create_dir(dir.path().join("config")).unwrap();
    std::fs::write(dir.path().join("config/config.yaml"), "nosuch: 1\n").unwrap();
    check(false);
    std::fs::write(dir.path().join("config.yaml"), "auth_enabled: true\n").unwrap();
    check(true);
}
