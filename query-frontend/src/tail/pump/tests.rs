use super::*;

fn line(ts_ns: i64) -> Line {
    let labels = Labels::from_pairs([("app", "x")]);
    Line { ts_ns, labels, origins: None, line: ts_ns.to_string().into_bytes() }
}

fn held(delay: Duration) -> Held {
    Held { delay, lines: BTreeMap::new(), count: 0 }
}

fn times(lines: &[Line]) -> Vec<i64> {
    lines.iter().map(|line| line.ts_ns).collect()
}

#[tokio::test(start_paused = true)]
async fn lines_wait_for_the_delay_and_come_in_order_of_time() {
    let mut held = held(Duration::from_secs(2));
    held.add(vec![line(5)]);
    assert_eq!(held.due(), []);
    tokio::time::advance(Duration::from_secs(1)).await;
    held.add(vec![line(3), line(8)]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(times(&held.due()), [3, 5], "an older line goes with it");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(times(&held.due()), [8]);
    assert_eq!(times(&held.due()), [0i64; 0]);
}

#[tokio::test]
async fn without_a_delay_nothing_waits() {
    let mut held = held(Duration::ZERO);
    held.add(vec![line(2), line(1)]);
    assert_eq!(times(&held.due()), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_left_behind_and_told() {
    let (to, mut frames) = mpsc::channel(2);
    let mut outlet = Outlet { to: &to, dropped: Vec::new(), late_since: None };
    let lines = |from: i64, count: i64| (from..from + count).map(line).collect::<Vec<Line>>();
    // Two frames find room; the third is waited for, then dropped.
    outlet.put(lines(0, 250)).await;
    assert_eq!(outlet.dropped.len(), 50);
    // From now on nothing is waited for.
    outlet.put(lines(1000, 2000)).await;
    assert_eq!(outlet.dropped.len(), TOLD_MAX);
    assert_eq!(times(&frames.recv().await.unwrap().lines), (0..100).collect::<Vec<i64>>());
    assert_eq!(times(&frames.recv().await.unwrap().lines), (100..200).collect::<Vec<i64>>());
    outlet.put(lines(5000, 1)).await;
    let told = frames.recv().await.unwrap();
    assert_eq!((times(&told.lines), told.dropped.len()), (vec![5000], TOLD_MAX));
    assert_eq!(told.dropped[0], (line(0).labels, 200));
    assert!(outlet.dropped.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_again_in_time_misses_nothing() {
    let (to, mut frames) = mpsc::channel(1);
    let mut outlet = Outlet { to: &to, dropped: Vec::new(), late_since: None };
    let reader = async {
        tokio::time::sleep(PATIENCE / 2).await;
        let mut taken = 0;
        while taken < 500 {
            taken += frames.recv().await.unwrap().lines.len();
        }
    };
    tokio::join!(outlet.put((0..500).map(line).collect()), reader);
    assert!(outlet.dropped.is_empty());
}
