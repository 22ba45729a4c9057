//! Where limits of single tenants come from. Key by key the later one wins: `limits_config`, the
//! files of `runtime_config.file` in their order (where there are none: what the ring holds of the
//! leader's), what was put in the ring.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use base::TenantId;
use base::shutdown::Shutdown;
use base::task;
use meta::States;
use ring::State;

use crate::config::limits::LimitsConfig;
use crate::config::runtime::{self, Block};
use crate::config::{Notice, limits};
use crate::limits::ConfigLimits;
use crate::overrides::import::{self, MARK, Texts};

/// What all layers say together is what [`ConfigLimits`] answers.
pub struct Layers {
    limits: Arc<ConfigLimits>,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    files: Vec<(PathBuf, String)>,
    /// What the files say, for the ring.
    texts: Arc<Texts>,
    ring: BTreeMap<TenantId, Held>,
    told: Vec<Notice>,
}

/// What the ring holds of a tenant.
struct Held {
    /// At which version of the ring it was put.
    version: u64,
    /// The leader has it from its files.
    is_imported: bool,
    /// What it says, if this program can read it.
    block: Option<Block>,
}

impl Layers {
    /// Nobody has limits of their own yet.
    pub fn new(limits: Arc<ConfigLimits>) -> Layers {
        Layers { limits, now: Mutex::default() }
    }

    /// The limits of tenants without overrides.
    pub fn base(&self) -> &limits::LimitsConfig {
        self.limits.base()
    }

    /// From now on the files say this. With a mistake in them nothing changes.
    pub fn set_files(&self, texts: &[(PathBuf, String)]) -> Result<()> {
        let mut now = self.lock();
        let before = std::mem::replace(&mut now.files, texts.to_vec());
        let taken = self.take(&mut now);
        match &taken {
            Ok(()) => now.texts = Arc::new(texts_of(&now.files, self.base())?),
            Err(_) => now.files = before,
        }
        taken
    }

    /// What the files say of each tenant, as the ring is to hold it. The same until they change.
    pub fn texts(&self) -> Arc<Texts> {
        self.lock().texts.clone()
    }

    /// From now on the ring says this.
    pub fn set_ring(&self, state: &State) {
        let mut now = self.lock();
        let mut changed = false;
        now.ring.retain(|tenant, _| {
            let stays = state.overrides.contains_key(tenant);
            changed |= !stays;
            stays
        });
        for (tenant, put) in &state.overrides {
            if now.ring.get(tenant).is_some_and(|known| known.version >= put.version) {
                continue;
            }
            let (version, is_imported) = (put.version, import::is_imported(put));
            let block = read(tenant, &put.bytes, self.base());
            now.ring.insert(tenant.clone(), Held { version, is_imported, block });
            changed = true;
        }
        if changed && let Err(error) = self.take(&mut now) {
            // Each is good on its own, and so are the files: only together they make no sense.
            tracing::error!("overrides of the ring do not fit the runtime config: {error:#}");
        }
    }

