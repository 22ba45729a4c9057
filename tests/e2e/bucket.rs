//! The bucket is the truth (P4).

use crate::harness::{START_NS, Shape, Site, in_one_and_in_separate_processes};

in_one_and_in_separate_processes!(a_new_process_on_an_old_bucket_serves_every_flushed_line,);

fn a_new_process_on_an_old_bucket_serves_every_flushed_line(shape: Shape) {
    let site = Site::new(shape);
    let server = site.start();
    for app in 0..5 {
        let lines = (0..200).map(|n| (START_NS + n * 1_000, format!("app {app} line {n}")));
        server.push_lines(&format!("a{app}"), lines);
    }
    server.flush();
    let before = server.lines(r#"{app=~".+"}"#);
    assert_eq!(before.len(), 1_000);
    assert!(server.terminate().success());

    for entry in std::fs::read_dir(site.bucket().parent().expect("data")).expect("data folder") {
        let path = entry.expect("entry").path();
        if path != site.bucket() {
            std::fs::remove_dir_all(&path)
                .or_else(|_| std::fs::remove_file(&path))
                .expect("remove");
        }
    }
    let server = site.start();
    let mut after = server.lines(r#"{app=~".+"}"#);
    let mut before = before;
    before.sort();
    after.sort();
    assert_eq!(after, before);
    // And it goes on from there.
    server.push_lines("a0", [(START_NS + 1_000_000, "new".to_owned())]);
    server.flush();
    assert_eq!(server.number(r#"sum(count_over_time({app=~".+"}[3h]))"#), 1_001.0);
}
