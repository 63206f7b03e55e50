//! The ledger's rules once more, as short and as slow as they can be said: everything is reckoned
//! anew from a list of tasks and a queue, in wider numbers, and the queue is looked through after
//! every step.

/// A ledger as its rules see it. Tasks and waiters are numbered in order and never forgotten.
#[derive(Debug, Clone, Default)]
pub(super) struct Reference {
    pub(super) capacity: u128,
    /// Lent by a host; `None` without one.
    pub(super) funds: Option<u128>,
    /// What the host wants back and has not come back yet.
    pub(super) owed: u128,
    /// What came back for it: not part of the funds any more.
    pub(super) due: u128,
    pub(super) tasks: Vec<Task>,
    /// In order of arrival; those who know their answer have left.
    pub(super) queue: Vec<Waiter>,
    pub(super) waiters_so_far: usize,
}

/// One task.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Task {
    pub(super) granted: u128,
    pub(super) minimum: u128,
    pub(super) ended: bool,
}

/// One in the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub(super) number: usize,
    pub(super) claim: Claim,
    pub(super) outcome: Option<Answer>,
}

/// What it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    Request { task: usize, bytes: u128 },
    Admission { count: u128, minimum: u128 },
}

/// What the ledger must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Granted,
    /// So many could have been had; nobody says how many at an admission.
    Refused {
        available: u128,
    },
    Unfunded(u128),
    /// Queued under this number.
    Queued(usize),
    Waiting,
    Gone,
}

impl Task {
    pub(super) fn committed(&self) -> u128 {
        self.granted.max(self.minimum)
    }

    fn shares(&self) -> bool {
        !self.ended && self.committed() > 0
    }
}

impl Claim {
    /// What is set aside for it from those behind.
    pub(super) fn bytes(self) -> u128 {
        match self {
            Self::Request { bytes, .. } => bytes,
            Self::Admission { count, minimum } => count * minimum,
        }
    }
}

impl Reference {
    pub(super) fn granted(&self) -> u128 {
        self.tasks.iter().map(|task| task.granted).sum()
    }

    pub(super) fn committed(&self) -> u128 {
        self.tasks.iter().map(Task::committed).sum()
    }

    pub(super) fn idle(&self) -> u128 {
        self.funds.map_or(0, |funds| funds - self.granted())
    }

    /// Of `bytes` that came back, as much as the host wants and nobody has.
    pub(super) fn set_aside(&mut self, bytes: u128) {
        let moved = bytes.min(self.owed).min(self.idle());
        self.funds = self.funds.map(|funds| funds - moved);
        (self.owed, self.due) = (self.owed - moved, self.due + moved);
    }

    pub(super) fn give_back(&mut self, task: usize, bytes: u128) {
        self.tasks[task].granted -= bytes;
        self.set_aside(bytes);
    }

    pub(super) fn share(&self) -> u128 {
        self.capacity / (self.tasks.iter().filter(|task| task.shares()).count() as u128).max(1)
    }

    /// The share of a task counts the task itself.
    fn share_of(&self, task: usize) -> u128 {
        let others =
            self.tasks.iter().enumerate().filter(|(n, other)| *n != task && other.shares());
        self.capacity / (others.count() as u128 + 1)
    }

    pub(super) fn limit_of(&self, task: usize) -> u128 {
        self.share_of(task).max(self.tasks[task].minimum)
    }

    /// What those in the queue before `end` have a claim on.
    pub(super) fn claimed(&self, end: usize, counts: impl Fn(&Waiter) -> bool) -> u128 {
        let waiting = self.queue[..end].iter().filter(|waiter| waiter.outcome.is_none());
        let waiting = waiting.filter(|waiter| counts(waiter));
        waiting.map(|waiter| waiter.claim.bytes()).sum()
    }

    /// What a request of `task` gets if it came when only those before `end` were queued: as much as
    /// they leave of the capacity and as is left of its limit, or what is left of its promise, but
    /// never more than there is. Who may wait itself does not wait for admissions: they wait for
    /// tasks to end.
    fn room(&self, task: usize, end: usize) -> u128 {
        let it = self.tasks[task];
        let others = self.committed() - it.committed();
        let is_request = |waiter: &Waiter| matches!(waiter.claim, Claim::Request { .. });
        let may_wait = it.granted < self.share_of(task) / 2;
        let claimed = self.claimed(end, |waiter| !may_wait || is_request(waiter));
        let free = self.capacity.saturating_sub(others + claimed).min(self.limit_of(task));
        let free = free.saturating_sub(it.granted);
        free.max(it.minimum.saturating_sub(it.granted))
            .min(self.capacity.saturating_sub(self.granted()))
    }

