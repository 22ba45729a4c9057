//! Where limits of single tenants come from. Key by key the later one wins: `limits_config`, the
//! files of `runtime_config.file` in their order, what the ring holds.

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

/// What all layers say together is what [`ConfigLimits`] answers.
pub struct Layers {
    limits: Arc<ConfigLimits>,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    files: Vec<(PathBuf, String)>,
    /// Of the ring: at which version each was put, and what it says, if this program can read it.
    ring: BTreeMap<TenantId, (u64, Option<Block>)>,
    told: Vec<Notice>,
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
        if taken.is_err() {
            now.files = before;
        }
        taken
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
            if now.ring.get(tenant).is_some_and(|known| known.0 >= put.version) {
                continue;
            }
            let block = read(tenant, &put.bytes, self.base());
            now.ring.insert(tenant.clone(), (put.version, block));
            changed = true;
        }
        if changed && let Err(error) = self.take(&mut now) {
            // Each is good on its own, and so are the files: only together they make no sense.
            tracing::error!("overrides of the ring do not fit the runtime config: {error:#}");
        }
    }

    fn take(&self, now: &mut Now) -> Result<()> {
        let own = now.ring.iter();
        let own = own.filter_map(|(tenant, (_, block))| Some((tenant, block.as_ref()?)));
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
}
