//! Names of objects in the bucket. Only these functions make them.

use std::fmt::Write;

use base::{Day, TenantId};
use ulid::Ulid;

use crate::part_record::{PartRecord, Place};

/// Prefix of the commits.
pub const LOG: &str = "log";
/// The floor of the log.
pub const FLOOR: &str = "log/floor";
/// Prefix of the manifests of checkpoints.
pub const MANIFESTS: &str = "checkpoints/manifests";
/// Prefix of the id tables.
pub const ID_TABLES: &str = "checkpoints/ids";
/// Prefix of the objects that say which parts a tenant has on a day.
pub const DAYS: &str = "checkpoints/days";
/// Prefix of the parts that are objects of their own.
pub const PARTS: &str = "parts";
/// Prefix of bundles.
pub const BUNDLES: &str = "bundles";
/// Who this bucket belongs to (C6).
pub const CLUSTER: &str = "cluster.json";

/// Numbers are padded so that listings order them.
const DIGITS: usize = 20;

/// Longest encoded tenant; file systems allow 255 bytes in a name.
const MAX_TENANT_BYTES: usize = 200;

/// Commit `number`.
pub fn commit(number: u64) -> String {
    numbered(LOG, number)
}

/// The manifest of the checkpoint that covers commits up to `version`.
pub fn manifest(version: u64) -> String {
    numbered(MANIFESTS, version)
}

/// The id table of commits up to `version`.
pub fn id_table(version: u64) -> String {
    numbered(ID_TABLES, version)
}

/// The parts of one tenant and day as commit `changed_at` left them.
pub fn day_checkpoint(tenant: &TenantId, day: Day, changed_at: u64) -> String {
    numbered(&format!("{DAYS}/{}/{}", encoded(tenant), day_name(day)), changed_at)
}

/// The object that holds a part's bytes.
pub fn object(part: &PartRecord) -> String {
    match part.place {
        Place::Object => {
            format!("{PARTS}/{}/{}/{}", encoded(&part.tenant), day_name(part.day), part.id)
        }
        Place::Bundle { bundle, .. } => format!("{BUNDLES}/{bundle}"),
    }
}

/// The number at the end of a path made by [`commit`], [`manifest`] or [`id_table`].
pub fn number_of(path: &str) -> Option<u64> {
    let (_, name) = path.rsplit_once('/')?;
    if name.len() != DIGITS || !name.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    name.parse().ok()
}

/// The id at the end of a path made by [`object`].
pub fn object_id_of(path: &str) -> Option<Ulid> {
    let (_, name) = path.rsplit_once('/')?;
    Ulid::from_string(name).ok()
}

fn numbered(prefix: &str, number: u64) -> String {
    format!("{prefix}/{number:0width$}", width = DIGITS)
}

/// Days out of the calendar's range still get distinct names.
fn day_name(day: Day) -> String {
    day.to_string()
}

/// Percent-encodes what some file system or store refuses in a name; a tenant that gets too long
/// is named by its hash. Nobody decodes it: records carry the tenant.
fn encoded(tenant: &TenantId) -> String {
    let id = tenant.as_str();
    let mut out = String::with_capacity(id.len());
    for (at, byte) in id.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-_!'()".contains(&byte);
        if plain || (byte == b'.' && at > 0 && at + 1 < id.len()) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    if out.len() > MAX_TENANT_BYTES {
        return format!("%h{:032x}", base::hash::hash128(id.as_bytes()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_names_and_nothing_else_does() {
        assert_eq!(commit(42), "log/00000000000000000042");
        for number in [0, 1, u64::MAX] {
            assert_eq!(number_of(&commit(number)), Some(number));
            assert_eq!(number_of(&manifest(number)), Some(number));
        }
        for other in [FLOOR, "log/42", "00000000000000000042", "log/000000000000000000x2"] {
            assert_eq!(number_of(other), None, "{other}");
        }
        assert_eq!(number_of("log/99999999999999999999"), None);
    }

    #[test]
    fn different_tenants_get_different_names_that_fit_a_file_system() {
        let stars = "*".repeat(150);
        let tenants = ["a", "a.b", "a*b", "a%b", ".a", "...", "A", &stars, &stars[1..]];
        let mut names = std::collections::BTreeSet::new();
        for tenant in tenants {
            let Ok(tenant) = TenantId::new(tenant) else { continue };
            let name = encoded(&tenant);
            assert!(name.len() <= 200 && !name.contains('/') && !name.contains('*'), "{name}");
            assert!(!name.starts_with('.'), "{name}");
            assert!(names.insert(name.clone()), "{name} twice");
        }
        assert_eq!(names.len(), 8, "only `a%b` is no tenant");
    }
}
