//! What spills for another: a writer, a sort and a combiner are told that they are in use when the host
//! calls them from within their own spill, and a panic of one is that one's alone.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bywash::{
    ChargeMode, CombineSpec, Combiner, CountingSum, Error, ErrorKind, FsStore, KeyValues,
    LedgerOptions, MemoryLedger, MemoryParent, Result, ShuffleWriter, Slices, SortColumn, SortSpec,
    Sorter, Store, TaskMemory,
};
use bywash_tests::case::admit;
use bywash_tests::faults::{Fault, FaultStore, Repeat};
use bywash_tests::writers::Writers;

const ROWS: i64 = 40_000;
const SPILLERS: [Make; 3] = [writer, sorter, combiner];

/// Something that fills memory and spills it.
trait Spiller: Send {
    fn write(&mut self) -> Result<()>;
    fn spill(&mut self) -> Result<u64>;
    /// The rows or groups that come back.
    fn finish(self: Box<Self>) -> Result<u64>;
}

type Make = fn(&Writers, &TaskMemory) -> Box<dyn Spiller>;
/// Where a host finds the one that it is given memory by.
type Place = Mutex<Option<Box<dyn Spiller>>>;

fn writer(writers: &Writers, task: &TaskMemory) -> Box<dyn Spiller> {
    static MAP: AtomicU64 = AtomicU64::new(0);
    let map = MAP.fetch_add(1, Ordering::Relaxed);
    Box::new((writers.writer(task, map), writers.rows(ROWS)))
}

fn sorter(writers: &Writers, task: &TaskMemory) -> Box<dyn Spiller> {
    let rows = writers.rows(ROWS);
    let spec = SortSpec::new(rows.schema(), &[SortColumn::descending(0)]).unwrap();
    Box::new((Sorter::new(&spec, task, &writers.dirs.spill).unwrap(), rows))
}

fn combiner(writers: &Writers, task: &TaskMemory) -> Box<dyn Spiller> {
    let spec = CombineSpec::new();
    let combiner = Combiner::new(&spec, CountingSum, task, &writers.dirs.spill).unwrap();
    Box::new((combiner, 0..0))
}

impl Spiller for (ShuffleWriter, arrow_array::RecordBatch) {
    fn write(&mut self) -> Result<()> {
        self.0.write(&self.1)
    }
    fn spill(&mut self) -> Result<u64> {
        self.0.spill()
    }
    fn finish(self: Box<Self>) -> Result<u64> {
        self.0.finish().map(|output| output.total_rows())
    }
}

impl Spiller for (Sorter, arrow_array::RecordBatch) {
    fn write(&mut self) -> Result<()> {
        self.0.write(&self.1)
    }
    fn spill(&mut self) -> Result<u64> {
        self.0.spill()
    }
    fn finish(self: Box<Self>) -> Result<u64> {
        let batches = self.0.finish(ChargeMode::Ledger)?;
        batches.map(|batch| Ok(batch?.num_rows() as u64)).sum()
    }
}

/// With the keys it was given last: each once.
impl Spiller for (Combiner<CountingSum>, Range<i64>) {
    fn write(&mut self) -> Result<()> {
        self.1 = self.1.end..self.1.end + ROWS;
        let keys: Vec<_> = self.1.clone().map(i64::to_le_bytes).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        self.0.write(&KeyValues::try_new(Slices::Each(&keys), Slices::Each(&keys))?)
    }
    fn spill(&mut self) -> Result<u64> {
        self.0.spill()
    }
    fn finish(self: Box<Self>) -> Result<u64> {
        self.0.finish()?.drain_into(|_| Ok(()))
    }
}

/// Lends all that is asked for; calls who gives some back.
#[derive(Debug, Default)]
struct Host {
    place: Mutex<Weak<Place>>,
    answers: Mutex<Vec<Error>>,
}

