//! What the leader's `runtime_config.file` says, in the ring: so that it counts in processes without a
//! file too.
//!
//! An imported text begins with [`MARK`]. What the ring holds with it is always what the file of the
//! process that leads says: changed, it is put again, and what is no longer there is removed. What an
//! operator has put (without it) is never touched. A process with files of its own goes by those, and
//! not by what was imported.
//!
//! **Invariant:** every command names what it replaces. Two that take themselves for the leader, or an
//! operator who is quicker, cannot be overwritten by what was read before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::TenantId;
use base::shutdown::Shutdown;
use bytes::Bytes;
use ring::{Command, Expect, Outcome, Override, Refusal, State};

use super::layers::Layers;
use crate::membership::Membership;

/// The first line of what was imported.
pub const MARK: &str = "# imported from the leader's runtime_config.file\n";

/// How often it is looked who leads and what the file says while the ring's state stays the same.
const PAUSE: Duration = Duration::from_secs(1);

/// Texts of tenants as files say them, with [`MARK`].
pub type Texts = BTreeMap<TenantId, Bytes>;

/// Whether `found` was imported, and not put by an operator.
pub fn is_imported(found: &Override) -> bool {
    found.bytes.starts_with(MARK.as_bytes())
}

/// What an operator puts is the operator's, also where it began as what was imported.
pub fn without_mark(bytes: Bytes) -> Bytes {
    if bytes.starts_with(MARK.as_bytes()) { bytes.slice(MARK.len()..) } else { bytes }
}

/// What is missing until the ring holds `texts`, and no other that was imported.
fn missing(texts: &Texts, state: &State) -> Vec<(TenantId, Command)> {
    let mut missing = Vec::new();
    for (tenant, text) in texts {
        let expect = match state.overrides.get(tenant) {
            None => Expect::Absent,
            Some(found) if is_imported(found) && found.bytes != *text => {
                Expect::Version(found.version)
            }
            Some(_) => continue,
        };
        let put = Command::PutOverride { tenant: tenant.clone(), expect, bytes: text.clone() };
        missing.push((tenant.clone(), put));
    }
    for (tenant, found) in &state.overrides {
        if is_imported(found) && !texts.contains_key(tenant) {
            let expect = Expect::Version(found.version);
            let delete = Command::DeleteOverride { tenant: tenant.clone(), expect };
            missing.push((tenant.clone(), delete));
        }
    }
    missing
}

/// Imports while this process leads.
pub struct Import {
    layers: Arc<Layers>,
    ring: Membership,
    /// What was imported last: it is as it was then.
    done: Option<(u64, Arc<Texts>)>,
    /// What the ring has no room for, of these texts.
    refused: BTreeSet<TenantId>,
}

impl Import {
    /// Of the files of `layers`, into `ring`.
    pub fn new(layers: Arc<Layers>, ring: Membership) -> Import {
        Import { layers, ring, done: None, refused: BTreeSet::new() }
    }

    /// Imports until `shutdown`.
    pub async fn run(mut self, shutdown: Shutdown) {
        let work = async {
            let mut rounds = self.ring.rounds(PAUSE);
            loop {
                let state = rounds.next().await;
                self.round(&state).await;
            }
        };
        let _ended: Option<()> = shutdown.run_until_cancelled(work).await;
    }

