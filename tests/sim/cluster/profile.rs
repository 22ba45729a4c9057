//! What kind of trouble a seed has. Rates are per thousand.

use super::world::Chance;

/// Sizes and rates of one simulation.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    pub name: &'static str,
    /// Most copies of each row.
    pub factor: u64,
    /// Whether ingesters come one after the other, and go again: 1 to 3 to 5 to 3.
    pub scales: bool,
    /// Whether an operator asks for more copies and for fewer, meanwhile.
    pub lowers: bool,
    pub distributors: u64,
    pub ingesters: u64,
    pub queriers: u64,
    pub frontends: u64,
    /// Steps of the actor that breaks things.
    pub troubles: u64,
    /// Pushes of each pushing client.
    pub pushes: u64,
    /// Queries of each asking client.
    pub queries: u64,
    // What goes wrong by itself.
    pub lost_calls: u64,
    pub doubled_calls: u64,
    pub late_calls: u64,
    pub lost_puts: u64,
    pub late_puts: u64,
    pub doubled_puts: u64,
    pub failed_gets: u64,
    pub stalls_at_put: u64,
    pub kills_at_put: u64,
    pub kills_at_ack: u64,
    // Weights of what the breaking actor does.
    pub kill: u64,
    pub stall: u64,
    pub cut: u64,
    pub fill_disk: u64,
    pub fail_disk: u64,
    pub lose_disk: u64,
    pub skew: u64,
    pub flush: u64,
    /// A store that is there is taken as gone.
    pub take_for_gone: u64,
    /// Of four lost disks, those whose store an operator forgets at once, before anybody has cleared
    /// it.
    pub forget: u64,
    /// Whether a day passes now and then, so that compactors clean up after stalled writers.
    pub long: bool,
    /// Whether limits of memory and log are small.
    pub tight: bool,
}

/// Seeds from here on have three copies of each row.
pub const REPLICATED: u64 = 1_000_000;
/// Seeds from here on have ingesters that come and go, and from one to five copies of each row.
pub const LOWERED: u64 = 2_000_000;

impl Profile {
    /// Nothing goes wrong but what a script says.
    pub fn scripted(name: &'static str, ingesters: u64, scales: bool) -> Profile {
        Profile {
            name,
            factor: 3,
            scales,
            distributors: 1,
            ingesters,
            queriers: 1,
            frontends: 1,
            ..Profile::default()
        }
    }

    /// The profile of a seed.
    pub fn of(seed: u64) -> Profile {
        let chance = Chance::new(seed, "profile");
        let (is_replicated, lowers) = (seed >= REPLICATED, seed >= LOWERED);
        let ingesters = if is_replicated { chance.between(3, 4) } else { chance.between(2, 3) };
        // A draw of its own: seeds are what they were.
        let scales = lowers || (is_replicated && Chance::new(seed, "scale").happens(400));
        let base = Profile {
            factor: match (is_replicated, lowers) {
                (false, _) => 1,
                (true, false) => 3,
                (true, true) => 5,
            },
            scales,
            lowers,
            distributors: 2,
            ingesters: if scales { 5 } else { ingesters },
            take_for_gone: if is_replicated { 1 } else { 0 },
            forget: if is_replicated { 1 } else { 0 },
            queriers: 2,
            frontends: chance.between(1, 2),
            troubles: if scales { 24 } else { 14 },
            pushes: chance.between(10, 24) + if scales { 16 } else { 0 },
            queries: chance.between(10, 20) + if scales { 10 } else { 0 },
            flush: 4,
            // A store that is full refuses lists of others, too.
            tight: chance.happens(200) && !is_replicated,
            ..Profile::default()
        };
        let calls = |p: Profile| Profile { lost_calls: 25, doubled_calls: 20, late_calls: 15, ..p };
        let puts = |p: Profile| Profile {
            lost_puts: 80,
            late_puts: 40,
            doubled_puts: 40,
            failed_gets: 15,
            ..p
        };
        let kills = |p: Profile| Profile { kill: 6, kills_at_put: 60, kills_at_ack: 15, ..p };
        let stalls = |p: Profile| Profile { stall: 4, stalls_at_put: 100, ..p };
        let disks = |p: Profile| Profile { fill_disk: 3, fail_disk: 5, ..p };
        match seed % 10 {
            0 => Profile { name: "calm", take_for_gone: 0, forget: 0, ..base },
            1 => Profile { name: "kills", ..kills(base) },
            2 => Profile { name: "disks", ..disks(kills(base)) },
            3 => Profile { name: "network", cut: 6, ..calls(base) },
            4 => Profile { name: "bucket", ..puts(kills(base)) },
            5 => Profile { name: "stalls", skew: 2, ..stalls(puts(base)) },
            6 => Profile { name: "cleaning", long: true, skew: 2, ..stalls(base) },
            7 => Profile { name: "lost disks", lose_disk: 6, ..stalls(kills(base)) },
            8 => Profile { name: "long", long: true, lose_disk: 2, ..puts(kills(stalls(base))) },
            _ => Profile {
                name: "everything",
                cut: 3,
                skew: 2,
                lose_disk: 1,
                long: chance.happens(300),
                ..calls(puts(disks(kills(stalls(base)))))
            },
        }
    }
}
