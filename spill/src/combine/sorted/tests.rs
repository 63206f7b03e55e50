//! Merges by key in the middle of a part that is being read.

use std::collections::BTreeMap;
use std::sync::Arc;

use bywash_core::codec::Codec;
use bywash_core::combine::{Count, Input, Merge, Mode};
use bywash_core::memory::{MemoryLedger, SpillCause, TaskMemory};
use tempfile::TempDir;

use crate::combine::batch::BatchBuffer;
use crate::combine::engine::{Engine, Phase, Target};
use crate::combine::progress::Signals;
use crate::combine::spec::CombineSpec;
use crate::combine::working_set::WorkingSet;
use crate::{FsStore, MemoryBacked, SpillDirs, SpillOptions};

/// A combiner of keys that nothing takes apart, `above` bytes above the least.
fn engine(above: u64) -> (Engine<Count>, BatchBuffer, MemoryLedger, TaskMemory, TempDir) {
    let home = tempfile::tempdir().unwrap();
    // The system's directory for temporary files may be memory: a few MB do not matter here.
    let memory_backed = MemoryBacked::Unaccounted;
    let options = SpillOptions { memory_backed, ..SpillOptions::default() };
    let spec = CombineSpec::new().with_codec(Codec::None).with_tiny_parts().with_constant_hash();
    let ledger = MemoryLedger::new(spec.minimum_budget(&Count).unwrap() + above);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let consumer = task.consumer("combiner");
    let (mut set, batch, ()) = WorkingSet::try_new(&spec, Count.size(), &consumer, &()).unwrap();
    set.table.reset(spec.hash, Mode::Append);
    let dirs = [home.path().into()];
    let engine = Engine {
        merge: Count,
        consumer,
        set,
        spill_dirs: SpillDirs::open(Arc::new(FsStore::new()), &dirs, options).unwrap(),
        signals: Arc::new(Signals::default()),
        hash: spec.hash,
        phase: Phase::Filling,
    };
    (engine, batch, ledger, task, home)
}

/// Runs of level 1 that have `fill` keys each and nothing that takes these apart, read in no more
/// than the memory that is there from birth: of many runs by key the first are merged while a run of
/// the level is being read.
fn groups_of_runs(runs: usize, fill: usize) -> BTreeMap<Vec<u8>, u64> {
    let (mut engine, mut batch, ledger, task, _home) = engine(8 << 20);
    for number in 0..runs * fill {
        let key = format!("{number:040}");
        engine.put(key.as_bytes(), Input::Value(b""), Target::Level(1)).unwrap();
        if (number + 1) % fill == 0 {
            engine.spill_to(Target::Level(1), SpillCause::Request, None).unwrap();
        }
    }
    // Others hold the rest now.
    let others = task.consumer("others");
    let _held = others.reserve(ledger.capacity() - ledger.granted()).unwrap();
    engine.phase = Phase::Parts;
    read_all(&mut engine, &mut batch)
}

fn read_all(engine: &mut Engine<Count>, batch: &mut BatchBuffer) -> BTreeMap<Vec<u8>, u64> {
    let mut groups = BTreeMap::new();
    loop {
        engine.fill_batch(batch).unwrap();
        if batch.is_empty() {
            return groups;
        }
        for (key, count) in batch.batch().iter() {
            let count = u64::from_le_bytes(count.try_into().unwrap());
            assert!(groups.insert(key.to_vec(), count).is_none(), "a key twice");
        }
    }
}

#[test]
fn a_run_goes_on_where_it_was_after_a_merge_by_key() {
    // Runs whose frames lie where those of runs by key do; what is in the window decides.
    for fill in [1139, 1140, 1141, 1142] {
        let groups = groups_of_runs(24, fill);
        assert_eq!(groups.len(), 24 * fill, "{fill}");
        assert!(groups.values().all(|count| *count == 1), "{fill}");
    }
}

#[test]
fn the_only_run_by_key_may_hold_a_record_longer_than_the_floor() {
    let (mut engine, mut batch, _ledger, _task, _home) = engine(1 << 20);
    let long = vec![7; 100_000];
    for key in [b"a", &long[..], b"z"] {
        engine.put(key, Input::Value(b""), Target::Sorted).unwrap();
    }
    engine.spill_to(Target::Sorted, SpillCause::Request, None).unwrap();
    engine.begin_key_merge().unwrap();
    let groups = read_all(&mut engine, &mut batch);
    let keys: Vec<&[u8]> = groups.keys().map(|key| &key[..]).collect();
    assert_eq!(keys, [&long[..], b"a", b"z"]);
}
