//! Every key as it was declared: for flags, `-help`, `config check` and docs/configuration.md.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::root::RawConfig;
use super::value::{Declared, Status, Value};

struct Reference {
    keys: Vec<Declared>,
    by_path: BTreeMap<String, usize>,
    by_flag: BTreeMap<String, usize>,
}

static REFERENCE: LazyLock<Reference> = LazyLock::new(|| {
    let top = Declared {
        path: String::new(),
        flag: String::new(),
        kind: "block",
        default: String::new(),
        doc: String::new(),
        status: Status::Used,
    };
    let mut keys = Vec::new();
    RawConfig::describe(top, &mut keys);
    let mut by_path = BTreeMap::new();
    let mut by_flag = BTreeMap::new();
    for (index, key) in keys.iter().enumerate() {
        by_path.insert(key.path.clone(), index);
        if is_settable(key) {
            by_flag.entry(key.flag.clone()).or_insert(index);
        }
    }
    Reference { keys, by_path, by_flag }
});

/// Every block and key, each block before its keys.
pub fn keys() -> &'static [Declared] {
    &REFERENCE.keys
}

/// The key `block.key`.
pub fn key(path: &str) -> Option<&'static Declared> {
    REFERENCE.by_path.get(path).map(|&index| &REFERENCE.keys[index])
}

/// The key a flag sets; without dashes.
pub fn by_flag(flag: &str) -> Option<&'static Declared> {
    REFERENCE.by_flag.get(flag).map(|&index| &REFERENCE.keys[index])
}

/// Whether a key takes several values.
pub fn is_list(path: &str) -> bool {
    key(path).is_some_and(|key| key.kind == "list")
}

fn is_settable(key: &Declared) -> bool {
    key.kind != "block" && !key.flag.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_share_a_flag_or_a_path() {
        let mut flags: BTreeMap<&str, &str> = BTreeMap::new();
        let mut twice = Vec::new();
        for key in keys().iter().filter(|key| is_settable(key)) {
            if let Some(other) = flags.insert(&key.flag, &key.path) {
                twice.push(format!("-{} sets {other} and {}", key.flag, key.path));
            }
        }
        assert_eq!(twice, [""; 0]);
        assert_eq!(REFERENCE.by_path.len(), keys().len());
        assert!(keys().len() > 700, "{}", keys().len());
    }

    #[test]
    fn every_flag_sets_its_key() {
        // Text fits no number and a number fits no switch: one of these is right for each kind.
        let samples = ["1", "true", "1s", "2026-01-01T00:00:00Z"];
        for key in keys().iter().filter(|key| is_settable(key)) {
            let path: Vec<&str> = key.path.split('.').collect();
            let fits = samples.iter().any(|text| {
                let mut raw = RawConfig::default();
                raw.set(&path, text).is_ok()
            });
            assert!(fits, "-{} sets {}", key.flag, key.path);
        }
    }

    #[test]
    fn every_key_that_works_says_what_it_is() {
        for key in keys().iter().skip(1) {
            let silent = key.doc.is_empty() && key.status == Status::Used && key.kind != "block";
            assert!(!silent, "{}", key.path);
        }
    }
}
