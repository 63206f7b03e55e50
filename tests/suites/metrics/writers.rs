//! Sums over writers: they go on when writers end and keep none of them alive.

use bywash::{MemoryLedger, Metrics};
use bywash_tests::writers::Writers;

#[test]
fn sums_never_fall_and_no_writer_is_kept() {
    let writers = Writers::new();
    let ledger = MemoryLedger::new(64 << 20);
    let metrics = Metrics::new(&ledger);
    let task = ledger.admit(1, 0).unwrap().remove(0);

    let mut first = writers.writer(&task, 0);
    first.write(&writers.rows(10)).unwrap();
    metrics.watch_writer(&first);
    metrics.watch_writer(&first);
    let mut second = writers.writer(&task, 1);
    metrics.watch_writer(&second);
    second.write(&writers.rows(200)).unwrap();
    let summary = metrics.snapshot().writers;
    assert_eq!((summary.writers, summary.open, summary.progress.rows), (2, 2, 210));

    // One ends, one is dropped unfinished.
    let output = first.finish().unwrap();
    let summary = metrics.snapshot().writers;
    assert_eq!((summary.writers, summary.open, summary.progress.rows), (2, 1, 210));
    assert_eq!(summary.progress.output_bytes, output.total_bytes());
    let held = second.canceller();
    drop(second);
    assert_eq!(metrics.snapshot().writers.open, 1, "somebody can still look at its progress");
    drop((held, output));
    assert_eq!(ledger.granted(), 0);
    let mut third = writers.writer(&task, 2);
    third.write(&writers.rows(1)).unwrap();
    metrics.watch_writer(&third);
    let summary = metrics.snapshot().writers;
    assert_eq!((summary.writers, summary.open, summary.progress.rows), (3, 1, 211));
}

#[test]
fn writers_are_summed_while_they_write() {
    let writers = Writers::new();
    let ledger = MemoryLedger::new(256 << 20);
    let metrics = Metrics::new(&ledger);
    let tasks = ledger.admit(3, 0).unwrap();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0u64..)
            .zip(&tasks)
            .map(|(map, task)| {
                let (writers, metrics) = (&writers, &metrics);
                scope.spawn(move || {
                    for attempt in 0..20 {
                        let mut writer = writers.writer(task, map * 100 + attempt);
                        metrics.watch_writer(&writer);
                        writer.write(&writers.rows(50)).unwrap();
                        drop(writer.finish().unwrap());
                    }
                })
            })
            .collect();
        let mut rows = 0;
        while !running.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let now = metrics.snapshot().writers.progress.rows;
            assert!(now >= rows, "a counter fell from {rows} to {now}");
            rows = now;
        }
    });
    let summary = metrics.snapshot().writers;
    assert_eq!((summary.writers, summary.open, summary.progress.rows), (60, 0, 3_000));
}
