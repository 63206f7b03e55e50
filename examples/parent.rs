//! A host lends 64 MiB, and takes 48 back for itself while a writer writes: what is idle is spilled
//! by the host's thread, what is busy spills at the writer's next step.
#![expect(clippy::wildcard_imports, reason = "an example")]
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use bywash::*;

/// The host's memory that nobody has, in bytes.
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

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let pool = Arc::new(Pool(AtomicU64::new(64 << 20)));
    let parent = Some(Arc::<Pool>::clone(&pool) as _);
    let options = LedgerOptions { parent, ..LedgerOptions::new(64 << 20) };
    let ledger = MemoryLedger::with_options(options);
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100_000));
    let batch = RecordBatch::try_from_iter([("key", keys)])?;
    let spec = ShuffleSpec::new(batch.schema(), 16, Partitioning::Hash(vec![0]))?;
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let spills = default_spill_dirs(&store)?.dirs;
    let spills = SpillDirs::open(Arc::clone(&store), &spills, SpillOptions::default())?;
    let dir = tempfile::tempdir()?;
    let out = OutputDir::open(store, dir.path(), OutputOptions::default())?;
    let task = ledger.admit(1, minimum_budget(&spec, 1)?)?.remove(0);
    let mut writer = ShuffleWriter::new(&spec, &task, &spills, &out, MapId(0), AttemptId(0))?;
    (0..50).try_for_each(|_| writer.write(&batch))?;
    let mut taken = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while taken < 48 << 20 {
                ledger.reclaim((48 << 20) - taken);
                taken += pool.acquire((48 << 20) - taken).unwrap_or(0);
            }
        });
        (0..50).try_for_each(|_| writer.write(&batch))
    })?;
    assert_eq!((writer.finish()?.total_rows(), taken), (10_000_000, 48 << 20));
    drop((task, ledger));
    assert_eq!(pool.0.load(SeqCst) + taken, 64 << 20, "everything came back");
    Ok(())
}
