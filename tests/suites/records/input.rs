//! What a caller gives is looked at before anything of it is taken.

use bywash::{ChargeMode, ErrorKind, Figure, RecordSpec};
use bywash_tests::dirs::Dirs;
use bywash_tests::records::{RecordCall, RecordOracle};

use crate::{ledger_of, writer};

#[test]
fn a_call_with_one_bad_record_takes_none_and_the_writer_goes_on() {
    let spec = RecordSpec::new(3).unwrap();
    let dirs = Dirs::new();
    let (_ledger, task) = ledger_of(8 << 20);
    let mut writer = writer(&spec, &task, &dirs);
    let base = b"0123456789";
    let mut refused = |offsets: &[u64], lengths: &[u32], partitions: &[u32]| {
        let before = writer.progress();
        let error = writer.write(base, offsets, lengths, partitions).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert_eq!(writer.progress(), before);
        error
    };

    let error = refused(&[0, 1], &[1], &[0, 0]);
    assert_eq!((error.figure(Figure::Expected), error.figure(Figure::Found)), (Some(2), Some(1)));
    let error = refused(&[0], &[1], &[0, 0, 2]);
    assert_eq!((error.figure(Figure::Expected), error.figure(Figure::Found)), (Some(1), Some(3)));
    for (offset, length) in [(10, 1), (9, 2), (0, 11), (11, 0), (u64::MAX, 1), (u64::MAX - 3, 9)] {
        let error = refused(&[0, offset, 0], &[10, length, 1], &[0, 0, 0]);
        assert_eq!(error.figure(Figure::Row), Some(1), "{error}");
        assert_eq!(error.figure(Figure::Offset), Some(offset), "{error}");
    }
    for partition in [3, 1 << 24, u32::MAX] {
        let error = refused(&[0, 1], &[1, 1], &[2, partition]);
        assert_eq!(error.figure(Figure::Partition), Some(partition.into()));
        assert_eq!(error.figure(Figure::Partitions), Some(3));
    }

    // At the very end, and nothing at all, are not outside.
    writer.write(base, &[10, 0, 4], &[0, 10, 2], &[2, 2, 0]).unwrap();
    writer.write(&[], &[], &[], &[]).unwrap();
    writer.write(&[], &[0], &[0], &[1]).unwrap();
    let oracle = RecordOracle::new(&[RecordCall::of([
        (2, &b""[..]),
        (2, &base[..]),
        (0, &b"45"[..]),
        (1, &b""[..]),
    ])]);
    let output = writer.finish().unwrap();
    oracle.check(&output, &task, ChargeMode::Ledger).unwrap();
}

#[test]
fn as_many_partitions_as_pointers_can_tell_apart_and_no_more() {
    for partitions in [0, (1 << 24) + 1, u32::MAX] {
        let error = RecordSpec::new(partitions).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(error.figure(Figure::Partitions), Some(partitions.into()));
    }
    assert!(RecordSpec::new(1 << 24).is_ok());
}