    async fn round(&mut self, state: &State) {
        let own = self.ring.own().store;
        if self.ring.leader().is_none_or(|leader| leader.store != own) {
            self.done = None;
            return;
        }
        let texts = self.layers.texts();
        let before = self.done.as_ref();
        if before.is_none_or(|(_, before)| !Arc::ptr_eq(before, &texts)) {
            self.refused.clear();
        } else if before.is_some_and(|&(version, _)| version == state.version) {
            return;
        }
        let mut missing = missing(&texts, state);
        missing.retain(|(tenant, _)| !self.refused.contains(tenant));
        for (tenant, command) in missing {
            match self.ring.propose(command).await {
                Ok(Outcome::Done { .. } | Outcome::Unchanged { .. }) => {}
                // Somebody was quicker: the next state says what is missing now.
                Ok(Outcome::Refused(Refusal::Version { .. })) => return,
                Ok(Outcome::Refused(refusal)) => {
                    let of = tenant.as_str();
                    tracing::error!(tenant = of, %refusal, "the ring does not take its overrides");
                    self.refused.insert(tenant);
                }
                Err(error) => {
                    tracing::debug!(%error, "overrides could not be imported yet");
                    return;
                }
            }
        }
        self.done = Some((state.version, texts));
    }
}

#[cfg(test)]
mod tests {
    use ring::apply;
    use ulid::Ulid;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|(name, text)| (tenant(name), format!("{MARK}{text}").into())).collect()
    }

    fn import(texts: &Texts, state: &mut State) -> usize {
        let missing = missing(texts, state);
        for (_, command) in &missing {
            assert!(matches!(apply(state, command), Outcome::Done { .. }), "{command:?}");
        }
        missing.len()
    }

    fn put(state: &mut State, name: &str, text: &'static str) {
        let (tenant, bytes) = (tenant(name), Bytes::from_static(text.as_bytes()));
        apply(state, &Command::PutOverride { tenant, expect: Expect::Any, bytes });
    }

    fn held(state: &State) -> Vec<(&str, String)> {
        let text = |found: &Override| String::from_utf8(found.bytes.to_vec()).unwrap();
        state.overrides.iter().map(|(tenant, found)| (tenant.as_str(), text(found))).collect()
    }

    #[test]
    fn the_ring_holds_what_the_file_says_and_what_an_operator_put_stays() {
        let mut state = State::new(Ulid(1));
        put(&mut state, "b", "max_query_series: 9\n");
        let file = texts(&[("a", "x: 1\n"), ("b", "x: 2\n"), ("c", "x: 3\n")]);
        assert_eq!(import(&file, &mut state), 2);
        assert_eq!(import(&file, &mut state), 0, "once");
        let version = state.version;
        let file = texts(&[("a", "x: 1\n"), ("c", "x: 4\n"), ("d", "x: 5\n")]);
        assert_eq!(import(&file, &mut state), 2);
        assert!(state.overrides[&tenant("a")].version <= version, "it stays as it was");
        put(&mut state, "d", "max_query_series: 8\n");
        assert_eq!(import(&texts(&[]), &mut state), 2);
        let own = |text: &str| format!("max_query_series: {text}\n");
        assert_eq!(held(&state), [("b", own("9")), ("d", own("8"))]);
    }

    #[test]
    fn what_was_found_out_before_somebody_else_did_something_changes_nothing() {
        let mut state = State::new(Ulid(1));
        let file = texts(&[("a", "x: 1\n"), ("b", "x: 2\n")]);
        import(&file, &mut state);
        let late = [
            missing(&texts(&[("a", "x: 7\n")]), &state),
            missing(&texts(&[("a", "x: 1\n"), ("b", "x: 2\n"), ("c", "x: 3\n")]), &state),
        ];
        put(&mut state, "a", "max_query_series: 9\n");
        put(&mut state, "b", "max_query_series: 8\n");
        put(&mut state, "c", "max_query_series: 7\n");
        let before = held(&state).len();
        for (_, command) in late.into_iter().flatten() {
            let outcome = apply(&mut state, &command);
            assert!(matches!(outcome, Outcome::Refused(Refusal::Version { .. })), "{outcome:?}");
        }
        assert_eq!(held(&state).len(), before);
    }

    #[test]
    fn what_an_operator_puts_is_the_operators() {
        let bytes = Bytes::from(format!("{MARK}x: 1\n"));
        assert_eq!(without_mark(bytes), "x: 1\n");
        assert_eq!(without_mark(Bytes::from_static(b"x: 1\n")), "x: 1\n");
    }
}
