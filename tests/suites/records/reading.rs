//! A reader of records is bounded by its budget, and says what to do when that does not hold them.

use bywash::{ChargeMode, ErrorKind, Figure, MapId, RecordOutput, Records};
use bywash_tests::records::{Lengths, RecordCall, RecordCase, RecordOracle};

use crate::{ledger_of, writer};

#[test]
fn a_reader_whose_caller_holds_its_budget_says_so_and_ends_and_another_reads_it_all() {
    let case = RecordCase { partitions: 1, ..RecordCase::plain(Lengths::Fixed(1000), &[4000]) };
    let (calls, dirs) = (case.input(), case.dirs());
    let (_ledger, task) = ledger_of(64 << 20);
    let mut made = writer(&case.spec(), &task, &dirs);
    calls[0].write(&mut made).unwrap();
    drop(made.finish().unwrap());

    let (ledger, reading) = ledger_of(1500 << 10);
    let output = RecordOutput::open(&dirs.out, MapId(3), &reading).unwrap();
    let mut kept: Vec<Records> = Vec::new();
    let mut reader = output.read(0, &reading, ChargeMode::Ledger).unwrap();
    let error = loop {
        match reader.next().unwrap() {
            Ok(records) => kept.push(records),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::BudgetHeldByCaller, "{error}");
    assert!(error.figure(Figure::Held).unwrap() > 1 << 20, "{error}");
    assert!(kept.len() > 2 && reader.next().is_none(), "the first error ends it");
    drop((reader, kept));
    assert!(ledger.peak_granted() <= ledger.capacity());

    // Dropping each before the next, or taking them over, it is read to its end.
    for mode in [ChargeMode::Ledger, ChargeMode::Detached] {
        RecordOracle::new(&calls).check(&output, &reading, mode).unwrap();
    }
    // Detached ones outlive all of it.
    let reader = output.read(0, &reading, ChargeMode::Detached).unwrap();
    let kept: Vec<Records> = reader.map(Result::unwrap).collect();
    drop((output, reading));
    assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    assert_eq!(kept.iter().map(Records::len).sum::<usize>(), 4000);
    assert_eq!(kept[0].get(0), calls[0].base.get(..1000));
    assert_eq!(kept[0].get(kept[0].len()), None);
}

#[test]
fn a_record_above_the_reader_s_budget_is_an_error_that_names_it() {
    let record = vec![7; 3 << 20];
    let call = RecordCall::of([(0, &b"small"[..]), (0, &record), (0, b"after")]);
    let case = RecordCase { partitions: 1, ..RecordCase::plain(Lengths::Fixed(0), &[]) };
    let dirs = case.dirs();
    // Above the memory of its writer too.
    let (_ledger, task) = ledger_of(case.spec().minimum_budget(1).unwrap());
    let mut made = writer(&case.spec(), &task, &dirs);
    call.write(&mut made).unwrap();
    let progress = made.progress();
    assert_eq!((progress.spills_oversized_row, progress.rows), (2, 3));
    let output = made.finish().unwrap();
    let (ledger, reading) = ledger_of(2 << 20);
    let mut reader = output.read(0, &reading, ChargeMode::Ledger).unwrap();
    let first = reader.next().unwrap().unwrap();
    assert_eq!(first.iter().collect::<Vec<_>>(), [b"small"]);
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{error}");
    assert_eq!(error.figure(Figure::RowBytes), Some(3 << 20));
    drop((reader, first, reading));
    assert_eq!((ledger.granted(), ledger.live()), (0, 0));

    let (_ledger, reading) = ledger_of(4 << 20);
    RecordOracle::new(&[call]).check(&output, &reading, ChargeMode::Ledger).unwrap();
}

#[test]
fn partitions_and_modes_that_do_not_exist_are_refused() {
    let case = RecordCase::plain(Lengths::Fixed(5), &[100]);
    let (calls, dirs) = (case.input(), case.dirs());
    let (_ledger, task) = ledger_of(8 << 20);
    let mut made = writer(&case.spec(), &task, &dirs);
    calls[0].write(&mut made).unwrap();
    let output = made.finish().unwrap();
    let refused = |partition, mode| output.read(partition, &task, mode).unwrap_err().kind();
    assert_eq!(refused(13, ChargeMode::Ledger), ErrorKind::InvalidArgument);
    assert_eq!(refused(0, ChargeMode::Host), ErrorKind::InvalidArgument);
    assert_eq!((output.rows(13), output.bytes(13), output.crc32c(13)), (0, 0, 0));
}
