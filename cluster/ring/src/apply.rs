//! What a command does to the state.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{StoreId, TenantId};
use bytes::Bytes;

use crate::command::{Command, Expect, Registration};
use crate::instance::{Departure, Instance, Phase, Roles};
use crate::outcome::{Outcome, Refusal};
use crate::state::{Lease, Override, State};
use crate::{
    MAX_INGESTERS, MAX_INSTANCES, MAX_LEASES, MAX_OVERRIDE_BYTES, MAX_OVERRIDES,
    MAX_OVERRIDES_BYTES, MAX_REPLICAS, MAX_RETIRED, MAX_TEXT_BYTES, MAX_TOKENS,
};

/// Whether the state changed, and whether streams are placed anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Plain,
    Placement,
}

type Result = std::result::Result<Change, Refusal>;

/// Applies one command: the same on every machine, whatever the command is.
pub fn apply(state: &mut State, command: &Command) -> Outcome {
    // A change is made under the number that it will have.
    state.version += 1;
    let result = change(state, command);
    match result {
        Ok(Change::Nothing) => {
            state.version -= 1;
            Outcome::Unchanged { version: state.version }
        }
        Err(refusal) => {
            state.version -= 1;
            Outcome::Refused(refusal)
        }
        Ok(change) => {
            if change == Change::Placement {
                state.placement_version = state.version;
            }
            settle(state);
            Outcome::Done { version: state.version }
        }
    }
}

fn change(state: &mut State, command: &Command) -> Result {
    match command {
        Command::Register(registration) => register(state, registration),
        Command::Activate { store } => activate(state, *store),
        Command::Leave { store } => leave(state, *store),
        Command::Gone { store } => gone(state, *store),
        Command::Cleared { by, of, since } => cleared(state, *by, *of, *since),
        Command::Forget { store } => forget(state, *store),
        Command::Health { store, is_up } => health(state, *store, *is_up),
        Command::Seen { by, version } => {
            let newest = state.version - 1;
            if *version > newest {
                return Err(Refusal::Version { found: newest });
            }
            let instance = ingester_mut(state, *by)?;
            raise(&mut instance.seen, *version)
        }
        Command::Factor { by, factor, since } => {
            factor_allowed(*factor, 1)?;
            if *since < state.lowered {
                return Err(Refusal::Version { found: state.lowered });
            }
            let instance = ingester_mut(state, *by)?;
            // What others may take out by what it says must not be said by one who is out already.
            if instance.phase == Phase::Gone {
                return Err(Refusal::Phase(*by));
            }
            raise(&mut instance.factor, *factor)
        }
        Command::Replicate { factor } => replicate(state, *factor),
        Command::Voters { most } => {
            if !matches!(most, 1 | 3 | 5) {
                return Err(Refusal::Invalid("number of voters".to_owned()));
            }
            let before = std::mem::replace(&mut state.most_voters, *most);
            Ok(if before == *most { Change::Nothing } else { Change::Plain })
        }
        Command::PutOverride { tenant, expect, bytes } => put(state, tenant, *expect, bytes),
        Command::DeleteOverride { tenant, expect } => {
            expected(state, tenant, *expect)?;
            let found = state.overrides.remove(tenant);
            found.map(|_| Change::Plain).ok_or_else(|| Refusal::Unknown("override".to_owned()))
        }
        Command::TakeLease { name, holder } => take(state, name, *holder),
        Command::ReleaseLease { name, holder, sequence } => {
            let lease = Lease { holder: *holder, sequence: *sequence };
            if state.leases.get(name) != Some(&lease) {
                return Err(Refusal::Unknown("lease".to_owned()));
            }
            state.leases.remove(name);
            Ok(Change::Plain)
        }
    }
}

fn raise<T: Ord + Copy>(held: &mut T, wanted: T) -> Result {
    if *held >= wanted {
        return Ok(Change::Nothing);
    }
    *held = wanted;
    Ok(Change::Plain)
}

