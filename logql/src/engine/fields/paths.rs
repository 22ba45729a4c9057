//! Which keys lead to fields in a JSON line.

use base::HashMap;

use crate::engine::json::{Halt, Value, Visitor, walk};
use crate::engine::names::{EXTRACTED_SUFFIX, KeyMeaning, NameId, push_sanitized};

/// The keys that lead to what `| json` calls by each of `names`; none where it finds no such value.
/// The line is walked once. `is_taken` = whether a parsed label of this name steps aside.
pub(super) fn paths(
    line: &[u8],
    names: &[&str],
    is_taken: impl Fn(&str) -> bool,
) -> Vec<Vec<String>> {
    let wanted = names.iter().enumerate().map(|(at, name)| (name.as_bytes(), at));
    let mut tracer = Tracer {
        wanted: wanted.collect(),
        is_taken,
        found: vec![Vec::new(); names.len()],
        missing: names.len(),
        ends: Vec::new(),
        keys: Vec::new(),
        name: Vec::new(),
    };
    // A mistake in the line ends the walk for `| json`, too.
    let _ = walk(line, &mut tracer);
    tracer.found
}

/// Follows a walk.
struct Tracer<'n, T> {
    wanted: HashMap<&'n [u8], usize>,
    is_taken: T,
    found: Vec<Vec<String>>,
    missing: usize,
    /// Where the keys around the current place, and the name they make, end in `keys` and `name`.
    ends: Vec<(usize, usize)>,
    keys: Vec<u8>,
    name: Vec<u8>,
}

impl<T: Fn(&str) -> bool> Tracer<'_, T> {
    /// Which of the names the value at the current place has.
    fn wanted(&mut self) -> Option<usize> {
        let end = self.name.len();
        let is_taken = std::str::from_utf8(&self.name).is_ok_and(&self.is_taken);
        if is_taken {
            self.name.extend_from_slice(EXTRACTED_SUFFIX.as_bytes());
        }
        let found = self.wanted.get(self.name.as_slice()).copied();
        self.name.truncate(end);
        found
    }
}

impl<T: Fn(&str) -> bool> Visitor for Tracer<'_, T> {
    /// `parent` and the numbers given out say how many keys lead there.
    fn key(&mut self, parent: u32, key: &[u8]) -> KeyMeaning {
        self.ends.truncate(parent as usize);
        let (keys_end, name_end) = self.ends.last().copied().unwrap_or_default();
        self.keys.truncate(keys_end);
        self.name.truncate(name_end);
        self.keys.extend_from_slice(key);
        push_sanitized(&mut self.name, key);
        self.ends.push((self.keys.len(), self.name.len()));
        let depth = self.ends.len() as u32;
        KeyMeaning { name: depth, prefix: depth }
    }

    fn value(&mut self, _: NameId, _: &[u8], _: Value) -> Result<(), Halt> {
        let Some(at) = self.wanted().filter(|&at| self.found[at].is_empty()) else {
            return Ok(());
        };
        let mut from = 0;
        for &(to, _) in &self.ends {
            let key = String::from_utf8_lossy(&self.keys[from..to]).into_owned();
            self.found[at].push(key);
            from = to;
        }
        self.missing -= 1;
        if self.missing == 0 { Err(Halt::Enough) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_values_that_json_takes() {
        let line = r#"{"a b":{"c":[1],"d":{"e":1}}, "a_b":{"d_e":2}, "app":"x", "\u0066":3,
            "app_extracted":"y","":{"z":1},"n":null,"last":1} and more"#;
        let names = ["a_b_d_e", "app_extracted", "f", "z", "n", "last", "none"];
        let found = paths(line.as_bytes(), &names, |name| name == "app");
        let want: [&[&str]; 7] =
            [&["a b", "d", "e"], &["app"], &["f"], &["", "z"], &[], &["last"], &[]];
        assert_eq!(found, want);
        let own = paths(line.as_bytes(), &["app_extracted"], |_| false);
        assert_eq!(own, [["app_extracted"]]);
        assert_eq!(paths(b"{\"a\":1,", &["a", "b"], |_| false), [vec!["a".to_owned()], vec![]]);
    }
}
