//! Sums over writers, sorts and combiners: they go on when these end and keep none of them alive.

use bywash::{
    Aggregate, ChargeMode, ColumnCombiner, CombineSpec, Combiner, Count, GroupSpec, KeyValues,
    MemoryLedger, Metrics, Slices, SortColumn, SortSpec, Sorter,
};
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
fn sorts_and_combiners_are_summed_too() {
    let writers = Writers::new();
    let spill_dirs = &writers.dirs.spill;
    let ledger = MemoryLedger::new(64 << 20);
    let metrics = Metrics::new(&ledger);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let rows = writers.rows(100);

    for ended in 0..2 {
        let spec = SortSpec::new(rows.schema(), &[SortColumn::ascending(0)]).unwrap();
        let mut sorter = Sorter::new(&spec, &task, spill_dirs).unwrap();
        metrics.watch_sorter(&sorter);
        sorter.write(&rows).unwrap();
        let mut sorted = sorter.finish(ChargeMode::Ledger).unwrap();
        assert_eq!(sorted.next().unwrap().unwrap().num_rows(), 100);
        let sorts = metrics.snapshot().sorts;
        assert_eq!((sorts.sorts, sorts.open), (ended + 1, 1));
        assert_eq!(sorts.progress.write.rows, 100 * (ended + 1));
        assert_eq!(sorts.progress.rows_out, 100 * (ended + 1));
        drop(sorted);
        assert_eq!(metrics.snapshot().sorts.open, 0);
    }

    let mut records = Combiner::new(&CombineSpec::new(), Count, &task, spill_dirs).unwrap();
    metrics.watch_combiner(&records);
    let keys: [&[u8]; 3] = [b"a", b"b", b"a"];
    let keys = || Slices::Each(&keys);
    records.write(&KeyValues::try_new(keys(), keys()).unwrap()).unwrap();
    assert_eq!(records.finish().unwrap().drain_into(|_| Ok(())).unwrap(), 2);
    let spec = GroupSpec::new(rows.schema(), &[0], &[Aggregate::CountRows]).unwrap();
    let mut columns = ColumnCombiner::new(&spec, &task, spill_dirs).unwrap();
    metrics.watch_column_combiner(&columns);
    columns.write(&rows).unwrap();
    let combiners = metrics.snapshot().combiners;
    assert_eq!((combiners.combiners, combiners.open), (2, 1));
    assert_eq!((combiners.progress.records, combiners.progress.groups), (103, 2));
    drop(columns);
    assert_eq!(metrics.snapshot().combiners.open, 0);
    assert_eq!(ledger.granted(), 0);
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
