//! Files of overrides (`runtime_config.file`): limits of single tenants on top of `limits_config`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base::{HashMap, TenantId};

use super::accepted::Accepted;
use super::limits::LimitsConfig;
use super::load;
use super::node::{At, Key, Kind, Node};
use super::value::{Reading, Value};
use super::{Notice, checks, notices_of, print};

/// What the files say.
#[derive(Debug, Default)]
pub struct Overrides {
    /// Limits of tenants that have their own, whole: what a tenant's block does not set is as
    /// in `limits_config`.
    pub limits: BTreeMap<TenantId, LimitsConfig>,
    /// Keys that do nothing, each once over all tenants.
    pub notices: Vec<Notice>,
}

/// A tenant's block of limits, read on its own: what stands below its name in a file.
#[derive(Clone, Debug)]
pub struct Block(Node);

impl Block {
    /// Reads YAML, or JSON, which is YAML too.
    pub fn parse(text: &str, base: &LimitsConfig) -> Result<Block> {
        let node = Node::parse(text).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let mut reading = Reading::default();
        let mut limits = base.clone();
        limits.read(&node, &mut reading);
        if !reading.faults.is_empty() {
            bail!("{}", load::list(&reading.faults));
        }
        checks::limits(&limits)?;
        Ok(Block(node))
    }

    /// As YAML that [`Block::parse`] reads; empty if it says nothing.
    pub fn text(&self) -> String {
        match &self.0.kind {
            Kind::Map(pairs) => print::lines(pairs),
            _ => String::new(),
        }
    }
}

/// The blocks of the files, each on its own; without those that say nothing.
pub fn blocks(
    files: &[(PathBuf, String)],
    base: &LimitsConfig,
) -> Result<BTreeMap<TenantId, Block>> {
    let Some(Node { kind: Kind::Map(keys), .. }) = merged(files, base)? else {
        return Ok(BTreeMap::new());
    };
    let mut found = BTreeMap::new();
    let overrides = keys.into_iter().find(|(key, _)| key.name == "overrides");
    if let Some((_, node)) = overrides {
        tenants(&node, &mut Reading::default(), |tenant, node, _| {
            if matches!(&node.kind, Kind::Map(pairs) if !pairs.is_empty()) {
                found.insert(tenant, Block(node.clone()));
            }
        });
    }
    Ok(found)
}

/// As [`parse`], and on top of it the blocks of single tenants, whose keys win.
pub fn parse_with<'a>(
    files: &[(PathBuf, String)],
    blocks: impl Iterator<Item = (&'a TenantId, &'a Block)>,
    base: &LimitsConfig,
) -> Result<Overrides> {
    let key = |name: &str| Key { at: At::default(), name: name.to_owned() };
    let pairs = blocks.map(|(tenant, block)| (key(tenant.as_str()), block.0.clone()));
    let tenants = Node { at: At::default(), kind: Kind::Map(pairs.collect()) };
    let own = Node { at: At::default(), kind: Kind::Map(vec![(key("overrides"), tenants)]) };
    let merged = match merged(files, base)? {
        None => own,
        Some(files) => merge(files, own),
    };
    read(&merged, base)
}

/// Reads the texts of `files`; blocks of later ones are merged into those of earlier ones.
pub fn parse(files: &[(PathBuf, String)], base: &LimitsConfig) -> Result<Overrides> {
    merged(files, base)?.map_or_else(|| Ok(Overrides::default()), |node| read(&node, base))
}

fn merged(files: &[(PathBuf, String)], base: &LimitsConfig) -> Result<Option<Node>> {
    let mut merged = None;
    for (path, text) in files {
        let named = || format!("runtime config {}", path.display());
        let node =
            Node::parse(text).map_err(|fault| anyhow::anyhow!("{fault}")).with_context(named)?;
        // Each on its own first, so that a mistake is named with its own file.
        read(&node, base).with_context(named)?;
        merged = Some(match merged {
            None => node,
            Some(before) => merge(before, node),
        });
    }
    Ok(merged)
}

/// The texts of `paths`, for [`parse`].
pub fn read_files(paths: &[PathBuf]) -> Result<Vec<(PathBuf, String)>> {
    paths.iter().map(|path| Ok((path.clone(), read_file(path)?))).collect()
}

fn read_file(path: &Path) -> Result<String> {
    load::read_file(path).with_context(|| format!("runtime config {}", path.display()))
}

fn merge(before: Node, after: Node) -> Node {
    let at = after.at;
    let kind = match (before.kind, after.kind) {
        (kind, Kind::Null) => kind,
        (Kind::Map(mut pairs), Kind::Map(more)) => {
            // By a map: there may be as many as tenants. Of equal names the first one counts.
            let names = pairs.iter().enumerate().rev();
            let mut places: HashMap<String, usize> =
                names.map(|(place, (key, _))| (key.name.clone(), place)).collect();
            for (key, value) in more {
                match places.get(&key.name) {
                    Some(&place) => {
                        let own = &mut pairs[place].1;
                        let before = std::mem::replace(own, Node { at, kind: Kind::Null });
                        *own = merge(before, value);
                    }
                    None => {
                        places.insert(key.name.clone(), pairs.len());
                        pairs.push((key, value));
                    }
                }
            }
            Kind::Map(pairs)
        }
        (_, kind) => kind,
    };
    Node { at, kind }
}

