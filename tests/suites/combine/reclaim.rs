//! Memory taken back while a combiner is filled and while it is read.

use std::sync::atomic::{AtomicBool, Ordering};

use bywash::{CombineSpec, Count, ErrorKind, MemoryLedger, ShuffleWriter};
use bywash_tests::case::admit;
use bywash_tests::combine::{Collect, Keys, combiner, key, oracle, read_all, records, write_all};
use bywash_tests::dirs::Dirs;
use bywash_tests::faults::{Fault, FaultStore, Repeat};
use bywash_tests::seed::{Rng, run_seed};
use bywash_tests::writers::Writers;

#[test]
fn what_is_read_from_memory_goes_on_from_disk() {
    let mut rng = Rng::new(run_seed());
    let records = records(&mut rng, 100_000, Keys::Uniform(60_000), 60);
    let dirs = Dirs::new();
    let ledger = MemoryLedger::new(64 << 20);
    let task = admit(&ledger, 0).unwrap();
    let mut combiner = combiner(&CombineSpec::new(), Collect, &task, &dirs).unwrap();
    let floor = ledger.granted();
    write_all(&mut combiner, &records, 1000).unwrap();
    assert!(ledger.granted() > floor + (2 << 20));
    let mut combined = combiner.finish().unwrap();
    let mut groups = 0;
    for _ in 0..3 {
        groups += combined.next_batch().unwrap().unwrap().len();
    }
    let held = ledger.granted();
    let freed = ledger.reclaim(1);
    assert_eq!(held - ledger.granted(), freed);
    assert!(ledger.granted() < floor + (64 << 10), "the floor is left: {}", ledger.granted());
    assert_eq!(combined.progress().spills_reclaim, 1);
    // Nothing more to give; and the same groups, none twice.
    assert_eq!(ledger.reclaim(u64::MAX), 0);
    let rest = read_all(combined).unwrap();
    assert_eq!(groups + rest.len(), oracle(&records).len());
    assert_eq!((ledger.granted(), dirs.spill.used_bytes()), (0, 0));
}

#[test]
fn another_consumer_of_the_task_gets_what_a_combiner_holds() {
    let mut rng = Rng::new(run_seed());
    let records = records(&mut rng, 100_000, Keys::Uniform(60_000), 10);
    for reading in [false, true] {
        let dirs = Dirs::new();
        let ledger = MemoryLedger::new(16 << 20);
        let task = admit(&ledger, 0).unwrap();
        let mut combiner = combiner(&CombineSpec::new(), Count, &task, &dirs).unwrap();
        write_all(&mut combiner, &records, 1000).unwrap();
        assert_eq!(combiner.progress().spills(), 0, "it fits");
        let canceller = combiner.canceller();
        let (mut filling, mut combined) = (None, None);
        if reading {
            combined = Some(combiner.finish().unwrap());
            combined.as_mut().unwrap().next_batch().unwrap();
        } else {
            filling = Some(combiner);
        }
        let other = task.consumer("other");
        let all = ledger.capacity() - ledger.granted() + (1 << 20);
        let reservation = other.reserve(all).unwrap();
        assert_eq!(canceller.progress().spills_reclaim, 1);
        drop(reservation);
        let combined = combined.or_else(|| filling.map(|filling| filling.finish().unwrap()));
        read_all(combined.unwrap()).unwrap();
        assert_eq!(canceller.progress().groups, oracle(&records).len() as u64);
    }
}

#[test]
fn a_thread_that_reclaims_all_the_time_does_no_harm() {
    let mut rng = Rng::new(run_seed());
    let records = records(&mut rng, 30_000, Keys::Zipf(20_000), 30);
    let dirs = Dirs::new();
    let ledger = MemoryLedger::new(32 << 20);
    let stop = AtomicBool::new(false);
    let groups = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                ledger.reclaim(u64::MAX);
                std::thread::yield_now();
            }
        });
        let task = admit(&ledger, 0).unwrap();
        let mut combiner = combiner(&CombineSpec::new(), Collect, &task, &dirs).unwrap();
        write_all(&mut combiner, &records, 100).unwrap();
        let groups = read_all(combiner.finish().unwrap()).unwrap();
        stop.store(true, Ordering::Relaxed);
        groups
    });
    for (key, mut values) in oracle(&records) {
        values.sort();
        assert_eq!(Collect::values(&groups[&key]), values);
    }
}

#[test]
fn a_spill_that_fails_in_another_thread_is_reported_by_the_next_call() {
    for reading in [false, true] {
        let store =
            std::sync::Arc::new(FaultStore::new(std::sync::Arc::new(bywash::FsStore::new())));
        let dirs = Dirs::with_store(
            std::sync::Arc::clone(&store) as std::sync::Arc<dyn bywash::Store>,
            bywash::SpillOptions::default(),
        );
        let ledger = MemoryLedger::new(32 << 20);
        let task = admit(&ledger, 0).unwrap();
        let mut combiner = combiner(&CombineSpec::new(), Count, &task, &dirs).unwrap();
        let records = (0..50_000).map(|number| (key(number), Vec::new())).collect();
        write_all(&mut combiner, &records, 1000).unwrap();
        store.arm(0, Fault::IO, Repeat::Forever);
        let reclaim = || std::thread::scope(|scope| scope.spawn(|| ledger.reclaim(1)).join());
        if reading {
            let mut combined = combiner.finish().unwrap();
            reclaim().unwrap();
            assert_eq!(combined.next_batch().unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(combined.next_batch().unwrap_err().kind(), ErrorKind::Poisoned);
        } else {
            reclaim().unwrap();
            assert_eq!(write_all(&mut combiner, &records, 1).unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(combiner.finish().unwrap_err().kind(), ErrorKind::Poisoned);
        }
        store.disarm();
        assert_eq!((ledger.granted(), dirs.spill.used_bytes()), (0, 0));
    }
}

#[test]
fn a_writer_and_a_combiner_of_one_task_make_room_for_each_other() {
    let writers = Writers::new();
    let dirs = Dirs::new();
    let ledger = MemoryLedger::new(12 << 20);
    let task = admit(&ledger, 0).unwrap();
    let mut writer: ShuffleWriter = writers.writer(&task, 0);
    let mut combiner = combiner(&CombineSpec::new(), Count, &task, &dirs).unwrap();
    let mut number = 0;
    for _ in 0..60 {
        writer.write(&writers.rows(5_000)).unwrap();
        let records = (number..number + 5_000).map(|number| (key(number), Vec::new())).collect();
        write_all(&mut combiner, &records, 5_000).unwrap();
        number += 5_000;
        assert!(ledger.granted() <= ledger.capacity());
    }
    assert!(combiner.progress().spills() > 0 && writer.progress().spills() > 0);
    assert_eq!(writer.finish().unwrap().total_rows(), 300_000);
    assert_eq!(read_all(combiner.finish().unwrap()).unwrap().len(), 300_000);
}
