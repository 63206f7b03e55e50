//! What a writer answers after something went wrong, and what it leaves: whoever was calling, and
//! whenever it was cancelled or dropped.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test suite")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use bywash::{ErrorKind, ShuffleWriter};
use bywash_tests::faults::{Fault, FaultStore, Repeat, Scope};
use bywash_tests::storage::{Attempt, Ground, Opened, Output, Variant, Workload, failing};

const NOTHING: [PathBuf; 0] = [];

/// A writer with all its rows written, on a store that is ready to fail.
struct Written {
    workload: Workload,
    ground: Ground,
    store: Arc<FaultStore>,
    dirs: Opened,
    attempt: Attempt,
}

impl Written {
    fn new(workload: Workload, variant: Variant) -> (Self, ShuffleWriter) {
        let ground = Ground::new(variant);
        let store = ground.store();
        let dirs = ground.open(&store).unwrap();
        let attempt = workload.attempt();
        let mut writer = workload.writer(&attempt, &dirs, 1).unwrap();
        workload.write_rows(&mut writer).unwrap();
        let written = Self { workload, ground, store, dirs, attempt };
        (written, writer)
    }

    /// Nothing is there or held, and the next attempt succeeds.
    fn end(self) {
        self.store.disarm();
        let Self { workload, ground, dirs, attempt, .. } = self;
        attempt.end().unwrap();
        assert_eq!(dirs.spill.used_bytes(), 0);
        assert!(!ground.committed(&workload));
        assert_eq!(ground.left(&workload), NOTHING);
        let attempt = workload.attempt();
        workload.check(&workload.write(&attempt, &dirs, 2).unwrap()).unwrap();
        attempt.end().unwrap();
        drop(dirs);
        assert_eq!(ground.left_when_closed(&workload), NOTHING);
    }
}

#[test]
fn a_spill_that_fails_in_another_thread_is_reported_by_the_next_call() {
    let (written, mut writer) = Written::new(Workload::roomy(), Variant::PLAIN);
    assert!(reclaimable(&written) > 0);
    written.store.arm(0, Fault::IO, Repeat::Forever);
    let ledger = written.attempt.ledger().clone();
    std::thread::scope(|scope| scope.spawn(|| ledger.reclaim(u64::MAX)).join()).unwrap();
    assert_eq!(ledger.live(), 0, "a writer that lost rows holds no memory");
    assert_eq!(reclaimable(&written), 0);
    written.store.disarm();
    assert_eq!(writer.spill().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(writer.spill().unwrap_err().kind(), ErrorKind::Poisoned);
    let finished = writer.finish().map(drop);
    assert_eq!(finished.unwrap_err().kind(), ErrorKind::Poisoned);
    written.end();
}

#[test]
fn a_spill_that_fails_in_another_thread_is_reported_by_finish() {
    let (written, writer) = Written::new(Workload::roomy(), Variant::PLAIN);
    written.store.arm(0, Fault::NO_SPACE, Repeat::Forever);
    written.attempt.ledger().reclaim(u64::MAX);
    written.store.disarm();
    let finished = writer.finish().map(drop);
    assert_eq!(finished.unwrap_err().kind(), ErrorKind::NoSpace);
    written.end();
}

#[test]
fn after_a_panic_in_a_call_nothing_is_committed() {
    let (written, mut writer) = Written::new(Workload::several(), Variant::ONE_DIR[1]);
    written.store.arm(1, Fault::Panic, Repeat::Once);
    let panicked = catch_unwind(AssertUnwindSafe(|| writer.spill()));
    assert!(panicked.is_err(), "the second operation is a write");
    written.store.disarm();
    assert_eq!(writer.spill().unwrap_err().kind(), ErrorKind::Poisoned);
    let finished = writer.finish().map(drop);
    assert_eq!(finished.unwrap_err().kind(), ErrorKind::Poisoned);
    written.end();
}

/// The panic is the writer's, not of the thread that asked: that one is told what came back.
#[test]
fn after_a_panic_in_another_threads_spill_nothing_is_committed() {
    let (written, writer) = Written::new(Workload::roomy(), Variant::PLAIN);
    written.store.arm(1, Fault::Panic, Repeat::Once);
    let ledger = written.attempt.ledger().clone();
    let held = ledger.granted();
    let freed = std::thread::spawn(move || ledger.reclaim(u64::MAX)).join().unwrap();
    assert!(written.store.fired().is_some(), "the second operation is a write");
    assert_eq!((freed, written.attempt.ledger().live()), (held, 0), "all of it came back");
    written.store.disarm();
    assert_eq!(written.attempt.ledger().reclaim(u64::MAX), 0);
    let error = writer.finish().map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("a store panics"), "{error}");
    written.end();
}