fn found_mut(state: &mut State, store: StoreId) -> std::result::Result<&mut Instance, Refusal> {
    match state.instances.get_mut(&store) {
        Some(instance) => Ok(Arc::make_mut(instance)),
        None if state.retired.contains_key(&store) => Err(Refusal::Retired(store)),
        None => Err(Refusal::Unknown(format!("store {store}"))),
    }
}

fn ingester_mut(state: &mut State, store: StoreId) -> std::result::Result<&mut Instance, Refusal> {
    let instance = found_mut(state, store)?;
    if instance.is_ingester() { Ok(instance) } else { Err(Refusal::Phase(store)) }
}

fn register(state: &mut State, new: &Registration) -> Result {
    valid(new)?;
    if state.retired.contains_key(&new.store) {
        return Err(Refusal::Retired(new.store));
    }
    if state.instances.contains_key(&new.store) {
        return register_again(state, new);
    }
    if state.instances.len() >= MAX_INSTANCES {
        return Err(Refusal::Full("instances".to_owned()));
    }
    let is_ingester = new.roles.has(Roles::INGESTER);
    if is_ingester && state.ingesters().count() >= MAX_INGESTERS {
        return Err(Refusal::Full("ingesters".to_owned()));
    }
    let replaced = state.instances.values();
    let replaced = replaced.filter(|old| old.id == new.id && old.is_ingester() == is_ingester);
    let replaced: Vec<StoreId> = replaced.map(|old| old.store).collect();
    let mut changed = Change::Plain;
    for store in replaced {
        if gone(state, store)? == Change::Placement {
            changed = Change::Placement;
        }
    }
    let instance = Instance {
        store: new.store,
        id: new.id.clone(),
        grpc_address: new.grpc_address.clone(),
        http_address: new.http_address.clone(),
        zone: new.zone.clone(),
        has_moved: false,
        roles: new.roles,
        phase: if is_ingester { Phase::Joining } else { Phase::Active },
        is_up: true,
        registered: state.version,
        seen: 0,
        factor: state.asked_factor(),
        tokens: new.tokens.clone(),
        departure: None,
    };
    state.instances.insert(new.store, Arc::new(instance));
    state.founder.get_or_insert(new.store);
    Ok(changed)
}

fn valid(new: &Registration) -> std::result::Result<(), Refusal> {
    let texts = [
        ("instance id", &new.id, 1),
        ("gRPC address", &new.grpc_address, 1),
        ("HTTP address", &new.http_address, 0),
        ("zone", &new.zone, 0),
    ];
    for (name, text, least) in texts {
        if text.len() < least || text.len() > MAX_TEXT_BYTES {
            return Err(Refusal::Invalid(name.to_owned()));
        }
    }
    let is_ascending = new.tokens.windows(2).all(|pair| pair[0] < pair[1]);
    let has_tokens = !new.tokens.is_empty();
    if !is_ascending
        || new.tokens.len() > MAX_TOKENS
        || has_tokens != new.roles.has(Roles::INGESTER)
    {
        return Err(Refusal::Invalid("tokens".to_owned()));
    }
    if new.roles.is_empty() {
        return Err(Refusal::Invalid("roles".to_owned()));
    }
    Ok(())
}