fn read(node: &Node, base: &LimitsConfig) -> Result<Overrides> {
    let mut reading = Reading::default();
    let mut overrides = Overrides::default();
    let pairs: &[_] = match &node.kind {
        Kind::Null => &[],
        Kind::Map(pairs) => pairs,
        _ => {
            reading.fault(node.at, format!("takes a block of keys, not {}", node.what()));
            &[]
        }
    };
    for (key, value) in pairs {
        reading.inside(&key.name, |reading| match key.name.as_str() {
            "overrides" => tenants(value, reading, |tenant, node, reading| {
                let mut limits = base.clone();
                limits.read(node, reading);
                overrides.limits.insert(tenant, limits);
            }),
            "configs" => tenants(value, reading, |_, node, reading| {
                Accepted::from_default("operational_config").read(node, reading);
            }),
            "multi_kv_config" => Accepted::from_default("multi_kv").read(value, reading),
            _ => reading.fault(key.at, format!("field {} not found", key.name)),
        });
    }
    if !reading.faults.is_empty() {
        bail!("{}", load::list(&reading.faults));
    }
    for (tenant, limits) in &overrides.limits {
        checks::limits(limits).with_context(|| format!("overrides.{}", tenant.as_str()))?;
    }
    overrides.notices = told(&overrides, &reading);
    Ok(overrides)
}

fn tenants(
    node: &Node,
    reading: &mut Reading,
    mut each: impl FnMut(TenantId, &Node, &mut Reading),
) {
    let pairs = match &node.kind {
        Kind::Null => return,
        Kind::Map(pairs) => pairs,
        _ => {
            let text = format!("takes a block for each tenant, not {}", node.what());
            return reading.fault(node.at, text);
        }
    };
    for (key, value) in pairs {
        reading.inside(&key.name, |reading| match TenantId::new(&key.name) {
            Ok(tenant) => each(tenant, value, reading),
            Err(error) => reading.fault(key.at, error.to_string()),
        });
    }
}