/// Whoever needs memory goes on when the one who is to give it panics, at any operation of its spill.
#[test]
fn a_panic_in_anothers_spill_is_not_the_requesters() {
    let mut at = 0;
    loop {
        let (written, mut writer) = Written::new(Workload::roomy(), Variant::ONE_DIR[1]);
        let other = written.attempt.task().consumer("other");
        let all = written.attempt.ledger().capacity();
        let wanted = all - written.attempt.ledger().granted() + reclaimable(&written);
        written.store.arm(at, Fault::Panic, Repeat::Once);
        let reserved = other.reserve(wanted).unwrap();
        let panicked = written.store.fired().is_some();
        written.store.disarm();
        assert_eq!(reserved.granted(), wanted);
        drop((reserved, other));
        if !panicked {
            assert!(at > 2, "{at} operations");
            break;
        }
        assert_eq!(writer.spill().unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(writer.spill().unwrap_err().kind(), ErrorKind::Poisoned);
        drop(writer);
        written.end();
        at += 1;
    }
}

/// A panic at any operation of a whole attempt, with the writer dropped while unwinding.
#[test]
fn a_panic_at_every_operation_leaves_nothing() {
    let workload = Workload::tiny();
    for variant in Variant::ONE_DIR {
        let record = failing::record(&workload, variant, &|_| Scope::default());
        for (at, op) in (0..).zip(record) {
            let ground = Ground::new(variant);
            let store = ground.store();
            let dirs = ground.open(&store).unwrap();
            let attempt = workload.attempt();
            store.arm(at, Fault::Panic, Repeat::Once);
            let written = catch_unwind(AssertUnwindSafe(|| {
                drop(workload.write(&attempt, &dirs, 1).unwrap());
            }));
            assert!(written.is_err(), "{op:?}");
            attempt.end().unwrap();
            // Taking a name away may be what panicked.
            ground.committed(&workload);
            drop(dirs);
            ground.sweep();
            assert_eq!(ground.left_when_closed(&workload), NOTHING, "{op:?}");
        }
    }
}

#[test]
fn cancelled_at_every_operation() {
    for (workload, step) in
        [(Workload::tiny(), 1), (Workload::several(), 1), (Workload::merging(), 17)]
    {
        let variant = Variant::ONE_DIR[1];
        let record = failing::record(&workload, variant, &|_| Scope::default());
        let mut through = 0;
        for at in (0..record.len() as u64).step_by(step) {
            let ground = Ground::new(variant);
            let store = ground.store();
            let dirs = ground.open(&store).unwrap();
            let attempt = workload.attempt();
            let mut writer = workload.writer(&attempt, &dirs, 1).unwrap();
            let canceller = writer.canceller();
            store.arm(at, Fault::Pause, Repeat::Once);
            let written = std::thread::scope(|scope| {
                let written = scope.spawn(|| {
                    workload.write_rows(&mut writer)?;
                    writer.finish()
                });
                assert!(store.wait_paused());
                canceller.cancel();
                store.resume();
                written.join().unwrap()
            });
            let expected = written.is_ok();
            match written {
                Ok(output) => {
                    workload.check(&Output::Columns(output)).unwrap();
                    through += 1;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}"),
            }
            attempt.end().unwrap();
            assert_eq!(dirs.spill.used_bytes(), 0);
            assert_eq!(ground.committed(&workload), expected);
            assert_eq!(ground.left(&workload), NOTHING, "operation {at}");
            drop(dirs);
            assert_eq!(ground.left_when_closed(&workload), NOTHING);
        }
        let name = workload.name();
        println!("{name}: {through} of {} were past the last check", record.len() / step);
        assert!(through * step < record.len() / 2 + 20, "cancelling has an effect");
    }
}

#[test]
fn a_cancelled_writer_does_not_spill() {
    let (written, mut writer) = Written::new(Workload::several(), Variant::PLAIN);
    writer.canceller().cancel();
    written.store.disarm();
    assert_eq!(writer.spill().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(written.store.count(), 0, "no storage operation");
    let finished = writer.finish().map(drop);
    assert_eq!(finished.unwrap_err().kind(), ErrorKind::Cancelled);
    written.end();
}

#[test]
fn dropped_in_any_state() {
    // With all rows, some of them in memory.
    let (written, writer) = Written::new(Workload::merging(), Variant::ONE_DIR[1]);
    drop(writer);
    written.end();
    // New.
    let (written, writer) = Written::new(Workload::several(), Variant::PLAIN);
    drop(writer);
    let fresh = written.workload.writer(&written.attempt, &written.dirs, 3);
    drop(fresh.unwrap());
    written.end();
    // Failed, and not asked since.
    let (written, mut writer) = Written::new(Workload::several(), Variant::ONE_DIR[1]);
    written.store.arm(1, Fault::SHORT, Repeat::Once);
    writer.spill().unwrap_err();
    written.store.disarm();
    drop(writer);
    written.end();
    // Failed in another thread, and not asked since.
    let (written, writer) = Written::new(Workload::roomy(), Variant::ONE_DIR[1]);
    written.store.arm(1, Fault::IO, Repeat::Once);
    written.attempt.ledger().reclaim(u64::MAX);
    written.store.disarm();
    drop(writer);
    written.end();
    // Panicked.
    let (written, mut writer) = Written::new(Workload::several(), Variant::ONE_DIR[1]);
    written.store.arm(1, Fault::Panic, Repeat::Once);
    catch_unwind(AssertUnwindSafe(|| writer.spill())).unwrap_err();
    written.store.disarm();
    drop(writer);
    written.end();
}

/// A batch whose offsets are wrong only at its end is refused after part of it was taken: the
/// caller must not be able to go on as if nothing had happened.
#[test]
fn refused_in_the_middle_of_a_batch() {
    let (written, mut writer) = Written::new(Workload::tiny(), Variant::PLAIN);
    let rows = 2500;
    let mut offsets: Vec<i32> = (0..=rows).map(|row| row * 9).collect();
    *offsets.last_mut().unwrap() += 1_000_000;
    let values = Buffer::from_vec(vec![b'x'; usize::try_from(rows * 9).unwrap()]);
    let broken = broken_strings(offsets, values);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..i64::from(rows)));
    let schema = Arc::clone(written.workload.spec().schema());
    let batch = RecordBatch::try_new(schema, vec![numbers, broken]).unwrap();
    let ids = vec![0; batch.num_rows()];
    let rows_before = writer.progress().rows;
    let error = writer.write_with_ids(&batch, &ids).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(writer.progress().rows > rows_before, "part of it was taken");
    let finished = writer.finish().map(drop);
    assert_eq!(finished.unwrap_err().kind(), ErrorKind::Poisoned);
    written.end();
}