/// A known store presents itself again: with another address, or back from the gone.
fn register_again(state: &mut State, new: &Registration) -> Result {
    let least = state.asked_factor();
    let instance = found_mut(state, new.store)?;
    let before = instance.clone();
    if new.roles.has(Roles::INGESTER) != before.is_ingester() {
        return Err(Refusal::Invalid("roles".to_owned()));
    }
    if before.phase == Phase::Gone
        && let Some(departure) = before.departure.clone()
    {
        if departure.is_forgotten {
            return Err(Refusal::Departing(new.store));
        } else if departure.is_leaving {
            instance.phase = Phase::Leaving;
        } else if departure.cleared.is_empty() {
            instance.phase = Phase::Active;
            instance.departure = None;
        } else {
            return Err(Refusal::Departing(new.store));
        }
        instance.factor = instance.factor.min(least);
    }
    instance.id.clone_from(&new.id);
    instance.grpc_address.clone_from(&new.grpc_address);
    instance.http_address.clone_from(&new.http_address);
    instance.roles = new.roles;
    instance.is_up = true;
    instance.tokens.clone_from(&new.tokens);
    let waits = before.may_hold_rows() && !before.zone.is_empty() && before.zone != new.zone;
    if !waits && instance.zone != new.zone {
        // Without a zone it counted alone, and it goes on so.
        instance.zone.clone_from(&new.zone);
        instance.has_moved |= before.may_hold_rows();
    }
    let moves = instance.is_placed() != before.is_placed()
        || instance.tokens != before.tokens
        || instance.zone != before.zone;
    let is_placed = instance.is_placed() || before.is_placed();
    let is_same = *instance == before;
    let is_asked = ask_to_move(state, new, waits);
    Ok(match is_same && !is_asked {
        true => Change::Nothing,
        false if moves && is_placed => Change::Placement,
        false => Change::Plain,
    })
}

/// A store with rows takes another zone only when everybody who answers has seen that it will:
/// readers count zones. Whether what was asked for has changed.
fn ask_to_move(state: &mut State, new: &Registration, waits: bool) -> bool {
    if !waits {
        return state.moves.remove(&new.store).is_some();
    }
    if state.moves.get(&new.store) == Some(&new.zone) {
        return false;
    }
    state.moves.insert(new.store, new.zone.clone());
    state.moved = state.version;
    true
}

fn activate(state: &mut State, store: StoreId) -> Result {
    let instance = ingester_mut(state, store)?.clone();
    match instance.phase {
        Phase::Active => return Ok(Change::Nothing),
        Phase::Gone => return Err(Refusal::Phase(store)),
        // It changed its mind before anybody took it at its word.
        Phase::Leaving => {
            if instance.departure.is_some_and(|departure| !departure.cleared.is_empty()) {
                return Err(Refusal::Departing(store));
            }
            let instance = found_mut(state, store)?;
            instance.phase = Phase::Active;
            instance.departure = None;
            return Ok(Change::Placement);
        }
        Phase::Joining => {}
    }
    let mut waits = BTreeSet::new();
    for other in state.ingesters().filter(|other| other.store != store) {
        // It must know of all others before it answers a reader that does not.
        if other.registered > instance.seen {
            waits.insert(store);
        }
        // It must refuse what names a store that others have cleared already (R1b). What nobody has
        // cleared may come back, and is not removed before this one has cleared it too.
        if other.departure.as_ref().is_some_and(|departure| {
            let is_cleared = departure.cleared.iter().any(|by| *by != other.store);
            is_cleared && !departure.cleared.contains(&store)
        }) {
            waits.insert(store);
        }
        // A reader with an older state learns of it from whichever ingester answers.
        if other.answers() && other.seen < instance.registered {
            waits.insert(other.store);
        }
    }
    // It answers readers that do not know how few copies there may be, or who is in which zone.
    if instance.seen < state.lowered.max(state.moved) {
        waits.insert(store);
    }
    if !waits.is_empty() {
        return Err(Refusal::Waiting(waits.into_iter().collect()));
    }
    state.joined += 1;
    let factor = state.asked_factor();
    let instance = found_mut(state, store)?;
    instance.phase = Phase::Active;
    // It holds nothing yet.
    instance.factor = factor;
    Ok(Change::Placement)
}

fn leave(state: &mut State, store: StoreId) -> Result {
    let placed = state.placed().count();
    let since = state.version;
    let instance = found_mut(state, store)?;
    match instance.phase {
        Phase::Leaving => return Ok(Change::Nothing),
        Phase::Gone => return Err(Refusal::Phase(store)),
        _ if !instance.may_hold_rows() => {
            remove(state, store);
            return Ok(Change::Plain);
        }
        Phase::Joining | Phase::Active => {}
    }
    if placed <= 1 {
        return Err(Refusal::Last(store));
    }
    instance.phase = Phase::Leaving;
    instance.departure = Some(departure(since, true));
    Ok(Change::Placement)
}

