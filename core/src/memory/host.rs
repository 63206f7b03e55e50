//! Memory that a host lends: asked for in steps, given back when it lies idle.

use super::shared::{Account, LedgerShared};
use crate::Result;
use crate::port::MemoryParent;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// The host and how much of its memory may lie idle here.
pub(super) struct Host {
    pub(super) parent: Arc<dyn MemoryParent>,
    /// Bytes that may be lent and not granted, so that small requests need not go to the host.
    pub(super) slack: u64,
}

/// When idle memory goes back to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Return {
    /// While work goes on: the slack stays.
    Always,
    /// A task has ended: without another that holds something, the slack goes too.
    TaskEnd,
}

/// Keeps a request from asking a host without end that takes back as much as it lends.
pub(super) struct Asking {
    missing_least: u64,
    fruitless: u32,
    asks: u32,
}

impl Asking {
    pub(super) const fn new() -> Self {
        Self { missing_least: u64::MAX, fruitless: 0, asks: 0 }
    }

    /// Whether to ask again, now that so many bytes are missing.
    pub(super) const fn goes_on(&mut self, missing: u64) -> bool {
        if missing < self.missing_least {
            self.missing_least = missing;
        } else {
            self.fruitless += 1;
        }
        self.asks += 1;
        self.fruitless < FRUITLESS_MAX && self.asks <= ASKS_MAX
    }
}

/// How often a host is asked by one request without its missing less afterwards: others may have
/// been served first.
const FRUITLESS_MAX: u32 = 8;
/// How often at all: a host that lends a byte at a time is one that refuses.
const ASKS_MAX: u32 = 1024;

impl LedgerShared {
    /// Asks the host for what is missing and half the slack. Called with no lock held; returns
    /// what it lent, which the caller must count.
    pub(super) fn borrow_from_host(&self, missing: u64) -> Result<u64> {
        let Some(host) = &self.host else {
            return Ok(0);
        };
        let wanted = missing.saturating_add(host.slack / 2);
        let answer = host.parent.acquire(wanted).map(|lent| lent.min(wanted));
        let lent = answer.as_ref().copied().unwrap_or(0);
        self.counters.borrowed.fetch_add(lent, Ordering::Relaxed);
        if lent < missing {
            self.counters.host_refusals.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    pub(super) fn has_host(&self) -> bool {
        self.host.is_some()
    }

    /// Gives back what lies idle above the slack; all of it when nothing is granted at the end of a
    /// task. Calls the host.
    pub(super) fn return_surplus(&self, at: Return) {
        let Some(host) = &self.host else {
            return;
        };
        let taken = self.locked(|inner| {
            inner.collect_returned();
            let idle = inner.state.idle();
            let is_last = at == Return::TaskEnd && inner.state.granted() == 0;
            let surplus = match idle {
                _ if is_last => idle,
                _ if idle > host.slack => idle - host.slack / 2,
                _ => 0,
            };
            inner.state.take_idle(surplus)
        });
        if taken > 0 {
            host.parent.release(taken);
        }
    }

    /// Begins to give up to `bytes` back to the host: what comes back from now on is its. `None`
    /// without a host.
    pub(super) fn begin_repayment(&self, bytes: u64) -> Option<Repayment<'_>> {
        let host = self.host.as_ref()?;
        let wanted = self.locked(|inner| {
            inner.collect_returned();
            let wanted = bytes.min(inner.state.lent_bytes().unwrap_or(0));
            inner.state.owe(wanted);
            wanted
        });
        Some(Repayment { ledger: self, host, wanted, given: 0 })
    }

    /// Moves the charge of a buffer to the host; the one returned is told when the buffer is freed.
    pub(super) fn hand_over(
        &self,
        account: Account,
        granted: u64,
        live: u64,
    ) -> Option<HostCharge> {
        let host = self.host.as_ref()?;
        self.sub_live(live);
        self.locked(|inner| {
            self.granted.fetch_sub(granted, Ordering::AcqRel);
            inner.peak.sub(account.name, granted);
            inner.state.hand_over(account.task, granted);
        });
        host.parent.hand_over(granted);
        Some(HostCharge { parent: Arc::clone(&host.parent), bytes: granted })
    }
}

/// Bytes that are the host's as they come back. Ends when dropped, also when the host panics.
pub(super) struct Repayment<'a> {
    ledger: &'a LedgerShared,
    host: &'a Host,
    wanted: u64,
    given: u64,
}

impl Repayment<'_> {
    /// Gives back what has come back so far; returns how much that was. Calls the host.
    pub(super) fn repay(&mut self) -> u64 {
        let missing = self.missing();
        let taken = self.ledger.locked(|inner| {
            inner.collect_returned();
            inner.state.take_due(missing)
        });
        self.given += taken;
        if taken > 0 {
            self.host.parent.release(taken);
        }
        taken
    }

    pub(super) const fn missing(&self) -> u64 {
        self.wanted.saturating_sub(self.given)
    }

    pub(super) const fn given(&self) -> u64 {
        self.given
    }
}

impl Drop for Repayment<'_> {
    fn drop(&mut self) {
        let missing = self.missing();
        self.ledger.locked(|inner| inner.state.owe_no_more(missing));
    }
}

impl Drop for LedgerShared {
    fn drop(&mut self) {
        let lent = self.locked(|inner| inner.state.lent_bytes());
        if let (Some(host), Some(lent)) = (&self.host, lent.filter(|lent| *lent > 0)) {
            host.parent.release(lent);
        }
    }
}

/// The charge of a buffer that is the host's. Dropping it calls the host.
pub(super) struct HostCharge {
    parent: Arc<dyn MemoryParent>,
    bytes: u64,
}

/// It holds no state of its own.
impl std::panic::RefUnwindSafe for HostCharge {}

impl Drop for HostCharge {
    fn drop(&mut self) {
        self.parent.release(self.bytes);
    }
}
