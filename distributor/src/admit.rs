//! Asking the owners which rows they take (B5), before anything is cut into batches: a stream whose
//! owner does not answer goes to the next in its order.

use std::collections::BTreeMap;

use base::{ErrorKind, Labels, Run};
use ring::Spot;
use rpc::ingester::{Admission, AdmitRequest, IngesterError, Rejection};

use crate::deliver::MAX_ATTEMPTS;
use crate::distributor::{Accepted, Distributor};
use crate::error::Error;
use crate::peers::{Failed, Roster, refused};
use crate::tenants::Tenant;

/// Who admitted the streams of a push, by place in the roster.
pub(crate) enum Owners {
    /// One peer all of them.
    One(u16),
    /// The owner of each stream.
    Each(Vec<u16>),
}

/// Rows of a push that one owner is asked about.
struct Offer {
    request: AdmitRequest,
    /// Number in the push of each stream of the request.
    streams: Vec<u32>,
    /// For each run: its end in the request, and its first row in the push.
    rows: Vec<(u32, u32)>,
}

/// What the owners have said so far.
struct Answers {
    /// Admitted streams have an owner.
    owners: Vec<Option<u16>>,
    /// By number in the push.
    rejected: BTreeMap<u32, Rejection>,
}

impl Distributor {
    /// Has every stream's owner decide. Takes the columns of the request out of `accepted`.
    pub(crate) async fn admit(
        &self,
        tenant: &Tenant,
        roster: &Roster,
        accepted: &mut Accepted,
    ) -> Result<(Owners, Admission), Error> {
        let request = AdmitRequest {
            tenant: tenant.id.clone(),
            streams: accepted.streams.clone(),
            runs: std::mem::take(&mut accepted.runs),
            ts_ns: std::mem::take(&mut accepted.ts_ns),
            sizes: std::mem::take(&mut accepted.sizes),
        };
        match roster.only() {
            Some(peer) => {
                let (streams, rows) = (request.streams.len(), request.ts_ns.len());
                let admission = roster.peer(peer).api.admit(request).await;
                let sound = admission.and_then(|admission| sound(admission, streams, rows));
                Ok((Owners::One(peer), sound.map_err(|error| refused(&error))?))
            }
            None => self.admit_each(roster, &request).await,
        }
    }

    async fn admit_each(
        &self,
        roster: &Roster,
        push: &AdmitRequest,
    ) -> Result<(Owners, Admission), Error> {
        let spot = Spot::of_tenant(&push.tenant);
        let spots: Vec<Spot> = push.streams.iter().map(|labels| spot(labels.key())).collect();
        let owners = vec![None; push.streams.len()];
        let mut answers = Answers { owners, rejected: BTreeMap::new() };
        let mut failed = Failed::default();
        let mut last = IngesterError::Unavailable(String::new());
        for _ in 0..MAX_ATTEMPTS {
            let Some(asked) = self.place(roster, &spots, &answers, &failed) else { break };
            let offers = offers(push, &asked);
            if offers.is_empty() {
                return Ok(answers.finish());
            }
            let calls = offers.into_iter().map(|(owner, offer)| async move {
                let Offer { request, streams, rows } = offer;
                let asked = (request.streams.len(), request.ts_ns.len());
                let answer = roster.peer(owner).api.admit(request).await;
                let answer = answer.and_then(|answer| sound(answer, asked.0, asked.1));
                (owner, streams, rows, answer)
            });
            for (owner, streams, rows, answer) in futures::future::join_all(calls).await {
                match answer {
                    Ok(admission) => answers.take(owner, &streams, &rows, admission),
                    // The fault is the request's: no other peer would take it.
                    Err(error) if error.kind() == ErrorKind::Invalid => {
                        return Err(refused(&error));
                    }
                    Err(error) => {
                        let peer = roster.peer(owner);
                        peer.mark(&error, &*self.clock);
                        failed.insert(peer);
                        last = error;
                    }
                }
            }
            if answers.owners.iter().all(Option::is_some) {
                return Ok(answers.finish());
            }
        }
        Err(roster.unavailable(&failed, &last))
    }

