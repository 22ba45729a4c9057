use super::*;

use base::random::SeededRandom;

use crate::frontend::{FrontendApi, FrontendError, Worker};
use crate::ingester::{Identity, IngesterApi, IngesterError};
use crate::querier::QuerierApi;
use crate::testing::{Fake, FakeFrontend, Reply, set, store};

const TIMEOUT: Duration = Duration::from_secs(5);

fn faulty(seed: u64, faults: Faults) -> (Arc<Fake>, Arc<Network>, Faulty<Fake>) {
    let fake = Fake::new();
    set(&fake.identify, Reply::Answer(Identity { store: store(1), zone: "a".to_owned() }));
    let faults = Faults { timeout: TIMEOUT, delay_max: Duration::from_secs(2), ..faults };
    let network = Network::new(Arc::new(SeededRandom::new(seed)), faults);
    (fake.clone(), network.clone(), Faulty::new(fake, network, "ingester-1"))
}

#[tokio::test(start_paused = true)]
async fn a_network_without_faults_changes_nothing_and_takes_no_time() {
    let (fake, network, api) = faulty(1, Faults::default());
    let before = tokio::time::Instant::now();
    assert_eq!(api.identify().await.unwrap().store, store(1));
    assert_eq!((fake.calls(), network.counts().calls), (1, 1));
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn each_fault_does_what_it_says() {
    // fault, calls when the caller has its answer, calls in the end
    let table = [
        (Faults { lose_request: 1000, ..Faults::default() }, 0, 0, true),
        (Faults { lose_answer: 1000, ..Faults::default() }, 1, 1, true),
        (Faults { double: 1000, ..Faults::default() }, 1, 2, false),
        (Faults { late: 1000, ..Faults::default() }, 1, 1, true),
    ];
    for (faults, first, at_last, is_lost) in table {
        let (fake, network, api) = faulty(2, faults);
        let answer = api.identify().await;
        assert_eq!(fake.calls(), first, "{faults:?}");
        match answer {
            Ok(_) => assert!(!is_lost, "{faults:?}"),
            Err(error) => {
                assert!(is_lost, "{faults:?}");
                assert!(matches!(error, IngesterError::Unavailable(_)), "{error:?}");
                assert_eq!(error.to_string(), "ingester-1: no answer");
            }
        }
        fake.until(|fake| fake.calls() == at_last).await;
        let counts = network.counts();
        let sum = counts.lost_requests + counts.lost_answers + counts.doubled + counts.late;
        assert_eq!(sum, 1, "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_call_happens_after_one_that_was_made_later() {
    let (fake, network, api) = faulty(3, Faults { late: 1000, ..Faults::default() });
    network.set_faults(Faults { timeout: Duration::ZERO, ..network.faults() });
    assert!(api.identify().await.is_err());
    assert_eq!(fake.calls(), 0);
    network.set_faults(Faults::default());
    api.identify().await.unwrap();
    assert_eq!(fake.calls(), 1);
    fake.until(|fake| fake.calls() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_run() {
    let faults = Faults {
        delay: 300,
        lose_request: 100,
        lose_answer: 100,
        double: 100,
        late: 100,
        ..Faults::default()
    };
    let mut runs = Vec::new();
    for seed in [4, 4, 5] {
        let (_, network, api) = faulty(seed, faults);
        let mut run = Vec::new();
        for _ in 0..100 {
            let before = tokio::time::Instant::now();
            run.push((api.identify().await.is_ok(), before.elapsed()));
        }
        runs.push((run, network.counts()));
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    let counts = runs[0].1;
    for some in [counts.delayed, counts.lost_requests, counts.lost_answers, counts.doubled] {
        assert!(some > 0, "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_loses_requests_and_the_answers_under_way() {
    let (fake, network, api) = faulty(6, Faults::default());
    network.set_partitioned(true);
    assert!(api.identify().await.is_err());
    assert_eq!(fake.calls(), 0);
    network.set_partitioned(false);
    api.identify().await.unwrap();
    assert_eq!(network.counts().lost_requests, 1);
}

#[tokio::test(start_paused = true)]
async fn a_partition_ends_a_stay_and_healing_lets_the_worker_come_again() {
    let frontend = Arc::new(FakeFrontend::default());
    let network = Network::new(Arc::new(SeededRandom::new(7)), Faults::default());
    let api = Faulty::new(frontend.clone(), network.clone(), "frontend-1");
    let querier: Arc<dyn QuerierApi> = Fake::new();
    let worker = Worker { querier: "q-1".to_owned() };
    let stay = tokio::join!(api.work(worker.clone(), querier.clone()), async {
        frontend.worker().await;
        network.set_partitioned(true);
    })
    .0;
    assert!(matches!(stay, Err(FrontendError::Unavailable(_))), "{stay:?}");
    assert_eq!(frontend.left.load(Ordering::SeqCst), 1);
    assert!(api.work(worker.clone(), querier.clone()).await.is_err());
    network.set_partitioned(false);
    frontend.stopping.cancel();
    api.work(worker, querier).await.unwrap();
}