/// A key that does nothing is told of once, whichever and however many tenants have it.
fn told(overrides: &Overrides, reading: &Reading) -> Vec<Notice> {
    let mut told: Vec<Notice> = Vec::new();
    for (tenant, limits) in &overrides.limits {
        let path = format!("overrides.{}", tenant.as_str());
        for notice in notices_of(limits, &path, &reading.set) {
            let key = notice.key.replacen(&path, "overrides", 1);
            let notice = Notice { key, ..notice };
            // What limits_config sets and no override does is told of at start already.
            let is_own = reading.set.contains_key(&notice.key.replacen("overrides", &path, 1));
            if is_own && !told.contains(&notice) {
                told.push(notice);
            }
        }
    }
    if reading.set.keys().any(|key| key.starts_with("configs.")) {
        let text = "log lines are chosen by server.log_level".to_owned();
        told.push(Notice { key: "configs".to_owned(), text, error: false });
    }
    if reading.set.keys().any(|key| key.starts_with("multi_kv_config.")) {
        let text = "the ring needs no store of its own".to_owned();
        told.push(Notice { key: "multi_kv_config".to_owned(), text, error: false });
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[&str]) -> Vec<(PathBuf, String)> {
        let name = |index: usize| PathBuf::from(format!("{index}.yaml"));
        texts.iter().enumerate().map(|(index, text)| (name(index), (*text).to_owned())).collect()
    }

    fn parsed(texts: &[&str]) -> Result<Overrides> {
        let base = LimitsConfig { max_query_series: 77, ..LimitsConfig::default() };
        parse(&files(texts), &base)
    }

    fn limits<'a>(overrides: &'a Overrides, tenant: &str) -> &'a LimitsConfig {
        &overrides.limits[&TenantId::new(tenant).unwrap()]
    }

    #[test]
    fn a_tenant_starts_from_the_configured_limits() {
        let text = "overrides:\n  a: {ingestion_rate_mb: 10, retention_stream: [{selector: '{env=\"dev\"}', \
                    priority: 1, period: 24h}]}\n  b:\n  c: {}\n\
                    configs: {a: {log_push_request: true}}\nmulti_kv_config: {primary: consul}\n";
        let overrides = parsed(&[text]).unwrap();
        assert_eq!(limits(&overrides, "a").ingestion_rate_mb, 10.0);
        assert_eq!(limits(&overrides, "a").max_query_series, 77);
        assert_eq!(limits(&overrides, "b").ingestion_rate_mb, 4.0);
        assert_eq!(overrides.limits.len(), 3);
        let told: Vec<&str> = overrides.notices.iter().map(|n| n.key.as_str()).collect();
        assert_eq!(told, ["overrides.retention_stream", "configs", "multi_kv_config"]);
        for text in ["", "overrides:\n", "overrides: {}\n"] {
            assert!(parsed(&[text]).unwrap().limits.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn later_files_are_merged_into_earlier_ones() {
        let one =
            "overrides: {a: {max_line_size: 1KB, max_query_series: 1}, b: {max_query_series: 2}}";
        let two = "overrides: {a: {max_query_series: 3}, c: {max_query_series: 4}}";
        let overrides = parsed(&[one, two, "# nothing\n"]).unwrap();
        assert_eq!(limits(&overrides, "a").max_query_series, 3);
        assert_eq!(limits(&overrides, "a").max_line_size.0, 1024);
        assert_eq!(limits(&overrides, "b").max_query_series, 2);
        assert_eq!(limits(&overrides, "c").max_query_series, 4);
        assert!(parsed(&[]).unwrap().limits.is_empty());
    }

    #[test]
    fn blocks_of_tenants_win_over_files_key_by_key() {
        let base = LimitsConfig { max_query_series: 77, ..LimitsConfig::default() };
        let file =
            "overrides: {a: {max_line_size: 1KB, max_query_series: 1}, b: {max_query_series: 2}}";
        let block = |text| Block::parse(text, &base).unwrap();
        let own =
            [("a", block("max_query_series: 5\n")), ("c/d", block("{\"max_query_series\": 6}"))];
        let own: Vec<(TenantId, Block)> =
            own.into_iter().filter_map(|(t, b)| Some((TenantId::new(t).ok()?, b))).collect();
        let with = |files: &[&str]| {
            let own = own.iter().map(|(tenant, block)| (tenant, block));
            parse_with(&super::tests::files(files), own, &base).unwrap()
        };
        let overrides = with(&[file]);
        assert_eq!(limits(&overrides, "a").max_query_series, 5);
        assert_eq!(limits(&overrides, "a").max_line_size.0, 1024);
        assert_eq!(limits(&overrides, "b").max_query_series, 2);
        assert_eq!(limits(&with(&[]), "a").max_query_series, 5);
        assert_eq!(limits(&with(&["", "overrides:\n"]), "a").max_query_series, 5);
        for (text, expected) in [
            ("max_query_serie: 1", "max_query_serie"),
            ("[1]", "takes a block of keys"),
            ("retention_stream: [{selector: '{a=\"b\"}', period: 1h}]", "must be >= 24h was 1h"),
            ("a: [", ""),
        ] {
            let error = format!("{:#}", Block::parse(text, &base).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn the_blocks_of_files_stand_on_their_own() {
        let base = LimitsConfig { max_query_series: 77, ..LimitsConfig::default() };
        let one = "x: &x {max_line_size: 1KB}\n";
        assert!(blocks(&files(&[one]), &base).is_err());
        let one = "overrides: {a: &x {max_line_size: 1KB, max_query_series: 1}, b: , c: {}}";
        let two = "overrides:\n  a: {max_query_series: 3}\n  d:\n    otlp_config: {\n\
                   resource_attributes: {attributes_config: [{action: drop, regex: 'a|\"b'}]}}\n";
        let found = blocks(&files(&[one, two]), &base).unwrap();
        let names: Vec<&str> = found.keys().map(TenantId::as_str).collect();
        assert_eq!(names, ["a", "d"]);
        let together = parse(&files(&[one, two]), &base).unwrap();
        for (tenant, block) in &found {
            let again = Block::parse(&block.text(), &base).unwrap();
            let own = parse_with(&[], [(tenant, &again)].into_iter(), &base).unwrap();
            let limits = |found: &Overrides| print::dump(&found.limits[tenant]);
            assert_eq!(limits(&own), limits(&together), "{}", block.text());
        }
        assert!(blocks(&[], &base).unwrap().is_empty());
        assert!(blocks(&files(&["", "overrides:\n"]), &base).unwrap().is_empty());
    }

    #[test]
    fn a_mistake_is_named_with_its_file_and_line() {
        let table = [
            (
                "overrides:\n  a:\n    ingestion_rat_mb: 1\n",
                "line 3, column 5: overrides.a.ingestion_rat_mb",
            ),
            (
                "overrides:\n  a: {max_line_size: big}\n",
                "line 2, column 22: overrides.a.max_line_size",
            ),
            ("overrides:\n  a/b: {}\n", "line 2, column 3: overrides.a/b: tenant ID 'a/b'"),
            ("overrides: [a]\n", "takes a block for each tenant"),
            ("overides: {}\n", "field overides not found"),
            ("- a\n", "takes a block of keys"),
            (
                "overrides: {a: {retention_stream: [{selector: '{a=\"b\"}', period: 1h}]}}",
                "must be >= 24h was 1h",
            ),
        ];
        for (text, expected) in table {
            let error = format!("{:#}", parsed(&["overrides: {}", text]).unwrap_err());
            assert!(error.contains("1.yaml") && error.contains(expected), "{text:?}: {error}");
        }
    }
}
