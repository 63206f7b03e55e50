//! DataFusion and a ledger on one budget, either way round, without depending on DataFusion.
//!
//! - `pool.rs`: a DataFusion-shaped memory pool over a ledger. Give the pool of a query and the writers
//!   of its shuffles one [`TaskMemory`]: an operator that needs memory makes idle writers of its query
//!   spill, which DataFusion cannot ask of its own operators; and queries share fairly, each at most
//!   capacity / queries. Wait with [`MemoryLedger::admit_or_wait`] before a query starts, not on an
//!   async worker; a promise made there is what `grow` draws on without going over.
//! - `lent.rs`: a pool lends a ledger its memory as one of its consumers, and takes it back before it
//!   refuses an operator.
//! - `shapes.rs`: DataFusion's shapes, to be replaced by the real ones.
//!
//! What neither can do: make a DataFusion operator spill. It spills when it is refused.
#![expect(clippy::print_stdout, reason = "an example")]

mod lent;
mod pool;
mod shapes;

use std::path::Path;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bywash::{
    AttemptId, FsStore, LedgerOptions, MapId, MemoryLedger, MemoryParent, OutputDir, OutputOptions,
    Partitioning, ShuffleSpec, ShuffleWriter, SpillDirs, SpillOptions, Store, TaskMemory,
    default_spill_dirs,
};

use lent::{LentByPool, ReclaimingPool};
use pool::LedgerPool;
use shapes::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, ResourcesExhausted};

const MIB: usize = 1 << 20;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    a_pool_over_a_ledger()?;
    operators_share_fairly()?;
    growing_without_room()?;
    a_ledger_lent_by_a_pool()
}

/// A sort gets what a writer of its query holds.
fn a_pool_over_a_ledger() -> Outcome {
    let ledger = MemoryLedger::new(32 << 20);
    let query = ledger.admit(1, 0)?.remove(0);
    let dir = tempfile::tempdir()?;
    let mut writer = writer(&query, dir.path())?;
    write(&mut writer, 2_000_000)?;
    let free = 32 * MIB - usize::try_from(ledger.granted())?;

    let ledgers = LedgerPool::new(query.clone())?;
    let pool: Arc<dyn MemoryPool> = ledgers;
    assert_eq!(pool.memory_limit(), MemoryLimit::Finite(32 * MIB));
    let sorter = MemoryConsumer::new("ExternalSorter[0]").with_can_spill(true).register(&pool);
    let merge = sorter.new_empty();
    let mut steps = 0;
    while sorter.try_grow(MIB).is_ok() {
        steps += 1;
    }
    assert!(steps * MIB > free, "the writer made room");
    assert!(merge.try_grow(8 * MIB).is_err());
    println!("{pool}: {} MiB were free, {steps} MiB came", free / MIB);
    println!("{}", ledger.explain());

    drop((sorter, merge));
    assert_eq!(pool.reserved(), 0);
    assert_eq!(writer.finish()?.total_rows(), 2_000_000);
    drop((pool, query));
    assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    Ok(())
}

/// A hash join that cannot spill, and two sorts that can.
fn operators_share_fairly() -> Outcome {
    let ledger = MemoryLedger::new(32 << 20);
    let pool: Arc<dyn MemoryPool> = LedgerPool::new(ledger.admit(1, 0)?.remove(0))?;
    let join = MemoryConsumer::new("HashJoinInput").register(&pool);
    let sorter = |partition: usize| {
        let name = format!("ExternalSorter[{partition}]");
        MemoryConsumer::new(name).with_can_spill(true).register(&pool)
    };
    let (first, second) = (sorter(0), sorter(1));
    join.try_grow(12 * MIB).map_err(|error| error.0)?;
    first.try_grow(10 * MIB).map_err(|error| error.0)?;
    println!("{}", refusal(first.try_grow(1))?);
    second.try_grow(10 * MIB).map_err(|error| error.0)?;
    assert_eq!(pool.reserved(), 32 * MIB);
    Ok(())
}