    fn take(&self, now: &mut Now) -> Result<()> {
        let has_files = !now.files.is_empty();
        let own = now.ring.iter().filter(|(_, held)| !(has_files && held.is_imported));
        let own = own.filter_map(|(tenant, held)| Some((tenant, held.block.as_ref()?)));
        let overrides = runtime::parse_with(&now.files, own, self.limits.base())?;
        tracing::info!(tenants = overrides.limits.len(), "overrides loaded");
        for notice in overrides.notices.iter().filter(|notice| !now.told.contains(notice)) {
            if notice.error {
                tracing::error!(key = notice.key, "{}", notice.text);
            } else {
                tracing::warn!(key = notice.key, "{}", notice.text);
            }
        }
        now.told.clone_from(&overrides.notices);
        self.limits.replace(overrides);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn texts_of(files: &[(PathBuf, String)], base: &LimitsConfig) -> Result<Texts> {
    let blocks = runtime::blocks(files, base)?.into_iter();
    Ok(blocks.map(|(tenant, block)| (tenant, (MARK.to_owned() + &block.text()).into())).collect())
}

/// One that a later version of this program has put may have keys that this one does not know: then
/// the tenant has the limits of the layers below, and the log says so.
fn read(tenant: &TenantId, bytes: &[u8], base: &LimitsConfig) -> Option<Block> {
    let parsed = std::str::from_utf8(bytes)
        .map_err(anyhow::Error::from)
        .and_then(|text| Block::parse(text, base));
    match parsed {
        Ok(block) => Some(block),
        Err(error) => {
            let tenant = tenant.as_str();
            tracing::error!(tenant, "overrides in the ring cannot be read here: {error:#}");
            None
        }
    }
}

/// Brings what the ring says to `layers` until `shutdown`. With many tenants it takes a while: a
/// thread that may be busy does it.
pub async fn follow(layers: Arc<Layers>, mut states: States, shutdown: Shutdown) {
    loop {
        let (layers, state) = (layers.clone(), states.newest());
        let taken = task::blocking("ring-overrides", move || layers.set_ring(&state));
        if taken.await.is_err() {
            tracing::error!("taking overrides of the ring had panicked");
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = states.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ring::{Command, Expect, apply};
    use ulid::Ulid;

    use super::*;
    use crate::config::{Config, Source};

    fn put(state: &mut State, tenant: &str, text: &'static str) {
        let tenant = TenantId::new(tenant).unwrap();
        let bytes = Bytes::from_static(text.as_bytes());
        apply(state, &Command::PutOverride { tenant, expect: Expect::Any, bytes });
    }

    #[test]
    fn the_ring_wins_over_the_files_and_what_it_does_not_say_is_the_files() {
        let config = Config::load(&Source::default()).unwrap();
        let limits = Arc::new(ConfigLimits::new(&config));
        let layers = Layers::new(limits.clone());
        let of = |tenant: &str| {
            let config = limits.tenant(&TenantId::new(tenant).unwrap()).config.clone();
            (config.max_query_series, config.max_line_size.0)
        };
        let plain = of("x");
        let file =
            "overrides: {a: {max_query_series: 1, max_line_size: 7}, b: {max_query_series: 2}}";
        layers.set_files(&[(PathBuf::from("f"), file.to_owned())]).unwrap();
        let mut state = State::new(Ulid(1));
        put(&mut state, "a", "max_query_series: 5");
        put(&mut state, "c", "max_query_series: 6");
        layers.set_ring(&state);
        assert_eq!([of("a"), of("b"), of("c")], [(5, 7), (2, plain.1), (6, plain.1)]);
        // What one tenant's text says cannot harm another's.
        put(&mut state, "a", "no_such_key: 5");
        put(&mut state, "b", "max_query_series: 8");
        layers.set_ring(&state);
        assert_eq!([of("a"), of("b"), of("c")], [(1, 7), (8, plain.1), (6, plain.1)]);
        // A mistake in the files changes nothing, and the ring goes on.
        assert!(layers.set_files(&[(PathBuf::from("f"), "overrides: [".to_owned())]).is_err());
        let tenant = TenantId::new("c").unwrap();
        apply(&mut state, &Command::DeleteOverride { tenant, expect: Expect::Any });
        layers.set_ring(&state);
        assert_eq!([of("a"), of("b"), of("c")], [(1, 7), (8, plain.1), plain]);
        layers.set_files(&[]).unwrap();
        assert_eq!([of("a"), of("b")], [plain, (8, plain.1)]);
    }

    #[test]
    fn what_was_imported_counts_where_there_is_no_file() {
        let config = Config::load(&Source::default()).unwrap();
        let process = || {
            let limits = Arc::new(ConfigLimits::new(&config));
            (limits.clone(), Layers::new(limits))
        };
        let ((leader, leading), (other, without)) = (process(), process());
        let of = |limits: &ConfigLimits, tenant: &str| {
            limits.tenant(&TenantId::new(tenant).unwrap()).config.max_query_series
        };
        let file = |text: &str| [(PathBuf::from("f"), format!("overrides: {{{text}}}"))];
        leading.set_files(&file("a: {max_query_series: 1}, b: {max_query_series: 2}")).unwrap();
        let mut state = State::new(Ulid(1));
        for (tenant, bytes) in leading.texts().iter() {
            let (tenant, bytes) = (tenant.clone(), bytes.clone());
            apply(&mut state, &Command::PutOverride { tenant, expect: Expect::Absent, bytes });
        }
        leading.set_ring(&state);
        without.set_ring(&state);
        for limits in [&leader, &other] {
            assert_eq!(["a", "b"].map(|tenant| of(limits, tenant)), [1, 2]);
        }
        // A process with a file goes by it before the leader has imported it.
        leading.set_files(&file("a: {max_query_series: 3}")).unwrap();
        assert_eq!(["a", "b"].map(|tenant| of(&leader, tenant)), [3, of(&leader, "x")]);
        assert_eq!(["a", "b"].map(|tenant| of(&other, tenant)), [1, 2]);
        // What is put wins everywhere.
        put(&mut state, "a", "max_query_series: 8");
        leading.set_ring(&state);
        without.set_ring(&state);
        assert_eq!([of(&leader, "a"), of(&other, "a")], [8, 8]);
    }
}
