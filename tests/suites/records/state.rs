//! What a writer of records answers after something went wrong, and what it leaves.

use std::sync::Arc;

use bywash::{
    AttemptId, ChargeMode, ErrorKind, FsStore, MapId, RecordSpec, RecordWriter, SpillOptions,
    Store, WriteTotals,
};
use bywash_tests::dirs::Dirs;
use bywash_tests::faults::{Fault, FaultStore, Repeat};
use bywash_tests::records::{Lengths, RecordCase, RecordOracle};

use crate::{ledger_of, writer};

/// doNotNeedToCallWriteBeforeUnsuccessfulStop; spillFilesAreDeletedWhenStoppingAfterError.
#[test]
fn dropped_or_cancelled_it_leaves_nothing() {
    let case = RecordCase { named: true, ..RecordCase::plain(Lengths::Fixed(300), &[5000; 4]) };
    let calls = case.input();
    for written in 0..=calls.len() {
        for cancel in [false, true] {
            let dirs = case.dirs();
            let (ledger, task) = ledger_of(case.spec().minimum_budget(1).unwrap());
            let mut writer = writer(&case.spec(), &task, &dirs);
            for call in &calls[..written] {
                call.write(&mut writer).unwrap();
            }
            assert_eq!(dirs.spill_files().is_empty(), written == 0, "{written}: runs have names");
            if cancel {
                let canceller = writer.canceller();
                canceller.cancel();
                let mut again = || calls[0].write(&mut writer).unwrap_err().kind();
                assert_eq!((again(), again()), (ErrorKind::Cancelled, ErrorKind::Cancelled));
                assert_eq!(canceller.progress().rows, 5000 * written as u64);
                assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Cancelled);
            } else {
                drop(writer);
            }
            assert_eq!((ledger.granted(), ledger.live()), (0, 0));
            assert!(dirs.spill_files().is_empty() && dirs.out_files().is_empty());
            assert!(dirs.close().is_empty());
        }
    }
}

#[test]
fn after_a_spill_that_failed_it_is_poisoned_and_holds_nothing() {
    let store = Arc::new(FaultStore::new(Arc::new(FsStore::new())));
    let dirs = Dirs::with_store(Arc::clone(&store) as Arc<dyn Store>, SpillOptions::default());
    let case = RecordCase::plain(Lengths::Fixed(300), &[2000]);
    let call = case.input().remove(0);
    let (ledger, task) = ledger_of(64 << 20);
    let mut writer = writer(&case.spec(), &task, &dirs);
    call.write(&mut writer).unwrap();
    store.arm(0, Fault::IO, Repeat::Forever);
    assert_eq!(writer.spill().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!((ledger.granted(), ledger.live()), (0, 0), "all is given up at once");
    assert_eq!(call.write(&mut writer).unwrap_err().kind(), ErrorKind::Poisoned);
    store.disarm();
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Poisoned);
    assert!(dirs.out_files().is_empty());
}

/// The attempt that commits first stands, and the other one returns it.
#[test]
fn of_two_attempts_the_first_stands() {
    let case = RecordCase::plain(Lengths::UpTo(50), &[700]);
    let (calls, dirs) = (case.input(), case.dirs());
    let (_ledger, task) = ledger_of(64 << 20);
    let attempt = |number: u64| {
        let (spill, out) = (&dirs.spill, &dirs.out);
        RecordWriter::new(&case.spec(), &task, spill, out, MapId(3), AttemptId(number)).unwrap()
    };
    let (mut first, mut second) = (attempt(1), attempt(2));
    for call in &calls {
        call.write(&mut first).unwrap();
        call.write(&mut second).unwrap();
    }
    let first = first.finish().unwrap();
    let second = second.finish().unwrap();
    assert_eq!((first.attempt(), second.attempt()), (AttemptId(1), AttemptId(1)));
    RecordOracle::new(&calls).check(&second, &task, ChargeMode::Detached).unwrap();
    // Another shuffle has no place beside it.
    let other = RecordSpec::new(2).unwrap();
    let other =
        RecordWriter::new(&other, &task, &dirs.spill, &dirs.out, MapId(3), AttemptId(3)).unwrap();
    assert_eq!(other.finish().unwrap_err().kind(), ErrorKind::InvalidState);
    assert_eq!(dirs.out_files().len(), 2, "an index and its data");
}

#[test]
fn totals_count_writers_of_records_too() {
    let case = RecordCase::plain(Lengths::Fixed(9), &[10]);
    let (call, dirs) = (case.input().remove(0), case.dirs());
    let (_ledger, task) = ledger_of(8 << 20);
    let totals = WriteTotals::default();
    let mut writer = writer(&case.spec(), &task, &dirs);
    totals.watch_records(&writer);
    call.write(&mut writer).unwrap();
    let summary = totals.summary();
    assert_eq!((summary.writers, summary.open), (1, 1));
    assert_eq!((summary.progress.rows, summary.progress.bytes), (10, 90));
    drop(writer);
    assert_eq!(totals.summary().open, 0);
    assert_eq!(totals.summary().progress.rows, 10);
}
