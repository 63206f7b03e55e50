//! A host lends 64 MiB to a ledger, and takes 48 MiB back while a writer writes: what is idle is
//! spilled by the host's own thread, what is busy spills at the writer's next step.
#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use bywash::{
    AttemptId, FsStore, LedgerOptions, MapId, MemoryLedger, MemoryParent, OutputDir, OutputOptions,
    Partitioning, Result, ShuffleSpec, ShuffleWriter, SpillDirs, SpillOptions, Store,
    default_spill_dirs, minimum_budget,
};

const MIB: u64 = 1 << 20;

/// The host's memory that nobody has.
struct Pool(AtomicU64);

impl MemoryParent for Pool {
    fn acquire(&self, bytes: u64) -> Result<u64> {
        let rest = |free: u64| Some(free.saturating_sub(bytes));
        Ok(self.0.fetch_update(SeqCst, SeqCst, rest).map_or(0, |free| free.min(bytes)))
    }

    fn release(&self, bytes: u64) {
        self.0.fetch_add(bytes, SeqCst);
    }
}

/// Takes back what a query of the host's own needs, whatever the writer is doing.
fn take_back(ledger: &MemoryLedger, pool: &Pool, wanted: u64) -> Result<u64> {
    let mut own = 0;
    while own < wanted {
        // Nothing comes while the writer is busy: it was marked, and spills at its next step.
        ledger.reclaim(wanted - own);
        own += pool.acquire(wanted - own)?;
    }
    Ok(own)
}

#[test]
fn runs() -> std::result::Result<(), Box<dyn std::error::Error>> {
    main()
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let pool = Arc::new(Pool(AtomicU64::new(64 * MIB)));
    let parent: Arc<Pool> = Arc::clone(&pool);
    let options = LedgerOptions { parent: Some(parent), ..LedgerOptions::new(64 * MIB) };
    let ledger = MemoryLedger::with_options(options);

    let batches = (0..100).map(|batch| {
        let keys = Int64Array::from_iter_values(batch * 100_000..(batch + 1) * 100_000);
        RecordBatch::try_from_iter([("key", Arc::new(keys) as ArrayRef)])
    });
    let batches = batches.collect::<std::result::Result<Vec<_>, _>>()?;
    let spec = ShuffleSpec::new(batches[0].schema(), 16, Partitioning::Hash(vec![0]))?;
    let (store, dir): (Arc<dyn Store>, _) = (Arc::new(FsStore::new()), tempfile::tempdir()?);
    let spills = default_spill_dirs(&store)?.dirs;
    let spills = SpillDirs::open(Arc::clone(&store), &spills, SpillOptions::default())?;
    let out = OutputDir::open(store, dir.path(), OutputOptions::default())?;
    let task = ledger.admit(1, minimum_budget(&spec, 1)?)?.remove(0);

    let mut writer = ShuffleWriter::new(&spec, &task, &spills, &out, MapId(0), AttemptId(0))?;
    batches[..50].iter().try_for_each(|batch| writer.write(batch))?;
    println!("{} MiB lent; the host wants 48", ledger.granted() / MIB);
    let taken = std::thread::scope(|scope| {
        let host = scope.spawn(|| take_back(&ledger, &pool, 48 * MIB));
        batches[50..].iter().try_for_each(|batch| writer.write(batch))?;
        host.join().unwrap_or(Ok(0))
    })?;
    let output = writer.finish()?;
    println!("the host has {} MiB; {} rows written", taken / MIB, output.total_rows());
    assert_eq!((output.total_rows(), taken), (10_000_000, 48 * MIB));

    drop((output, task, ledger));
    assert_eq!(pool.0.load(SeqCst) + taken, 64 * MIB, "everything came back");
    Ok(())
}