fn departure(since: u64, is_leaving: bool) -> Departure {
    Departure { since, is_leaving, is_forgotten: false, forgotten_at: 0, cleared: BTreeSet::new() }
}

fn gone(state: &mut State, store: StoreId) -> Result {
    let since = state.version;
    let instance = found_mut(state, store)?;
    if instance.phase == Phase::Gone {
        return Ok(Change::Nothing);
    }
    if !instance.may_hold_rows() {
        remove(state, store);
        return Ok(Change::Plain);
    }
    let was_placed = instance.is_placed();
    instance.phase = Phase::Gone;
    instance.is_up = false;
    instance.departure.get_or_insert(departure(since, false));
    state.leases.retain(|_, lease| lease.holder != store);
    Ok(if was_placed { Change::Placement } else { Change::Plain })
}

fn cleared(state: &mut State, by: StoreId, of: StoreId, since: u64) -> Result {
    let speaker = ingester_mut(state, by)?;
    // That its own log is empty one can say that was taken for gone.
    if speaker.phase == Phase::Gone && by != of {
        return Err(Refusal::Phase(by));
    }
    let instance = ingester_mut(state, of)?;
    if by != of && !instance.may_be_cleared() {
        return Err(Refusal::Phase(of));
    }
    match &mut instance.departure {
        Some(departure) if departure.since == since => {
            let is_new = departure.cleared.insert(by);
            Ok(if is_new { Change::Plain } else { Change::Nothing })
        }
        _ => Err(Refusal::Phase(of)),
    }
}

fn forget(state: &mut State, store: StoreId) -> Result {
    let at = state.version;
    let instance = found_mut(state, store)?;
    match &mut instance.departure {
        Some(departure) if instance.phase == Phase::Gone => {
            if departure.is_forgotten {
                return Ok(Change::Nothing);
            }
            (departure.is_forgotten, departure.forgotten_at) = (true, at);
            Ok(Change::Plain)
        }
        _ => Err(Refusal::Phase(store)),
    }
}

fn health(state: &mut State, store: StoreId, is_up: bool) -> Result {
    let instance = found_mut(state, store)?;
    if instance.is_up == is_up {
        return Ok(Change::Nothing);
    }
    if instance.phase == Phase::Gone {
        return Err(Refusal::Phase(store));
    }
    instance.is_up = is_up;
    if !is_up {
        state.leases.retain(|_, lease| lease.holder != store);
    }
    Ok(Change::Plain)
}

fn factor_allowed(factor: u8, least: u8) -> std::result::Result<(), Refusal> {
    if factor < least || usize::from(factor) > MAX_REPLICAS {
        return Err(Refusal::Invalid("replication factor".to_owned()));
    }
    Ok(())
}

fn replicate(state: &mut State, factor: u8) -> Result {
    factor_allowed(factor, 0)?;
    if state.replication == factor {
        return Ok(Change::Nothing);
    }
    let written = state.write_factor();
    state.replication = factor;
    // Readers count on the least at once; whoever writes waits until all have seen it. Nothing is
    // written to the gone: others may have begun to speak for what they hold.
    let least = state.asked_factor();
    state.held_factor = if least < written { written } else { 0 };
    if least < written {
        state.lowered = state.version;
    }
    for instance in state.instances.values_mut() {
        let is_there = instance.is_ingester() && instance.phase != Phase::Gone;
        if is_there && instance.factor > least {
            Arc::make_mut(instance).factor = least;
        }
    }
    Ok(Change::Plain)
}

