//! What a combiner says it could give back, in the middle of a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bywash::{AccumulatorSize, CombineSpec, Count, HolderReport, MemoryLedger, Merge, Result};
use bywash_tests::case::admit;
use bywash_tests::combine::{Records, combiner, key, read_all, write_all};
use bywash_tests::dirs::Dirs;

/// Counts, and looks now and then at how much of what its combiner holds beyond `floor` that says it
/// could not give back.
#[derive(Debug, Clone)]
struct Watching {
    ledger: MemoryLedger,
    floor: Arc<AtomicU64>,
    calls: u64,
    /// The most that was granted beyond the floor and not offered, and the most that was granted.
    withheld: Arc<AtomicU64>,
    grown: Arc<AtomicU64>,
}

impl Watching {
    fn look(&mut self) {
        self.calls += 1;
        if self.calls.is_multiple_of(1000) {
            let combiner = |holder: &&HolderReport| holder.name == "combiner";
            let holders = self.ledger.holders();
            let holder = holders.iter().find(combiner).unwrap();
            let grown = holder.granted.saturating_sub(self.floor.load(Ordering::Relaxed));
            self.grown.fetch_max(grown, Ordering::Relaxed);
            let withheld = grown.saturating_sub(holder.reclaimable);
            self.withheld.fetch_max(withheld, Ordering::Relaxed);
        }
    }
}

impl Merge for Watching {
    fn size(&self) -> AccumulatorSize {
        Count.size()
    }

    fn create(&mut self, value: &[u8], accumulator: &mut [u8]) -> Result<usize> {
        self.look();
        Count.create(value, accumulator)
    }

    fn merge(&mut self, accumulator: &mut [u8], len: usize, value: &[u8]) -> Result<usize> {
        self.look();
        Count.merge(accumulator, len, value)
    }

    fn merge_accumulators(
        &mut self,
        accumulator: &mut [u8],
        len: usize,
        other: &[u8],
    ) -> Result<usize> {
        self.look();
        Count.merge_accumulators(accumulator, len, other)
    }
}

/// While one call takes many records, and while one puts a part together, others can ask for what
/// the table has grown to.
#[test]
fn what_a_table_has_grown_to_is_on_offer_at_every_step() {
    let (dirs, ledger) = (Dirs::new(), MemoryLedger::new(64 << 20));
    let task = admit(&ledger, 0).unwrap();
    let (floor, withheld, grown) = <(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let watching = Watching {
        ledger: ledger.clone(),
        floor: Arc::clone(&floor),
        calls: 0,
        withheld: Arc::clone(&withheld),
        grown: Arc::clone(&grown),
    };
    let spec = CombineSpec::new().with_tiny_parts();
    let mut combiner = combiner(&spec, watching, &task, &dirs).unwrap();
    floor.store(ledger.granted(), Ordering::Relaxed);
    let records: Records = (0..100_000).map(|number| (key(number), Vec::new())).collect();
    // Slots and the areas of a step: a slot takes 8 bytes, and there are twice as many after growth.
    let step = 256 << 10;
    write_all(&mut combiner, &records, records.len()).unwrap();
    assert!(grown.swap(0, Ordering::Relaxed) > 4 << 20, "it grew");
    assert!(withheld.swap(0, Ordering::Relaxed) <= step, "all is on offer while it is filled");

    combiner.spill().unwrap();
    write_all(&mut combiner, &records, records.len()).unwrap();
    let combined = combiner.finish().unwrap();
    grown.store(0, Ordering::Relaxed);
    withheld.store(0, Ordering::Relaxed);
    assert_eq!(read_all(combined).unwrap().len(), records.len());
    assert!(grown.load(Ordering::Relaxed) > 1 << 20, "it grew while parts were combined");
    assert!(withheld.load(Ordering::Relaxed) <= step, "all is on offer while it is read");
}
