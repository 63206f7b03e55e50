//! Byte quotas: reserved before the bytes are written, given back when they are gone.

use std::sync::atomic::{AtomicU64, Ordering};

use bywash_core::{Error, ErrorKind, Figure, Result};

/// A limit and what is used of it; without a limit it only counts. Lock-free, no memory.
#[derive(Debug)]
pub(crate) struct Quota {
    limit: u64,
    used: AtomicU64,
}

impl Quota {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { limit: limit.unwrap_or(u64::MAX), used: AtomicU64::new(0) }
    }

    /// Takes `bytes` or nothing; the error has `message` and all figures.
    pub(crate) fn reserve(&self, bytes: u64, message: &'static str) -> Result<()> {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= self.limit)
        });
        taken.map(drop).map_err(|used| self.error(bytes, used, message))
    }

    /// Gives back what was reserved.
    pub(crate) fn release(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "more given back than reserved");
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// An error if nothing at all is left.
    pub(crate) fn check_room(&self, message: &'static str) -> Result<()> {
        let used = self.used();
        if used < self.limit { Ok(()) } else { Err(self.error(1, used, message)) }
    }

    #[cold]
    fn error(&self, requested: u64, used: u64, message: &'static str) -> Error {
        Error::new(ErrorKind::Quota, message)
            .with(Figure::Requested, requested)
            .with(Figure::Available, self.limit.saturating_sub(used))
            .with(Figure::Quota, self.limit)
    }
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
        assert_eq!(quota.used(), 0);
        Quota::new(None).reserve(u64::MAX, "full").unwrap();
    }
}
