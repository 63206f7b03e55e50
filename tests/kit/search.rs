//! Runs many cases made from numbers, and makes a failing one smaller before it is reported.

use std::fmt::Debug;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::seed::Rng;

/// A test case that can be made smaller.
pub trait Case: Clone + Debug {
    /// The case of `index` in the run of `rng`.
    fn random(rng: &mut Rng, index: u64) -> Self;

    /// Runs it.
    ///
    /// # Errors
    ///
    /// What is wrong.
    fn run(&self) -> Result<(), String>;

    /// Cases one step smaller, the biggest cut first. Every chain of steps must end.
    fn smaller(&self) -> Vec<Self>;
}

/// Runs the cases `indexes` of `seed` on `threads` threads.
///
/// # Panics
///
/// At the first failing case, with what is left of it after making it smaller.
pub fn run_cases<C: Case>(name: &str, seed: u64, indexes: Range<u64>, threads: usize) {
    println!("{name}: cases {indexes:?} of BYWASH_SEED={seed:#x}");
    let next = AtomicU64::new(indexes.start);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= indexes.end {
                        return;
                    }
                    if index % 1000 == 999 {
                        println!("{name}: {} of {}", index + 1, indexes.end);
                    }
                    let case = C::random(&mut Rng::labelled(seed, &[index]), index);
                    if let Err(error) = attempt(&case) {
                        next.store(indexes.end, Ordering::Relaxed);
                        report(name, seed, index, &case, &error);
                    }
                }
            });
        }
    });
}

fn report<C: Case>(name: &str, seed: u64, index: u64, case: &C, error: &str) -> ! {
    let (smallest, last) = shrink(case.clone(), error.to_owned());
    panic!(
        "{name}: case {index} of BYWASH_SEED={seed:#x} fails: {error}\n{case:?}\n\nmade smaller: \
         {last}\n{smallest:#?}"
    );
}

fn shrink<C: Case>(mut case: C, mut error: String) -> (C, String) {
    let mut attempts = ATTEMPTS_MAX;
    'smaller: loop {
        for candidate in case.smaller() {
            if attempts == 0 {
                return (case, error);
            }
            attempts -= 1;
            if let Err(found) = attempt(&candidate) {
                (case, error) = (candidate, found);
                continue 'smaller;
            }
        }
        return (case, error);
    }
}

/// Runs a case; a panic in it is a failure like another.
fn attempt<C: Case>(case: &C) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| case.run())).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

const ATTEMPTS_MAX: u32 = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone)]
    struct Below(u64);

    impl Case for Below {
        fn random(rng: &mut Rng, _index: u64) -> Self {
            Self(rng.below(1000))
        }

        fn run(&self) -> Result<(), String> {
            assert!(self.0 < 600, "too large");
            if self.0 < 500 { Ok(()) } else { Err(format!("{} is too large", self.0)) }
        }

        fn smaller(&self) -> Vec<Self> {
            if self.0 == 0 {
                vec![]
            } else {
                vec![Self(self.0 / 2), Self(self.0 * 7 / 8), Self(self.0 - 1)]
            }
        }
    }

    #[test]
    fn finds_the_smallest_failing_case() {
        let (smallest, error) = shrink(Below(990), String::new());
        assert_eq!((smallest.0, error.as_str()), (500, "500 is too large"));
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn fails_when_a_case_fails() {
        run_cases::<Below>("below", 1, 0..50, 2);
    }
}
