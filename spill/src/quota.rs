//! Byte quotas: reserved before the bytes are written, given back when they are gone.

use std::sync::atomic::{AtomicU64, Ordering};

use bywash_core::{Error, ErrorKind, Figure, Result};

/// A limit and what is used of it; without a limit it only counts. Lock-free, no memory.
///
/// The limit may move at any time: below what is used it refuses all that is new and forgets
/// nothing of what is there.
#[derive(Debug)]
pub(crate) struct Quota {
    /// `u64::MAX` for none.
    limit: AtomicU64,
    used: AtomicU64,
    peak: AtomicU64,
}

impl Quota {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        let limit = AtomicU64::new(limit.unwrap_or(u64::MAX));
        Self { limit, used: AtomicU64::new(0), peak: AtomicU64::new(0) }
    }

    /// Moves the limit. A reservation that is being made beside this is under the old or the new one.
    pub(crate) fn set_limit(&self, limit: Option<u64>) {
        self.limit.store(limit.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Takes `bytes` or nothing; the error has `message` and all figures.
    pub(crate) fn reserve(&self, bytes: u64, message: &'static str) -> Result<()> {
        let limit = self.limit.load(Ordering::Relaxed);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= limit)
        });
        match taken {
            Ok(used) => {
                self.peak.fetch_max(used + bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(used) => Err(refused(bytes, used, limit, message)),
        }
    }

    /// Gives back what was reserved.
    pub(crate) fn release(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "more given back than reserved");
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most that was used at once.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Ordering::Relaxed)).filter(|limit| *limit != u64::MAX)
    }

    /// An error if nothing at all is left.
    pub(crate) fn check_room(&self, message: &'static str) -> Result<()> {
        let (used, limit) = (self.used(), self.limit.load(Ordering::Relaxed));
        if used < limit { Ok(()) } else { Err(refused(1, used, limit, message)) }
    }
}

#[cold]
fn refused(requested: u64, used: u64, limit: u64, message: &'static str) -> Error {
    Error::new(ErrorKind::Quota, message)
        .with(Figure::Requested, requested)
        .with(Figure::Available, limit.saturating_sub(used))
        .with(Figure::Quota, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_all_or_nothing() {
        let quota = Quota::new(Some(10));
        quota.reserve(7, "full").unwrap();
        let error = quota.reserve(4, "full").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Quota);
        assert_eq!(error.figure(Figure::Available), Some(3));
        assert_eq!(error.figure(Figure::Quota), Some(10));
        quota.reserve(3, "full").unwrap();
        assert!(quota.check_room("full").is_err());
        quota.release(10);
        assert_eq!((quota.used(), quota.peak()), (0, 10));
        Quota::new(None).reserve(u64::MAX, "full").unwrap();
    }

    #[test]
    fn a_limit_below_what_is_used_refuses_and_forgets_nothing() {
        let quota = Quota::new(None);
        quota.reserve(100, "full").unwrap();
        quota.set_limit(Some(40));
        assert_eq!((quota.used(), quota.limit()), (100, Some(40)));
        let error = quota.reserve(1, "full").unwrap_err();
        assert_eq!(error.figure(Figure::Available), Some(0));
        quota.release(61);
        quota.reserve(1, "full").unwrap();
        assert!(quota.check_room("full").is_err());
        quota.set_limit(None);
        quota.reserve(1 << 40, "full").unwrap();
    }
}