/// `grow` beyond the budget is counted, and paid back before anything else is granted.
fn growing_without_room() -> Outcome {
    let ledger = MemoryLedger::new(32 << 20);
    let ledgers = LedgerPool::new(ledger.admit(1, 0)?.remove(0))?;
    let pool: Arc<dyn MemoryPool> = Arc::clone(&ledgers) as _;
    let (build, probe) = (MemoryConsumer::new("build"), MemoryConsumer::new("probe"));
    let (build, probe) = (build.register(&pool), probe.register(&pool));
    build.try_grow(30 * MIB).map_err(|error| error.0)?;
    probe.grow(6 * MIB);
    assert_eq!((pool.reserved(), ledgers.over()), (36 * MIB, 6 << 20));
    assert_eq!(ledger.granted(), 30 << 20, "the ledger grants no more than there is");
    println!("{pool}");
    println!("{}", refusal(probe.try_grow(1))?);
    build.shrink(10 * MIB);
    probe.try_grow(1).map_err(|error| error.0)?;
    assert_eq!((ledgers.over(), ledger.granted()), (0, (26 << 20) + 1));
    probe.shrink(probe.size());
    assert_eq!(ledger.granted(), 20 << 20);
    drop((build, probe, pool, ledgers));
    assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    Ok(())
}

/// The pool owns the memory: the ledger borrows, and gives back when an operator wants it.
fn a_ledger_lent_by_a_pool() -> Outcome {
    let reclaiming = ReclaimingPool::new(32 * MIB);
    let pool: Arc<dyn MemoryPool> = Arc::clone(&reclaiming) as _;
    let parent: Arc<dyn MemoryParent> = Arc::new(LentByPool::new(&pool));
    let ledger = MemoryLedger::with_options(LedgerOptions {
        parent: Some(parent),
        ..LedgerOptions::new(32 << 20)
    });
    reclaiming.lends_to(&ledger);
    let query = ledger.admit(1, 0)?.remove(0);
    let dir = tempfile::tempdir()?;
    let mut writer = writer(&query, dir.path())?;
    write(&mut writer, 2_000_000)?;
    let lent = pool.reserved();

    let join: MemoryReservation = MemoryConsumer::new("HashJoinInput").register(&pool);
    join.try_grow(24 * MIB).map_err(|error| error.0)?;
    println!("{pool}: {} MiB were lent, {} now", lent / MIB, (pool.reserved() - join.size()) / MIB);
    assert!(pool.reserved() <= 32 * MIB);
    write(&mut writer, 1_000_000)?;
    assert_eq!(writer.finish()?.total_rows(), 3_000_000);

    drop((join, query));
    reclaiming.settle();
    drop(ledger);
    assert_eq!(pool.reserved(), 0, "everything came back");
    Ok(())
}

/// What a refusal says.
fn refusal(answer: Result<(), ResourcesExhausted>) -> Outcome<String> {
    match answer {
        Ok(()) => Err("it was granted".into()),
        Err(ResourcesExhausted(why)) => Ok(why),
    }
}

fn writer(task: &TaskMemory, dir: &Path) -> Outcome<ShuffleWriter> {
    let spec = ShuffleSpec::new(schema(), 16, Partitioning::Hash(vec![0]))?;
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let spills = default_spill_dirs(&store)?.dirs;
    let spill_dirs = SpillDirs::open(Arc::clone(&store), &spills, SpillOptions::default())?;
    let out = OutputDir::open(store, &dir.join("out"), OutputOptions::default())?;
    Ok(ShuffleWriter::new(&spec, task, &spill_dirs, &out, MapId(0), AttemptId(0))?)
}

fn write(writer: &mut ShuffleWriter, rows: i64) -> Outcome {
    for from in (0..rows).step_by(100_000) {
        let keys = Int64Array::from_iter_values(from..from + 100_000);
        writer.write(&RecordBatch::try_new(schema(), vec![Arc::new(keys)])?)?;
    }
    Ok(())
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, false)]))
}

#[test]
fn runs() -> Outcome {
    main()
}
