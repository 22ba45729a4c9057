//! A client that goes away stops the work within a page or two per worker.

use crate::harness::{END_NS, START_NS, Shape, Site, body_of, in_one_and_in_separate_processes};
use crate::http::encode;

in_one_and_in_separate_processes!(a_disconnected_client_stops_the_query_within_a_few_pages,);

fn a_disconnected_client_stops_the_query_within_a_few_pages(shape: Shape) {
    let site = Site::new(shape);
    let server = site.start();
    // About 50 MB of lines that no literal helps with: some 200 pages.
    for n in 0..50_i64 {
        let filler = "abcdefghij ".repeat(90);
        let lines = (0..1_000).map(|k| {
            let number = n * 1_000 + k;
            (START_NS + number * 1_000, format!("{number} {filler}"))
        });
        let response = server.push(&body_of("a", lines));
        assert_eq!(response.status, 204, "{}", response.text());
    }
    server.flush();
    let pages = || server.metric("runelog_store_pages_scanned_total").unwrap_or(0.0);
    // Filters that keep every line after a walk through all of it, with thousands of states: about
    // ten milliseconds a page. No letters are required, so no page is pruned.
    let walk = |letter| format!(r#" !~ "({letter}.{{1,40}}){{20}}[k-z]""#);
    let filters: String = ["a", "b", "c", "d"].map(walk).concat();
    let slow = format!(r#"sum(count_over_time({{app="a"}}{filters} [3h]))"#);
    let target = format!("/loki/api/v1/query?query={}&time={END_NS}", encode(&slow));
    let before = pages();
    let mut client = server.connect();
    client.send("GET", &target, &[], b"").expect("sent");
    server.wait_for("the query reads pages", || pages() > before);
    drop(client);
    let at_disconnect = pages();
    // Two equal readings in a row: the work has stopped.
    let mut last = at_disconnect;
    let mut still = 0;
    server.wait_for("the query stopped", || {
        let now = pages();
        still = if now == last { still + 1 } else { 0 };
        last = now;
        still >= 40
    });
    let workers = std::thread::available_parallelism().map_or(2, usize::from) as f64;
    assert!(last - at_disconnect <= 4.0 * workers, "{} pages after the end", last - at_disconnect);
    assert!(last - before < 150.0, "it did not read everything: {}", last - before);
}