    /// Whom to ask about each stream that nobody has admitted; `None`: nobody is left.
    fn place(
        &self,
        roster: &Roster,
        spots: &[Spot],
        answers: &Answers,
        failed: &Failed,
    ) -> Option<Vec<Option<u16>>> {
        let now_ns = self.clock.monotonic_ns();
        let mut asked = vec![None; spots.len()];
        for ((asked, &spot), owner) in asked.iter_mut().zip(spots).zip(&answers.owners) {
            if owner.is_none() {
                *asked = Some(roster.owner(spot, failed, now_ns)?);
            }
        }
        Some(asked)
    }
}

impl Answers {
    /// Takes in what `owner` said of the given streams and rows of the push.
    fn take(&mut self, owner: u16, streams: &[u32], rows: &[(u32, u32)], admission: Admission) {
        for &stream in streams {
            let before = self.owners[stream as usize].replace(owner);
            assert_eq!(before, None, "one owner admits a stream");
        }
        for Rejection { stream, rows: rejected } in admission.rejected {
            let stream = streams[stream as usize];
            let of_push = |row: u32| {
                let run = rows.partition_point(|&(end, _)| end <= row);
                let from = if run == 0 { 0 } else { rows[run - 1].0 };
                rows[run].1 + (row - from)
            };
            let rows = rejected.into_iter().map(|(row, reason)| (of_push(row), reason)).collect();
            self.rejected.insert(stream, Rejection { stream, rows });
        }
    }

    fn finish(self) -> (Owners, Admission) {
        let rejected = self.rejected.into_values().collect();
        let owners: Vec<u16> = self.owners.into_iter().flatten().collect();
        let first = owners.first().copied().unwrap_or_default();
        let owners = match owners.iter().all(|&owner| owner == first) {
            true => Owners::One(first),
            false => Owners::Each(owners),
        };
        (owners, Admission { rejected })
    }
}

/// The rows of `push` by whom they are offered to.
fn offers(push: &AdmitRequest, asked: &[Option<u16>]) -> BTreeMap<u16, Offer> {
    let mut offers: BTreeMap<u16, Offer> = BTreeMap::new();
    // Number of each stream in its offer.
    let mut numbers: Vec<Option<u32>> = vec![None; asked.len()];
    let mut from = 0;
    for run in &push.runs {
        let rows = from as usize..run.end as usize;
        let first = std::mem::replace(&mut from, run.end);
        let Some(owner) = asked[run.stream as usize] else { continue };
        let Offer { request, streams, rows: ends } =
            offers.entry(owner).or_insert_with(|| Offer::new(push));
        let labels: &Labels = &push.streams[run.stream as usize];
        let stream = *numbers[run.stream as usize].get_or_insert_with(|| {
            request.streams.push(labels.clone());
            streams.push(run.stream);
            streams.len() as u32 - 1
        });
        request.ts_ns.extend_from_slice(&push.ts_ns[rows.clone()]);
        request.sizes.extend_from_slice(&push.sizes[rows]);
        let end = request.ts_ns.len() as u32;
        request.runs.push(Run { stream, end });
        ends.push((end, first));
    }
    offers
}

impl Offer {
    fn new(push: &AdmitRequest) -> Offer {
        let request = AdmitRequest {
            tenant: push.tenant.clone(),
            streams: Vec::new(),
            runs: Vec::new(),
            ts_ns: Vec::new(),
            sizes: Vec::new(),
        };
        Offer { request, streams: Vec::new(), rows: Vec::new() }
    }
}

/// An answer from outside: it may only name what was asked about.
fn sound(admission: Admission, streams: usize, rows: usize) -> Result<Admission, IngesterError> {
    let is_known = |rejection: &Rejection| {
        let mut rejected = rejection.rows.iter();
        (rejection.stream as usize) < streams && rejected.all(|&(row, _)| (row as usize) < rows)
    };
    if admission.rejected.iter().all(is_known) {
        return Ok(admission);
    }
    let text = "an ingester rejected rows that it was not asked about".to_owned();
    Err(IngesterError::Internal(text))
}
