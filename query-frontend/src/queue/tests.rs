use base::UnixNanos;
use base::time::ManualClock;
use futures::FutureExt;
use rpc::querier::{ListJob, Listed, Listing};

use super::*;

const SHARE: Share = Share { outstanding: 3, queriers: 0.0 };

fn queue() -> Arc<Queue> {
    Queue::new(Arc::new(ManualClock::default()))
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// A job that can be told from others by its number.
fn job(number: i64) -> Job {
    Job::List(ListJob {
        tenant: tenant("any"),
        listing: Listing::Names,
        selectors: Vec::new(),
        start: UnixNanos(number),
        end: UnixNanos(number),
    })
}

fn number(taken: &Taken) -> i64 {
    let Job::List(job) = &taken.job else { panic!("a list") };
    job.start.0
}

fn worker(querier: &str) -> Worker {
    Worker { querier: querier.to_owned() }
}

/// The next job, if there is one now.
fn next(queue: &Arc<Queue>, querier: &str) -> Option<Taken> {
    queue.next(querier).now_or_never().flatten()
}

fn done() -> Result<Done, Error> {
    Ok(Done::Listed(Listed::Texts(Vec::new())))
}

#[test]
fn tenants_take_turns_and_each_is_served_in_its_order() {
    let queue = queue();
    let _here = queue.join(worker("q"));
    let mut tickets = Vec::new();
    for (name, numbers) in [("a", vec![1, 2, 3]), ("b", vec![10]), ("c", vec![20, 21])] {
        for number in numbers {
            tickets.push(queue.push(&tenant(name), SHARE, job(number)).unwrap());
        }
    }
    let order: Vec<i64> =
        std::iter::from_fn(|| next(&queue, "q")).map(|taken| number(&taken)).collect();
    assert_eq!(order, [1, 10, 20, 2, 21, 3]);
}

#[test]
fn a_tenant_with_too_many_waiting_jobs_is_refused_and_others_are_not() {
    let queue = queue();
    let _here = queue.join(worker("q"));
    let mut tickets: Vec<Ticket> =
        (0..3).map(|n| queue.push(&tenant("a"), SHARE, job(n)).unwrap()).collect();
    let full = queue.push(&tenant("a"), SHARE, job(3)).err().unwrap();
    assert_eq!(full.to_string(), "too many outstanding requests");
    assert_eq!(full.kind(), base::ErrorKind::Limited);
    tickets.push(queue.push(&tenant("b"), SHARE, job(9)).unwrap());
    // A job that runs waits no more.
    let _running = next(&queue, "q").unwrap();
    tickets.push(queue.push(&tenant("a"), SHARE, job(4)).unwrap());
    assert_eq!(queue.waiting(), 4);
}

#[test]
fn a_job_leaves_the_queue_with_its_requester() {
    let queue = queue();
    let _here = queue.join(worker("q"));
    let first = queue.push(&tenant("a"), SHARE, job(1)).unwrap();
    let _second = queue.push(&tenant("a"), SHARE, job(2)).unwrap();
    let only = queue.push(&tenant("b"), SHARE, job(3)).unwrap();
    drop((first, only));
    assert_eq!(queue.waiting(), 1);
    assert_eq!(number(&next(&queue, "q").unwrap()), 2);
    assert!(next(&queue, "q").is_none());
    assert!(queue.lock().tenants.is_empty() && queue.lock().turns.is_empty());
}

#[tokio::test]
async fn a_requester_learns_that_its_worker_is_gone() {
    let queue = queue();
    let _here = queue.join(worker("q"));
    let ticket = queue.push(&tenant("a"), SHARE, job(1)).unwrap();
    drop(next(&queue, "q").unwrap());
    assert!(ticket.answer().await.is_none());
    let ticket = queue.push(&tenant("a"), SHARE, job(1)).unwrap();
    let taken = next(&queue, "q").unwrap();
    let sent = taken.reply.send(Reply { result: done(), waited_ns: 7 });
    assert!(sent.is_ok());
    assert_eq!(ticket.answer().await.unwrap().waited_ns, 7);
}

#[tokio::test]
async fn a_worker_that_waits_is_woken_by_a_job() {
    let queue = queue();
    let _here = queue.join(worker("q"));
    let waits = queue.clone();
    let waiting = base::task::spawn("test.worker", async move {
        waits.next("q").await.map(|taken| number(&taken))
    });
    tokio::task::yield_now().await;
    let _ticket = queue.push(&tenant("a"), SHARE, job(5)).unwrap();
    assert_eq!(waiting.await.unwrap(), Some(5));
}

#[test]
fn a_tenant_is_served_by_its_queriers_only() {
    let queue = queue();
    let names: Vec<String> = (0..8).map(|n| format!("q{n}")).collect();
    let mut here: Vec<Stay> = names.iter().map(|name| queue.join(worker(name))).collect();
    let serving = |share: f64, queue: &Arc<Queue>| -> Vec<String> {
        let share = Share { queriers: share, ..SHARE };
        let serves = |name: &&String| {
            let _ticket = queue.push(&tenant("a"), share, job(1)).unwrap();
            next(queue, name).is_some()
        };
        names.iter().filter(serves).cloned().collect()
    };
    assert_eq!(serving(0.0, &queue).len(), 8);
    assert_eq!(serving(20.0, &queue).len(), 8);
    assert_eq!(serving(0.25, &queue).len(), 2, "a share of eight");
    let three = serving(3.0, &queue);
    assert_eq!(three.len(), 3);
    // One of them goes: another takes its place, the others stay.
    let gone = names.iter().position(|name| *name == three[0]).unwrap();
    drop(here.remove(gone));
    let after = serving(3.0, &queue);
    assert!(three[1..].iter().all(|name| after.contains(name)), "{three:?} {after:?}");
}

#[tokio::test]
async fn a_closed_queue_runs_what_waits_and_then_sends_workers_away() {
    let queue = queue();
    let here = queue.join(worker("q"));
    let ticket = queue.push(&tenant("a"), SHARE, job(1)).unwrap();
    queue.close();
    let refused = queue.push(&tenant("a"), SHARE, job(2)).err().unwrap();
    assert_eq!(refused.kind(), base::ErrorKind::Unavailable);
    let taken = next(&queue, "q").unwrap();
    assert!(queue.next("q").now_or_never().unwrap().is_none(), "nothing will come any more");
    assert!(queue.drained().now_or_never().is_none(), "a job runs");
    drop((taken, ticket));
    assert!(queue.drained().now_or_never().is_some());
    drop(here);
}

#[tokio::test]
async fn without_workers_a_closed_queue_gives_up_what_waits() {
    let queue = queue();
    let ticket = queue.push(&tenant("a"), SHARE, job(1)).unwrap();
    queue.close();
    assert!(ticket.answer().await.is_none());
    assert!(queue.drained().now_or_never().is_some());
    // The same when the last worker leaves later.
    let queue = self::queue();
    let here = queue.join(worker("q"));
    let ticket = queue.push(&tenant("a"), SHARE, job(1)).unwrap();
    queue.close();
    drop(here);
    assert!(ticket.answer().await.is_none());
}

#[test]
fn idle_workers_are_those_that_have_nothing_to_come() {
    let queue = queue();
    assert_eq!((queue.idle(), queue.workers(), queue.queriers()), (0, 0, 0));
    let _here: Vec<Stay> = (0..3).map(|_| queue.join(worker("q"))).collect();
    assert_eq!((queue.idle(), queue.workers(), queue.queriers()), (3, 3, 1));
    let _tickets: Vec<Ticket> =
        (0..2).map(|n| queue.push(&tenant("a"), SHARE, job(n)).unwrap()).collect();
    let _running = next(&queue, "q").unwrap();
    assert_eq!(queue.idle(), 1);
}
