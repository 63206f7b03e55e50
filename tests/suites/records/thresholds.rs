//! Forced spills come exactly when they are asked for, whatever the memory.

use bywash::{ChargeMode, Codec, RecordSpec};
use bywash_tests::dirs::Dirs;
use bywash_tests::records::{Lengths, Lie, RecordCase, RecordOracle};

use crate::{ledger_of, writer};

/// A threshold of n is looked at before each record, as Spark does: after k n records there are k - 1
/// spills, and the k-th comes with the next one.
#[test]
fn a_threshold_of_records_counts_spills_exactly() {
    for threshold in [1u64, 7, 100, 1000, 4096, 5000] {
        for records in [0, 1, threshold - 1, threshold, threshold + 1, 3 * threshold, 9999] {
            // One record a spill and run is slow.
            let records = if threshold == 1 { records.min(300) } else { records };
            let spec = RecordSpec::new(5).unwrap().with_spill_threshold_records(threshold);
            let spills = spills_of(&spec, usize::try_from(records).unwrap());
            assert_eq!(spills, records.saturating_sub(1) / threshold, "{records} by {threshold}");
        }
    }
}

#[test]
fn a_threshold_of_bytes_counts_spills_exactly() {
    for threshold in [1u64, 10_399, 10_400, 10_401, 500_000] {
        for records in [0u64, 1, 99, 100, 101, 200, 201, 9999] {
            let records = if threshold == 1 { records.min(300) } else { records };
            let spec = RecordSpec::new(5).unwrap().with_spill_threshold_bytes(threshold);
            // A spill once so many of 104 bytes are in memory and another one comes.
            let each = threshold.div_ceil(104);
            let spills = spills_of(&spec, usize::try_from(records).unwrap());
            assert_eq!(spills, records.saturating_sub(1) / each, "{records} by {threshold}");
        }
    }
}

/// Whichever is met first.
#[test]
fn both_thresholds_at_once() {
    let spec = RecordSpec::new(5).unwrap();
    let both = spec.with_spill_threshold_records(1000).with_spill_threshold_bytes(104 * 300);
    assert_eq!(spills_of(&both, 3001), 10);
    let both = both.with_spill_threshold_records(100);
    assert_eq!(spills_of(&both, 3001), 30);
}

/// Neither the spills nor what they were for changes what comes back.
fn spills_of(spec: &RecordSpec, records: usize) -> u64 {
    let calls = [records / 3, records - records / 3];
    let case = RecordCase {
        lie: Lie::Scattered,
        partitions: spec.partitions(),
        ..RecordCase::plain(Lengths::Fixed(104), &calls)
    };
    let (calls, dirs) = (case.input(), Dirs::new());
    let (_ledger, task) = ledger_of(64 << 20);
    let spec = spec.clone().with_codec(Codec::None);
    let mut writer = writer(&spec, &task, &dirs);
    for call in &calls {
        call.write(&mut writer).unwrap();
    }
    let progress = writer.progress();
    assert_eq!(progress.spills(), progress.spills_request, "no other cause");
    assert_eq!((progress.rows, progress.bytes), (records as u64, records as u64 * 104));
    let output = writer.finish().unwrap();
    RecordOracle::new(&calls).check(&output, &task, ChargeMode::Ledger).unwrap();
    progress.spills_request
}