fn expected(state: &State, tenant: &TenantId, expect: Expect) -> std::result::Result<(), Refusal> {
    let found = state.overrides.get(tenant).map_or(0, |found| found.version);
    let fits = match expect {
        Expect::Any => true,
        Expect::Absent => found == 0,
        Expect::Version(version) => found == version && found != 0,
    };
    if fits { Ok(()) } else { Err(Refusal::Version { found }) }
}

fn put(state: &mut State, tenant: &TenantId, expect: Expect, bytes: &Bytes) -> Result {
    if bytes.len() > MAX_OVERRIDE_BYTES {
        return Err(Refusal::Invalid("override's length".to_owned()));
    }
    expected(state, tenant, expect)?;
    let others = state.overrides.iter().filter(|(other, _)| *other != tenant);
    let (count, total) =
        others.fold((1, bytes.len()), |(n, sum), (_, found)| (n + 1, sum + found.bytes.len()));
    if count > MAX_OVERRIDES || total > MAX_OVERRIDES_BYTES {
        return Err(Refusal::Full("overrides".to_owned()));
    }
    let found = Override { version: state.version, bytes: bytes.clone() };
    state.overrides.insert(tenant.clone(), found);
    Ok(Change::Plain)
}

fn take(state: &mut State, name: &str, holder: StoreId) -> Result {
    if name.is_empty() || name.len() > MAX_TEXT_BYTES {
        return Err(Refusal::Invalid("lease's name".to_owned()));
    }
    if !found_mut(state, holder)?.is_up {
        return Err(Refusal::Phase(holder));
    }
    match state.leases.get(name) {
        Some(lease) if lease.holder == holder => return Ok(Change::Nothing),
        Some(lease) => return Err(Refusal::Held(lease.holder)),
        None if state.leases.len() >= MAX_LEASES => return Err(Refusal::Full("leases".to_owned())),
        None => {}
    }
    state.leases.insert(name.to_owned(), Lease { holder, sequence: state.version });
    Ok(Change::Plain)
}

/// Removes every store whose last word was said: one removal may be what another waits for. And puts
/// in force what everybody has seen who answers: a lower replication factor, other zones.
fn settle(state: &mut State) {
    if state.held_factor > 0 && state.is_seen(state.lowered) {
        state.held_factor = 0;
    }
    if !state.moves.is_empty() && state.is_seen(state.moved) {
        state.placement_version = state.version;
        for (store, zone) in std::mem::take(&mut state.moves) {
            let Some(instance) = state.instances.get_mut(&store).map(Arc::make_mut) else {
                continue;
            };
            (instance.zone, instance.has_moved) = (zone, true);
        }
    }
    while let Some(store) = settled(state) {
        remove(state, store);
    }
}

fn settled(state: &State) -> Option<StoreId> {
    let departing = state.ingesters().filter(|instance| match &instance.departure {
        None => false,
        // Its own WAL is empty, so nothing that it acknowledged is missing: it has said so, or will.
        Some(_) if instance.phase == Phase::Leaving => true,
        Some(departure) if departure.is_forgotten => true,
        Some(departure) if departure.cleared.contains(&instance.store) => true,
        // Others speak for it only if others hold what it acknowledged.
        Some(departure) => instance.factor > 1 && !departure.cleared.is_empty(),
    });
    let mut departing = departing.map(|instance| instance.store);
    departing.find(|&store| state.uncleared_by(store).is_empty())
}

/// Takes a store out of the state for ever.
fn remove(state: &mut State, store: StoreId) {
    let Some(removed) = state.instances.remove(&store) else { return };
    state.moves.remove(&store);
    state.leases.retain(|_, lease| lease.holder != store);
    if removed.may_hold_rows() {
        state.retired.insert(store, state.version);
    }
    while state.retired.len() > MAX_RETIRED {
        let oldest = state.retired.iter().min_by_key(|&(&store, &version)| (version, store));
        let Some((&oldest, _)) = oldest else { return };
        state.retired.remove(&oldest);
    }
}

#[cfg(test)]
mod tests;
