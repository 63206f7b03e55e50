//! A host with 64 MiB lends them to a ledger, and takes 48 MiB back while a writer writes.
//!
//! The host never stops the writer: what is idle is spilled by the host's own thread, what is busy
//! spills at the writer's next step.
#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bywash::{
    AttemptId, FsStore, LedgerOptions, MapId, MemoryLedger, MemoryParent, OutputDir, OutputOptions,
    Partitioning, Result, ShuffleSpec, ShuffleWriter, SpillDirs, SpillOptions, Store,
    default_spill_dirs, minimum_budget,
};

const MIB: u64 = 1 << 20;

/// The host's memory that nobody has.
struct Pool(AtomicU64);

impl Pool {
    /// Takes what there is of `bytes`.
    fn take(&self, bytes: u64) -> u64 {
        let part = |free: u64| Some(free - free.min(bytes));
        self.0.fetch_update(SeqCst, SeqCst, part).map_or(0, |free| free.min(bytes))
    }
}

impl MemoryParent for Pool {
    fn acquire(&self, bytes: u64) -> Result<u64> {
        Ok(self.take(bytes))
    }

    fn release(&self, bytes: u64) {
        self.0.fetch_add(bytes, SeqCst);
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let pool = Arc::new(Pool(AtomicU64::new(64 * MIB)));
    let parent: Arc<Pool> = Arc::clone(&pool);
    let ledger = MemoryLedger::with_options(LedgerOptions {
        parent: Some(parent),
        ..LedgerOptions::new(64 * MIB)
    });

    let schema = Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, false)]));
    let spec = ShuffleSpec::new(Arc::clone(&schema), 16, Partitioning::Hash(vec![0]))?;
    let task = ledger.admit(1, minimum_budget(&spec, 1)?)?.remove(0);
    let dir = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let spills = default_spill_dirs(&store)?.dirs;
    let spill_dirs = SpillDirs::open(Arc::clone(&store), &spills, SpillOptions::default())?;
    let out = OutputDir::open(store, &dir.path().join("out"), OutputOptions::default())?;
    let mut writer = ShuffleWriter::new(&spec, &task, &spill_dirs, &out, MapId(0), AttemptId(0))?;

    let (needs_memory, needed) = mpsc::channel();
    let host = std::thread::spawn({
        let (ledger, pool) = (ledger.clone(), Arc::clone(&pool));
        move || {
            let wanted: u64 = needed.recv().unwrap_or(0);
            let mut own = 0;
            while own < wanted {
                own += pool.take(wanted - own);
                // Zero where the writer is busy: it was marked, and spills at its next step.
                ledger.reclaim(wanted - own);
                std::thread::yield_now();
            }
            own
        }
    });
    for batch in 0..100 {
        let keys = Int64Array::from_iter_values((0..100_000).map(|row| batch * 100_000 + row));
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(keys)])?)?;
        if batch == 50 {
            println!("{} MiB lent; the host wants 48 MiB", ledger.granted() / MIB);
            needs_memory.send(48 * MIB)?;
        }
    }
    let taken = host.join().map_err(|_| "the host panicked")?;
    let output = writer.finish()?;
    println!("the host has {} MiB; {} rows written", taken / MIB, output.total_rows());
    println!("{}", ledger.explain());
    assert_eq!(output.total_rows(), 10_000_000);

    drop((output, task, ledger));
    assert_eq!(pool.take(u64::MAX) + taken, 64 * MIB, "everything came back");
    Ok(())
}

#[test]
fn runs() -> std::result::Result<(), Box<dyn std::error::Error>> {
    main()
}
