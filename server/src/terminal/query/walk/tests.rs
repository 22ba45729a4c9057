use std::collections::BTreeMap;

use base::random::{Random, SeededRandom};

use super::*;

/// A server: rows by instant, each with a stream and a line; at most `limit` of them per answer.
struct Server {
    rows: Vec<(i64, &'static str, String)>,
    random: SeededRandom,
}

impl Server {
    fn answer(&self, forward: bool, request: Request) -> Vec<Stream> {
        let mut rows: Vec<_> = self
            .rows
            .iter()
            .filter(|(ts, ..)| (request.start_ns..request.end_ns).contains(ts))
            .map(|row| (row.0, self.random.next_u64(), row))
            .collect();
        // Rows of one instant come in another order each time.
        rows.sort();
        if !forward {
            rows.reverse();
        }
        rows.truncate(request.limit as usize);
        let mut streams: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
        for (ts, _, (_, app, line)) in rows {
            streams.entry(app).or_default().push((ts.to_string(), line.clone()));
        }
        let stream = |(app, values): (&str, _)| {
            let stream = LabelSet::from([("app".to_owned(), app.to_owned())]);
            Stream { stream, values }
        };
        streams.into_iter().map(stream).collect()
    }
}

fn walk(server: &Server, mut walk: Walk, forward: bool) -> Vec<(i64, String, String)> {
    let mut out = Vec::new();
    let mut requests = 0;
    while let Some(request) = walk.next() {
        requests += 1;
        assert!(requests < 10_000, "the walk does not end");
        for entry in walk.take(server.answer(forward, request)).unwrap() {
            out.push((entry.ts_ns, entry.labels["app"].clone(), entry.line));
        }
    }
    out
}

#[test]
fn every_entry_is_given_once_however_many_share_an_instant() {
    for seed in 0..300 {
        let random = SeededRandom::new(seed);
        let draw = |below: u64| random.next_u64() % below;
        let instants = 1 + draw(30);
        let row = |n: u64| {
            let app = ["a", "b", "c"][draw(3) as usize];
            // Behind a pipeline, rows of one stream and instant may look the same.
            (draw(instants) as i64, app, format!("line {}", if draw(4) == 0 { 0 } else { n }))
        };
        let rows: Vec<_> = (0..draw(200)).map(row).collect();
        let forward = seed % 2 == 0;
        let (start, end) = (draw(instants) as i64 / 2, 1 + draw(instants * 2) as i64);
        let mut wanted: Vec<_> = rows
            .iter()
            .filter(|(ts, ..)| (start..end).contains(ts))
            .map(|(ts, app, line)| (*ts, (*app).to_owned(), line.clone()))
            .collect();
        let server = Server { rows, random: SeededRandom::new(seed + 1) };
        let all = Walk::new(forward, start..end, 1 + seed % 17, None);
        let mut found = walk(&server, all, forward);
        let ordered = |pair: &[(i64, String, String)]| match forward {
            true => pair[0].0 <= pair[1].0,
            false => pair[0].0 >= pair[1].0,
        };
        assert!(found.windows(2).all(ordered), "seed {seed}");
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "seed {seed}");

        let limit = seed % 50;
        let some = Walk::new(forward, start..end, 1 + seed % 17, Some(limit));
        let expected = wanted.len().min(limit as usize);
        assert_eq!(walk(&server, some, forward).len(), expected, "seed {seed}");
    }
}

#[test]
fn an_answer_that_is_not_full_is_the_last() {
    let server = Server { rows: vec![(5, "a", "x".to_owned())], random: SeededRandom::new(1) };
    let mut walk = Walk::new(false, 0..10, 2, None);
    let request = walk.next().unwrap();
    assert_eq!(request, Request { start_ns: 0, end_ns: 10, limit: 2 });
    assert_eq!(walk.take(server.answer(false, request)).unwrap().len(), 1);
    assert_eq!(walk.next(), None);
    assert_eq!(Walk::new(true, 3..3, 10, None).next(), None);
}