    fn answer_to(&self, claim: Claim, end: usize) -> Answer {
        match claim {
            Claim::Request { task, bytes } => {
                let it = self.tasks[task];
                let available = if it.ended { 0 } else { self.room(task, end) };
                if !it.ended && bytes <= available {
                    return match self.missing(bytes) {
                        0 => Answer::Granted,
                        missing => Answer::Unfunded(missing),
                    };
                }
                let is_under_half = it.granted < self.share_of(task) / 2;
                if !it.ended && is_under_half && it.granted + bytes <= self.limit_of(task) {
                    return Answer::Waiting;
                }
                Answer::Refused { available }
            }
            Claim::Admission { count, minimum } => {
                if minimum > self.capacity / count {
                    return Answer::Refused { available: self.capacity / count };
                }
                let sharing = self.tasks.iter().filter(|task| task.shares()).count() as u128;
                let share = self.capacity / (sharing + count);
                let largest = self.tasks.iter().map(|task| task.minimum).max().unwrap_or(0);
                let is_large = minimum > 0 && minimum.max(largest) > share;
                let free =
                    self.capacity.saturating_sub(self.committed() + self.claimed(end, |_| true));
                if count * minimum > free || is_large {
                    return Answer::Waiting;
                }
                Answer::Granted
            }
        }
    }

    /// What the host must lend before `bytes` can be granted.
    fn missing(&self, bytes: u128) -> u128 {
        let needed = if bytes == 0 { 0 } else { self.granted() + bytes };
        self.funds.map_or(0, |funds| needed.saturating_sub(funds))
    }

    /// Those in the queue who would not sleep on if they looked.
    pub(super) fn awake(&self) -> Vec<usize> {
        let queue = self.queue.iter().enumerate();
        let awake = queue.filter(|(place, waiter)| {
            let answer = waiter.outcome.unwrap_or_else(|| self.answer_to(waiter.claim, *place));
            answer != Answer::Waiting
        });
        awake.map(|(_, waiter)| waiter.number).collect()
    }

    /// Asks, and queues if `patient`.
    pub(super) fn ask(&mut self, claim: Claim, patient: bool) -> Answer {
        let answer = match self.answer_to(claim, self.queue.len()) {
            Answer::Waiting if patient => {
                self.queue.push(Waiter { number: self.waiters_so_far, claim, outcome: None });
                self.waiters_so_far += 1;
                Answer::Queued(self.waiters_so_far - 1)
            }
            Answer::Waiting => match claim {
                Claim::Request { task, .. } => {
                    Answer::Refused { available: self.room(task, self.queue.len()) }
                }
                Claim::Admission { .. } => Answer::Refused { available: 0 },
            },
            answer => answer,
        };
        self.take(claim, answer);
        self.serve();
        answer
    }

    /// What became of a waiter; those who know have left the queue.
    pub(super) fn poll(&mut self, number: usize) -> Answer {
        let Some(place) = self.queue.iter().position(|waiter| waiter.number == number) else {
            return Answer::Gone;
        };
        let Waiter { claim, outcome, .. } = self.queue[place];
        let answer = outcome.unwrap_or_else(|| self.answer_to(claim, place));
        if matches!(answer, Answer::Granted | Answer::Refused { .. }) {
            self.queue.remove(place);
            if outcome.is_none() {
                self.take(claim, answer);
            }
        }
        self.serve();
        answer
    }

    fn take(&mut self, claim: Claim, answer: Answer) {
        match claim {
            _ if answer != Answer::Granted => {}
            Claim::Request { task, bytes } => self.tasks[task].granted += bytes,
            Claim::Admission { count, minimum } => {
                let task = Task { minimum, ..Task::default() };
                self.tasks.extend((0..count).map(|_| task));
            }
        }
    }

    /// Looks through the queue in order, again while anything changes. An admission is only told
    /// that its turn has come: it is admitted when it asks.
    pub(super) fn serve(&mut self) {
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for place in 0..self.queue.len() {
                let Waiter { claim, outcome: None, .. } = self.queue[place] else { continue };
                let answer = self.answer_to(claim, place);
                let is_request = matches!(claim, Claim::Request { .. });
                if matches!(answer, Answer::Refused { .. })
                    || is_request && answer == Answer::Granted
                {
                    self.queue[place].outcome = Some(answer);
                    self.take(claim, answer);
                    changed = true;
                }
            }
        }
    }

    /// Takes a waiter out of the queue; what it was granted and never knew of goes back.
    pub(super) fn give_up(&mut self, gone: impl Fn(&Waiter) -> bool) {
        for waiter in self.queue.clone().iter().filter(|waiter| gone(waiter)) {
            if let (Claim::Request { task, bytes }, Some(Answer::Granted)) =
                (waiter.claim, waiter.outcome)
            {
                self.give_back(task, bytes);
            }
        }
        self.queue.retain(|waiter| !gone(waiter));
    }
}
