//! Those who wait, in order of arrival.

use super::Shortfall;
use super::task_slot::TaskId;

/// Names a queued request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WaitToken(u64);

/// What became of a queued request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitStatus {
    /// Granted, or admitted; the token is used up.
    Granted,
    /// Still queued.
    Waiting,
    /// Its turn has come, but the host has lent too little: ask it for this much, then
    /// [`fund`](super::LedgerState::fund) and ask again, or cancel.
    Unfunded(u64),
    /// Can no longer wait: its task reached half its share, or the share, or the capacity, fell
    /// below it. The token is used up.
    Refused(Shortfall),
    /// Unknown: used up, cancelled, or its task has ended.
    Gone,
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Claim {
    Request { task: TaskId, bytes: u64 },
    Admission { count: u32, minimum: u64 },
}

impl Claim {
    /// What is set aside from those behind.
    pub(super) const fn bytes(self) -> u64 {
        match self {
            Self::Request { bytes, .. } => bytes,
            Self::Admission { count, minimum } => minimum.saturating_mul(count as u64),
        }
    }
}

/// What is set aside for those who wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Claims {
    pub(super) requests: u64,
    pub(super) admissions: u64,
}

impl Claims {
    pub(super) const fn add(&mut self, claim: Claim) {
        let (sum, bytes) = match claim {
            Claim::Request { bytes, .. } => (&mut self.requests, bytes),
            Claim::Admission { .. } => (&mut self.admissions, claim.bytes()),
        };
        *sum = sum.saturating_add(bytes);
    }

    pub(super) const fn all(self) -> u64 {
        self.requests.saturating_add(self.admissions)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    token: WaitToken,
    pub(super) claim: Claim,
    pub(super) granted: bool,
    refused: Option<Shortfall>,
    /// Its turn has come, and its own thread does the rest.
    ready: bool,
}

impl Entry {
    const fn is_answered(&self) -> bool {
        self.granted || self.refused.is_some()
    }

    const fn uncollected(&self) -> u64 {
        if self.granted { self.claim.bytes() } else { 0 }
    }
}

/// The queue. Its length is the number of threads that wait.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    entries: Vec<Entry>,
    token_next: u64,
    /// Entries without an answer, and the bytes they have a claim on.
    waiting: usize,
    claims: Claims,
    /// Granted to entries whose askers have not looked yet.
    uncollected: u64,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            token_next: 0,
            waiting: 0,
            claims: Claims { requests: 0, admissions: 0 },
            uncollected: 0,
        }
    }

    pub(super) fn push(&mut self, claim: Claim) -> WaitToken {
        let token = WaitToken(self.token_next);
        self.token_next += 1;
        self.entries.push(Entry { token, claim, granted: false, refused: None, ready: false });
        self.recount();
        token
    }

    pub(super) fn poll(&mut self, token: WaitToken) -> WaitStatus {
        let Some(place) = self.place(token) else {
            return WaitStatus::Gone;
        };
        let entry = &self.entries[place];
        let status = match entry.refused {
            _ if entry.granted => WaitStatus::Granted,
            Some(shortfall) => WaitStatus::Refused(shortfall),
            None if entry.ready => WaitStatus::Unfunded(entry.claim.bytes()),
            None => return WaitStatus::Waiting,
        };
        if entry.is_answered() {
            self.uncollected -= entry.uncollected();
            self.entries.remove(place);
        }
        status
    }

    pub(super) fn remove(&mut self, token: WaitToken) -> Option<Entry> {
        let place = self.place(token)?;
        let entry = self.entries.remove(place);
        self.uncollected -= entry.uncollected();
        self.recount();
        Some(entry)
    }

    /// Drops all of an ended task; returns what had been granted and not collected.
    pub(super) fn forget(&mut self, ended: TaskId) -> u64 {
        let mut granted = 0;
        self.entries.retain(|entry| match entry.claim {
            Claim::Request { task, .. } if task == ended => {
                granted += entry.uncollected();
                false
            }
            _ => true,
        });
        self.uncollected -= granted;
        self.recount();
        granted
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) const fn claims(&self) -> Claims {
        self.claims
    }

    pub(super) fn unanswered(&self, place: usize) -> Option<Claim> {
        let entry = &self.entries[place];
        (!entry.is_answered()).then_some(entry.claim)
    }

    pub(super) const fn uncollected(&self) -> u64 {
        self.uncollected
    }

    pub(super) fn grant(&mut self, place: usize) {
        self.entries[place].granted = true;
        self.uncollected += self.entries[place].uncollected();
        self.recount();
    }

    pub(super) fn refuse(&mut self, place: usize, shortfall: Shortfall) {
        self.entries[place].refused = Some(shortfall);
        self.recount();
    }

    /// Whether that is news to the one who waits.
    pub(super) fn set_ready(&mut self, place: usize, ready: bool) -> bool {
        let was = std::mem::replace(&mut self.entries[place].ready, ready);
        ready && !was
    }

    /// What an unanswered one waits for, and the claims of those before it.
    pub(super) fn claim_of(&self, token: WaitToken) -> Option<(Claim, u64)> {
        let place = self.place(token).filter(|place| !self.entries[*place].is_answered())?;
        let before = self.entries[..place].iter().filter(|entry| !entry.is_answered());
        let claimed = before.fold(0u64, |sum, entry| sum.saturating_add(entry.claim.bytes()));
        Some((self.entries[place].claim, claimed))
    }

    fn place(&self, token: WaitToken) -> Option<usize> {
        self.entries.iter().position(|entry| entry.token == token)
    }

    fn recount(&mut self) {
        (self.waiting, self.claims) = (0, Claims::default());
        for entry in self.entries.iter().filter(|entry| !entry.is_answered()) {
            self.waiting += 1;
            self.claims.add(entry.claim);
        }
    }
}
