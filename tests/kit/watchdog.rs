//! Ends the process when something that must end does not, saying what it looked like.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Does `work`; if that takes longer than `limit`, prints what `describe` says and aborts.
///
/// A stuck thread cannot be stopped, so there is nobody to hand an error to.
pub fn within<T>(
    limit: Duration,
    describe: impl Fn() -> String + Sync,
    work: impl FnOnce() -> T,
) -> T {
    let (ended, changed) = (Mutex::new(false), Condvar::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let guard = ended.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = changed.wait_timeout_while(guard, limit, |ended| !*ended);
            if waited.is_ok_and(|(_, outcome)| outcome.timed_out()) {
                eprintln!("stuck for {limit:?}\n{}", describe());
                std::process::abort();
            }
        });
        // Also when it panics: the panic is the better message.
        let _ends = Ends { ended: &ended, changed: &changed };
        work()
    })
}

struct Ends<'a> {
    ended: &'a Mutex<bool>,
    changed: &'a Condvar,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}
