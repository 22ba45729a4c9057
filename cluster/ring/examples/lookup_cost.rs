//! What a list of replicas costs: `cargo run --release -p runelog-ring --example lookup_cost`.

use base::time::{Clock, SystemClock};
use base::{StoreId, StreamKey, TenantId};
use runelog_ring::{Command, Placement, Registration, Roles, Spot, State, apply, tokens};
use ulid::Ulid;

const LOOKUPS: u64 = 2_000_000;

fn ring_of(instances: u64, zones: u64) -> State {
    let mut state = State::new(Ulid(7));
    for n in 1..=instances {
        let store = StoreId(Ulid(u128::from(n)));
        let registration = Registration {
            store,
            id: format!("ingester-{n}"),
            grpc_address: format!("ingester-{n}:9095"),
            http_address: String::new(),
            zone: format!("zone-{}", n % zones),
            roles: Roles::INGESTER,
            tokens: tokens::generate(n, tokens::TOKENS),
        };
        apply(&mut state, &Command::Register(registration));
        let version = state.version;
        for by in 1..=n {
            apply(&mut state, &Command::Seen { by: StoreId(Ulid(u128::from(by))), version });
        }
        apply(&mut state, &Command::Activate { store });
    }
    state
}

fn main() {
    let spot = Spot::of_tenant(&TenantId::new("team-a").expect("it is a tenant id"));
    for instances in [1, 3, 30, 300] {
        let state = ring_of(instances, 3);
        let began_ns = SystemClock.monotonic_ns();
        let placement = Placement::new(&state);
        let made_ns = SystemClock.monotonic_ns() - began_ns;
        let began_ns = SystemClock.monotonic_ns();
        let mut sum = 0;
        for n in 0..LOOKUPS {
            let replicas = placement.replicas(spot(StreamKey(n)), 3, |_| true);
            sum += replicas.as_slice().iter().map(|&member| u64::from(member)).sum::<u64>();
        }
        let took_ns = SystemClock.monotonic_ns() - began_ns;
        println!(
            "{instances:4} instances: made in {:6} us, {:5.1} ns a list ({sum})",
            made_ns / 1000,
            took_ns as f64 / LOOKUPS as f64
        );
    }
}
