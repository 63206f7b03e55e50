//! Another thread that takes memory back at random moments, and the budgets to try that at.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bywash::MemoryLedger;

use crate::seed::{Rng, run_seed};

/// Twelve budgets: the minimum and what lies above it, in bytes.
pub const ABOVE_MINIMUM: [u64; 12] = [
    0,
    1,
    64 << 10,
    256 << 10,
    1 << 20,
    2 << 20,
    4 << 20,
    8 << 20,
    16 << 20,
    32 << 20,
    128 << 20,
    2 << 30,
];

/// Does `work` while another thread reclaims random amounts, also in the middle of its calls. `work`
/// calls what it is given between two calls: however threads are scheduled, memory is then asked back
/// at least once before it goes on.
pub fn reclaiming<T>(ledger: &MemoryLedger, run: u64, work: impl FnOnce(&dyn Fn()) -> T) -> T {
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let stopped = Stop(&stop);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rng = Rng::labelled(run_seed(), &[run]);
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..rng.size(1, 20_000) {
                    std::hint::spin_loop();
                }
                ledger.reclaim(rng.size(1, 64 << 20) as u64);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Also when the work panics: the scope waits for the thread.
        let _stopped = stopped;
        work(&|| {
            let before = asked.load(Ordering::Relaxed);
            while asked.load(Ordering::Relaxed) == before {
                std::thread::yield_now();
            }
        })
    })
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