#[test]
fn refused_at_once() {
    let (written, mut writer) = Written::new(Workload::tiny(), Variant::PLAIN);
    let schema = written.workload.spec().schema();
    let columns: [ArrayRef; 2] =
        [Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["a"]))];
    let batch = RecordBatch::try_new(Arc::clone(schema), columns.to_vec()).unwrap();
    let other = RecordBatch::try_from_iter([("other", Arc::clone(&columns[0]))]).unwrap();
    for refused in [
        writer.write_with_ids(&batch, &[9]),
        writer.write_with_ids(&batch, &[0, 0]),
        writer.write_with_ids(&other, &[0]),
        writer.write(&batch),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    // Nothing was taken: the writer goes on.
    let output = writer.finish().unwrap();
    written.workload.check(&Output::Columns(output)).unwrap();
}

fn reclaimable(written: &Written) -> u64 {
    let holders = written.attempt.ledger().holders();
    holders.iter().map(|holder| holder.reclaimable).sum()
}

#[expect(unsafe_code, reason = "what a foreign producer may hand over")]
fn broken_strings(offsets: Vec<i32>, values: Buffer) -> ArrayRef {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    // SAFETY: not sound to read through arrow's own accessors, and nobody does.
    Arc::new(unsafe { StringArray::new_unchecked(offsets, values, None) })
}
