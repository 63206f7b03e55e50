//! Merge functions that fail or panic: nothing is lost unsaid.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bywash::{AccumulatorSize, CombineSpec, Error, ErrorKind, MemoryLedger, Merge, Result};
use bywash_tests::case::admit;
use bywash_tests::combine::{Keys, combiner, read_all, records, write_all};
use bywash_tests::dirs::Dirs;
use bywash_tests::seed::{Rng, run_seed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Fails,
    Panics,
}

/// Counts, and after so many calls of one kind goes wrong.
#[derive(Debug, Clone, Copy)]
struct Broken {
    how: How,
    creates: u64,
    merges: u64,
    joins: u64,
}

impl Broken {
    fn step(how: How, left: &mut u64) -> Result<usize> {
        *left = left.saturating_sub(1);
        match how {
            _ if *left > 0 => Ok(1),
            How::Fails => Err(Error::invalid("the merge function does not like this")),
            How::Panics => panic!("the merge function panics"),
        }
    }
}

impl Merge for Broken {
    fn size(&self) -> AccumulatorSize {
        AccumulatorSize::Fixed(1)
    }

    fn create(&mut self, _: &[u8], _: &mut [u8]) -> Result<usize> {
        Self::step(self.how, &mut self.creates)
    }

    fn merge(&mut self, _: &mut [u8], _: usize, _: &[u8]) -> Result<usize> {
        Self::step(self.how, &mut self.merges)
    }

    fn merge_accumulators(&mut self, _: &mut [u8], _: usize, _: &[u8]) -> Result<usize> {
        Self::step(self.how, &mut self.joins)
    }
}

#[test]
fn a_merge_function_that_goes_wrong_ends_the_combiner() {
    let mut rng = Rng::new(run_seed());
    let records = records(&mut rng, 10_000, Keys::Uniform(2_000), 4);
    let dirs = Dirs::new();
    for how in [How::Fails, How::Panics] {
        let never = u64::MAX;
        for (creates, merges, joins) in
            [(700, never, never), (never, 300, never), (never, never, 1), (never, never, 200)]
        {
            for constant in [false, true] {
                if constant && merges < never {
                    continue; // Records are kept beside each other: nothing is merged yet.
                }
                let mut spec = CombineSpec::new().with_tiny_parts();
                if constant {
                    spec = spec.with_constant_hash();
                }
                let broken = Broken { how, creates, merges, joins };
                let ledger = MemoryLedger::new(spec.minimum_budget(&broken).unwrap());
                let task = admit(&ledger, ledger.capacity()).unwrap();
                let mut combiner = combiner(&spec, broken, &task, &dirs).unwrap();
                let written =
                    catch_unwind(AssertUnwindSafe(|| write_all(&mut combiner, &records, 1000)));
                if let Ok(Ok(())) = written {
                    // It goes wrong where spills are combined.
                    let mut combined = combiner.finish().unwrap();
                    let wrong = loop {
                        let next = AssertUnwindSafe(|| combined.next_batch().map(|b| b.is_some()));
                        match catch_unwind(next) {
                            Ok(Ok(true)) => {}
                            other => break other,
                        }
                    };
                    check(how, &wrong.map(|result| result.map(|more| assert!(more))));
                    assert_eq!(combined.next_batch().unwrap_err().kind(), ErrorKind::Poisoned);
                } else {
                    check(how, &written);
                    let again = write_all(&mut combiner, &records, 1000).unwrap_err();
                    assert_eq!(again.kind(), ErrorKind::Poisoned);
                    assert!(again.to_string().contains("merge function"), "{again}");
                    assert!(combiner.finish().and_then(read_all).is_err());
                }
                assert_eq!((ledger.granted(), dirs.spill.used_bytes()), (0, 0));
            }
        }
    }
}

fn check(how: How, outcome: &std::thread::Result<Result<()>>) {
    match (how, outcome) {
        (How::Fails, Ok(Err(error))) => assert!(error.to_string().contains("does not like")),
        (How::Panics, Err(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_boxed_merge_function_is_one() {
    let dirs = Dirs::new();
    let ledger = MemoryLedger::new(8 << 20);
    let task = admit(&ledger, 0).unwrap();
    let merge: Box<dyn Merge + Send> = Box::new(bywash::Count);
    let mut combiner = combiner(&CombineSpec::new(), merge, &task, &dirs).unwrap();
    write_all(&mut combiner, &vec![(vec![1], vec![]), (vec![1], vec![])], 1).unwrap();
    let groups = read_all(combiner.finish().unwrap()).unwrap();
    assert_eq!(groups[&vec![1]], 2u64.to_le_bytes());
}