impl MemoryParent for Host {
    fn acquire(&self, bytes: u64) -> Result<u64> {
        Ok(bytes)
    }

    fn release(&self, _bytes: u64) {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let Some(place) = place else { return };
        // Not while its caller uses it.
        let Ok(mut place) = place.try_lock() else { return };
        let Some(spiller) = place.as_mut() else { return };
        let answer = spiller.spill();
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).extend(answer.err());
    }

    fn hand_over(&self, _bytes: u64) {}
}

#[test]
fn a_host_that_calls_who_gives_it_memory_is_told_that_it_is_in_use() {
    for make in SPILLERS {
        let host = Arc::new(Host::default());
        let parent = Arc::clone(&host) as Arc<dyn MemoryParent>;
        let ledger = MemoryLedger::with_options(LedgerOptions {
            parent: Some(parent),
            parent_slack: 0,
            ..LedgerOptions::new(64 << 20)
        });
        let writers = Writers::new();
        let task = admit(&ledger, 0).unwrap();
        let mut spiller = make(&writers, &task);
        for _ in 0..5 {
            spiller.write().unwrap();
        }
        let place = Arc::new(Mutex::new(Some(spiller)));
        *host.place.lock().unwrap() = Arc::downgrade(&place);
        // More than is asked for comes back within the spill.
        assert!(ledger.reclaim(1) > 0);
        *host.place.lock().unwrap() = Weak::new();
        let answers = std::mem::take(&mut *host.answers.lock().unwrap());
        assert!(!answers.is_empty(), "nobody gave memory back within a spill");
        for answer in answers {
            assert_eq!(answer.kind(), ErrorKind::InvalidState, "{answer}");
            assert!(answer.to_string().contains("spilling on this very thread"), "{answer}");
        }
        // It goes on as if nobody had called.
        let mut spiller = place.lock().unwrap().take().unwrap();
        spiller.write().unwrap();
        let rows = spiller.finish().unwrap();
        assert_eq!(rows, 6 * ROWS.unsigned_abs());
        assert_eq!(ledger.granted(), 0);
    }
}

/// Whoever needs memory goes on when the one who is to give it panics, at any operation of its spill.
#[test]
fn a_panic_in_a_spill_for_another_is_not_the_others() {
    for make in SPILLERS {
        let mut at = 0;
        loop {
            let store = Arc::new(FaultStore::new(Arc::new(FsStore::new())));
            let writers = Writers::on(Arc::clone(&store) as Arc<dyn Store>);
            let ledger = MemoryLedger::new(64 << 20);
            let task = admit(&ledger, 0).unwrap();
            let mut spiller = make(&writers, &task);
            let mut beside = make(&writers, &task);
            beside.write().unwrap();
            for _ in 0..5 {
                spiller.write().unwrap();
            }
            let other = task.consumer("other");
            // One alone has as much.
            let most = ledger.holders().iter().map(|holder| holder.reclaimable).max();
            store.arm(at, Fault::Panic, Repeat::Once);
            let wanted = ledger.capacity() - ledger.granted() + most.unwrap();
            let reserved = other.reserve(wanted).unwrap();
            let panicked = store.fired().is_some();
            store.disarm();
            assert_eq!(reserved.granted(), wanted);
            drop((reserved, other));
            if panicked {
                let error = spiller.spill().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
                assert!(error.to_string().contains("a store panics"), "{error}");
                assert_eq!(spiller.write().unwrap_err().kind(), ErrorKind::Poisoned);
                assert_eq!(spiller.finish().unwrap_err().kind(), ErrorKind::Poisoned);
            } else {
                spiller.finish().unwrap();
            }
            assert_eq!(beside.finish().unwrap(), ROWS.unsigned_abs());
            assert_eq!((ledger.granted(), writers.dirs.spill.used_bytes()), (0, 0));
            if !panicked {
                assert!(at > 2, "{at} operations");
                break;
            }
            at += 1;
        }
    }
}
