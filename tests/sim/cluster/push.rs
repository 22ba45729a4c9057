//! Pushes: several tenants and streams around a midnight, late rows, exact duplicates, retries.

use std::sync::Arc;
use std::time::Duration;

use base::TenantId;
use base::disk::sim::Keep;
use bytes::Bytes;
use distributor::{Encoding, Format, Payload};
use rpc::http::body::Hold;
use serde_json::json;

use super::nodes::{Cluster, Node, Role};
use super::record::{Record, Row};
use super::world::{Chance, event};

pub const TENANTS: [&str; 2] = ["blue", "red"];
pub const APPS: [&str; 4] = ["api", "db", "web", "worker"];
/// 2024-05-02 00:00:00 UTC.
pub const MIDNIGHT_NS: i64 = 1_714_608_000_000_000_000;
/// How long a client waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a push is about.
pub struct Push {
    pub tenant: &'static str,
    pub rows: Vec<Row>,
}

impl Push {
    pub fn random(chance: &Chance, record: &Record, name: &str, number: u64) -> Push {
        let tenant = *chance.pick(&TENANTS);
        let mut rows = Vec::new();
        // Some come in order, some anywhere around midnight.
        let mut at_s = chance.between(0, 14_000) as i64 - 7_000;
        for index in 0..chance.between(1, 6) {
            let again = chance.happens(200).then(|| record.some_row(chance.below(1 << 40)));
            if let Some(row) = again.flatten().filter(|row| row.tenant == tenant) {
                rows.push(row);
                continue;
            }
            at_s = match chance.below(3) {
                0 => chance.between(0, 14_000) as i64 - 7_000,
                1 => at_s,
                _ => at_s + chance.below(30) as i64,
            };
            let key = chance.below(5);
            let line = match chance.happens(150) {
                true => format!("k{key} same"),
                false => format!("k{key} {name} {number} {index}"),
            };
            rows.push(Row {
                tenant,
                app: (*chance.pick(&APPS)).to_owned(),
                ts_ns: MIDNIGHT_NS + at_s * 1_000_000_000,
                line,
                trace: chance.happens(300).then(|| format!("t{}", chance.below(3))),
            });
        }
        Push { tenant, rows }
    }

    fn body(&self) -> Bytes {
        let stream = |row: &Row| {
            let mut value = vec![json!(row.ts_ns.to_string()), json!(row.line)];
            if let Some(trace) = &row.trace {
                value.push(json!({ "trace": trace }));
            }
            json!({ "stream": { "app": row.app }, "values": [value] })
        };
        let streams: Vec<_> = self.rows.iter().map(stream).collect();
        json!({ "streams": streams }).to_string().into()
    }
}

/// Sends a push once; `Ok` is a 204.
pub async fn send(cluster: &Arc<Cluster>, record: &Record, to: &Node, push: &Push) -> bool {
    let world = &cluster.world;
    let who = format!("pushes {}", to.name);
    let Some((process, distributor)) = to.distributor.server() else {
        event!(world, &who, "connection refused");
        if !world.is_faulty() {
            world.violate(format!("{} refuses connections without a fault", to.name));
        }
        return false;
    };
    record.sending(&push.rows);
    let losses = cluster.ledger.losses();
    let payload = Payload {
        format: Format::Json,
        encoding: Encoding::Identity,
        body: push.body(),
        hold: Hold::unlimited(),
    };
    let tenant = TenantId::new(push.tenant).expect("a valid tenant");
    let was_faulty = world.is_faulty();
    let answer = process.spawn(async move { distributor.push(&tenant, payload).await });
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    let excused = was_faulty || world.is_faulty();
    let (count, tenant) = (push.rows.len(), push.tenant);
    match answer {
        Ok(Ok(Ok(()))) => {
            if cluster.truth.is_some() {
                let is_claimed = |id: &_| cluster.history.is_claimed(id);
                if let Err(broken) = cluster.ledger.check_acked(&push.rows, is_claimed) {
                    world.violate(format!("push to {}: {broken}", to.name));
                }
                record.acked(&push.rows, |_| false);
            } else {
                record.acked(&push.rows, |row| cluster.ledger.is_lost_since(row, losses));
            }
            event!(world, &who, "{count} rows of {tenant}: 204");
            true
        }
        Ok(Ok(Err(error))) => {
            event!(world, &who, "{count} rows of {tenant}: {} {error}", error.status);
            if !(excused && error.status == 503) {
                let (name, status) = (&to.name, error.status);
                world.violate(format!("push to {name}: {status} {error} without a fault"));
            }
            false
        }
        Ok(Err(_)) | Err(_) => {
            event!(world, &who, "{count} rows of {tenant}: no answer");
            if !excused {
                world.violate(format!("{} does not answer a push without a fault", to.name));
            }
            false
        }
    }
}

/// A client: pushes and, as clients do, pushes again what was not acknowledged.
pub async fn client(cluster: Arc<Cluster>, record: Arc<Record>, name: String) {
    let world = cluster.world.clone();
    let chance = world.chance(&name);
    let distributors: Vec<Arc<Node>> = cluster.of(Role::Distributor).cloned().collect();
    for number in 0..world.profile.pushes {
        tokio::time::sleep(chance.seconds(0, 15)).await;
        let push = Push::random(&chance, &record, &name, number);
        for _ in 0..chance.between(1, 4) {
            let to = chance.pick(&distributors);
            if send(&cluster, &record, to, &push).await {
                break;
            }
            tokio::time::sleep(chance.seconds(1, 8)).await;
        }
        if world.strikes(&chance, world.profile.kills_at_ack) {
            let ingesters: Vec<Arc<Node>> = cluster.of(Role::Ingester).cloned().collect();
            let node = chance.pick(&ingesters);
            event!(world, &node.name, "loses power right after an ack");
            world.fault(Duration::ZERO);
            node.kill(Keep::Synced);
        }
        if world.violation().is_some() {
            return;
        }
    }
}
