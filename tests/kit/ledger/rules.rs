//! The rules alone, in random steps: every answer and every figure is the reference's.

use bywash_core::memory::{
    Acquire, Admission, LedgerState, Patience, TaskId, WaitStatus, WaitToken,
};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use super::reference::{Answer, Claim, Reference, Task};

/// One step. Numbers count from the start and stay: tasks, waiters.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Ask(Claim, bool),
    Poll(usize),
    Cancel(usize),
    Release(usize, u128),
    HandOver(usize, u128),
    End(usize),
    SetCapacity(u128),
    Fund(u128),
    TakeIdle(u128),
    Owe(u128),
    TakeDue(u128),
    OweNoMore(u128),
}

/// What the reference knows after a step, and what it answered.
#[derive(Debug, Clone)]
pub(super) struct Foretold {
    reference: Reference,
    /// What each waiter waits for, those that have left the queue too.
    claims: Vec<Claim>,
    answer: Option<Answer>,
    bytes: u128,
    /// Before the step.
    granted_before: u128,
    /// Whether somebody who slept has something to do since the step.
    must_wake: bool,
}

pub(super) struct Steps;

impl ReferenceStateMachine for Steps {
    type State = Foretold;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Foretold> {
        let capacity = prop_oneof![8 => 1u64..200, 1 => Just(u64::MAX), 1 => 0u64..4];
        (capacity, any::<bool>())
            .prop_map(|(capacity, is_lent)| Foretold {
                reference: Reference {
                    capacity: capacity.into(),
                    funds: is_lent.then_some(0),
                    ..Reference::default()
                },
                claims: Vec::new(),
                answer: None,
                bytes: 0,
                granted_before: 0,
                must_wake: false,
            })
            .boxed()
    }

    fn transitions(state: &Foretold) -> BoxedStrategy<Step> {
        let reference = &state.reference;
        let amount =
            || prop_oneof![6 => 0u64..40, 6 => 0u64..120, 1 => Just(u64::MAX)].prop_map(u128::from);
        let minimum = prop_oneof![3 => Just(0u64), 6 => 0u64..60, 1 => Just(u64::MAX)];
        let admit = (1u128..4, minimum, any::<bool>()).prop_map(|(count, minimum, patient)| {
            Step::Ask(Claim::Admission { count, minimum: minimum.into() }, patient)
        });
        let capacity = prop_oneof![9 => 0u64..200, 1 => Just(u64::MAX)];
        let mut all: Vec<(u32, BoxedStrategy<Step>)> = vec![
            (if state.present().is_empty() { 40 } else { 4 }, admit.boxed()),
            (3, capacity.prop_map(|bytes| Step::SetCapacity(bytes.into())).boxed()),
        ];
        if !state.present().is_empty() {
            let task = || proptest::sample::select(state.present());
            let request = (task(), amount(), any::<bool>()).prop_map(|(task, bytes, patient)| {
                Step::Ask(Claim::Request { task, bytes }, patient)
            });
            let held: Vec<_> =
                state.present().iter().map(|task| (*task, state.held(*task))).collect();
            let give_back = (proptest::sample::select(held), 0u128..=4, any::<bool>());
            let is_lent = reference.funds.is_some();
            let give_back = give_back.prop_map(move |((task, held), quarters, to_host)| {
                let bytes = if held < 4 { held } else { held / 4 * quarters };
                if to_host && is_lent {
                    Step::HandOver(task, bytes)
                } else {
                    Step::Release(task, bytes)
                }
            });
            all.push((16, request.boxed()));
            all.push((10, give_back.boxed()));
            all.push((2, task().prop_map(Step::End).boxed()));
        }
        if !state.claims.is_empty() {
            let any_waiter = || 0..state.claims.len();
            all.push((8, any_waiter().prop_map(Step::Poll).boxed()));
            all.push((1, any_waiter().prop_map(Step::Cancel).boxed()));
        }
        if !reference.queue.is_empty() {
            let queued: Vec<_> = reference.queue.iter().map(|waiter| waiter.number).collect();
            all.push((8, proptest::sample::select(queued).prop_map(Step::Poll).boxed()));
        }
        if reference.funds.is_some() {
            all.push((6, amount().prop_map(|bytes| Step::Fund(bytes.min(1 << 40))).boxed()));
            all.push((3, amount().prop_map(Step::TakeIdle).boxed()));
            all.push((2, (0u64..60).prop_map(|bytes| Step::Owe(bytes.into())).boxed()));
            all.push((3, amount().prop_map(Step::TakeDue).boxed()));
            let owed = reference.owed + reference.due;
            all.push((3, (0..=owed).prop_map(Step::OweNoMore).boxed()));
        }
        proptest::strategy::Union::new_weighted(all).boxed()
    }

    fn preconditions(state: &Foretold, step: &Step) -> bool {
        let Foretold { reference, claims, .. } = state;
        match *step {
            Step::Ask(Claim::Admission { .. }, _) | Step::SetCapacity(_) => true,
            Step::Ask(Claim::Request { task, .. }, _) | Step::End(task) => state.is_present(task),
            Step::Poll(number) | Step::Cancel(number) => number < claims.len(),
            Step::Release(task, bytes) => state.is_present(task) && bytes <= state.held(task),
            Step::HandOver(task, bytes) => {
                reference.funds.is_some() && state.is_present(task) && bytes <= state.held(task)
            }
            Step::Fund(_) | Step::TakeIdle(_) | Step::Owe(_) | Step::TakeDue(_) => {
                reference.funds.is_some()
            }
            Step::OweNoMore(bytes) => bytes <= reference.owed + reference.due,
        }
    }

    fn apply(mut state: Foretold, step: &Step) -> Foretold {
        let reference = &mut state.reference;
        state.granted_before = reference.granted();
        let (awake, waiters_before) = (reference.awake(), reference.waiters_so_far);
        (state.answer, state.bytes) = (None, 0);
        match *step {
            Step::Ask(claim, patient) => {
                let answer = reference.ask(claim, patient);
                if matches!(answer, Answer::Queued(_)) {
                    state.claims.push(claim);
                }
                state.answer = Some(answer);
            }
            Step::Poll(number) => state.answer = Some(reference.poll(number)),
            Step::Cancel(number) => reference.give_up(|waiter| waiter.number == number),
            Step::Release(task, bytes) => reference.give_back(task, bytes),
            Step::HandOver(task, bytes) => {
                reference.tasks[task].granted -= bytes;
                reference.funds = reference.funds.map(|funds| funds - bytes);
            }
            Step::End(task) => {
                reference.give_up(
                    |waiter| matches!(waiter.claim, Claim::Request { task: its, .. } if its == task),
                );
                let Task { minimum, ended, .. } = &mut reference.tasks[task];
                (*minimum, *ended) = (0, true);
            }
            Step::SetCapacity(capacity) => reference.capacity = capacity,
            Step::Fund(bytes) => {
                reference.funds = reference.funds.map(|funds| funds + bytes);
            }
            Step::TakeIdle(bytes) => {
                state.bytes = bytes.min(reference.idle());
                reference.funds = reference.funds.map(|funds| funds - state.bytes);
            }
            Step::Owe(bytes) => {
                reference.owed += bytes;
                reference.set_aside(bytes);
            }
            Step::TakeDue(bytes) => {
                state.bytes = bytes.min(reference.due);
                reference.due -= state.bytes;
            }
            // What is not owed any more, of what did not come back first.
            Step::OweNoMore(bytes) => {
                let not_there = bytes.min(reference.owed);
                reference.owed -= not_there;
                reference.due -= bytes - not_there;
                reference.funds = reference.funds.map(|funds| funds + bytes - not_there);
            }
        }
        state.reference.serve();
        let slept = |number: &usize| *number < waiters_before && !awake.contains(number);
        state.must_wake = state.reference.awake().iter().any(slept);
        state
    }
}

impl Foretold {
    /// Tasks that have not ended, or whose memory is still out.
    fn present(&self) -> Vec<usize> {
        (0..self.reference.tasks.len()).filter(|task| self.is_present(*task)).collect()
    }

    fn is_present(&self, task: usize) -> bool {
        self.reference.tasks.get(task).is_some_and(|it| !it.ended || it.granted > 0)
    }

    /// What its owner knows that it holds.
    fn held(&self, task: usize) -> u128 {
        let uncollected =
            self.reference.queue.iter().filter(|w| w.outcome == Some(Answer::Granted));
        let uncollected = uncollected.map(|waiter| match waiter.claim {
            Claim::Request { task: its, bytes } if its == task => bytes,
            _ => 0,
        });
        self.reference.tasks[task].granted - uncollected.sum::<u128>()
    }
}

/// The ledger's state machine and what its numbers stand for.
pub(super) struct Rules {
    ledger: LedgerState,
    tasks: Vec<TaskId>,
    tokens: Vec<WaitToken>,
}

impl StateMachineTest for Rules {
    type SystemUnderTest = Self;
    type Reference = Steps;

    fn init_test(foretold: &Foretold) -> Self {
        let capacity = word(foretold.reference.capacity);
        let ledger = match foretold.reference.funds {
            Some(_) => LedgerState::lent(capacity),
            None => LedgerState::new(capacity),
        };
        Self { ledger, tasks: Vec::new(), tokens: Vec::new() }
    }

    fn apply(mut rules: Self, foretold: &Foretold, step: Step) -> Self {
        let answer = match step {
            Step::Ask(claim, patient) => Some(rules.ask(claim, patient)),
            Step::Poll(number) => Some(rules.poll(number, foretold.claims[number])),
            _ => None,
        };
        let same = match (answer, foretold.answer) {
            // An admission's error does not come with the reference's figures.
            (Some(Answer::Refused { .. }), Some(Answer::Refused { .. }))
                if matches!(step, Step::Ask(Claim::Admission { .. }, _)) =>
            {
                true
            }
            (given, expected) => given == expected,
        };
        assert!(same, "{step:?} was answered {answer:?}, not {:?}", foretold.answer);
        let ledger = &mut rules.ledger;
        match step {
            Step::Ask(..) | Step::Poll(_) => {}
            Step::Cancel(number) => ledger.cancel(rules.tokens[number]),
            Step::Release(task, bytes) => ledger.release(rules.tasks[task], word(bytes)),
            Step::HandOver(task, bytes) => ledger.hand_over(rules.tasks[task], word(bytes)),
            Step::End(task) => ledger.end(rules.tasks[task]),
            Step::SetCapacity(bytes) => ledger.set_capacity(word(bytes)),
            Step::Fund(bytes) => ledger.fund(word(bytes)),
            Step::TakeIdle(bytes) => {
                assert_eq!(ledger.take_idle(word(bytes)), word(foretold.bytes));
            }
            Step::Owe(bytes) => ledger.owe(word(bytes)),
            Step::TakeDue(bytes) => {
                assert_eq!(ledger.take_due(word(bytes)), word(foretold.bytes));
            }
            Step::OweNoMore(bytes) => ledger.owe_no_more(word(bytes)),
        }
        // Whoever sleeps is woken; one may be woken for nothing.
        assert!(rules.ledger.take_answered() || !foretold.must_wake, "{step:?} woke nobody");
        Self::check_no_overtaking(foretold, step);
        rules
    }

    fn check_invariants(rules: &Self, foretold: &Foretold) {
        let (ledger, reference) = (&rules.ledger, &foretold.reference);
        assert_eq!(u128::from(ledger.granted()), reference.granted(), "granted");
        assert_eq!(u128::from(ledger.capacity()), reference.capacity, "capacity");
        assert_eq!(u128::from(ledger.share()), reference.share(), "share");
        let lent = reference.funds.map(|funds| funds + reference.due);
        assert_eq!(ledger.lent_bytes().map(u128::from), lent, "lent");
        let granted = reference.queue.iter().filter(|w| w.outcome == Some(Answer::Granted));
        let uncollected: u128 = granted.map(|waiter| waiter.claim.bytes()).sum();
        assert_eq!(u128::from(ledger.uncollected()), uncollected, "uncollected");
        assert_eq!(u128::from(ledger.idle()), reference.idle(), "idle");
        let waiting = reference.queue.iter().filter(|waiter| waiter.outcome.is_none()).count();
        assert_eq!(ledger.waiting(), waiting, "waiting");
        let exported = reference.tasks.iter().filter(|task| task.ended).map(|task| task.granted);
        assert_eq!(u128::from(ledger.exported()), exported.sum(), "exported");
        for task in foretold.present() {
            let id = rules.tasks[task];
            assert_eq!(u128::from(ledger.granted_to(id)), reference.tasks[task].granted);
            if !reference.tasks[task].ended {
                assert_eq!(u128::from(ledger.limit_of(id)), reference.limit_of(task), "limit");
            }
        }
        let granted = reference.granted();
        assert!(granted <= foretold.granted_before || granted <= reference.capacity);
        assert!(reference.funds.is_none_or(|funds| granted <= funds));
        rules.check_promises(foretold);
        rules.check_nobody_waits_in_vain(foretold);
    }

    fn teardown(mut rules: Self, foretold: Foretold) {
        let ledger = &mut rules.ledger;
        ledger.owe_no_more(u64::MAX);
        for token in rules.tokens {
            ledger.cancel(token);
        }
        for task in foretold.present() {
            let id = rules.tasks[task];
            // Ended first or emptied first.
            if task % 2 == 0 {
                ledger.end(id);
            }
            let held = ledger.granted_to(id);
            ledger.release(id, held);
            if task % 2 == 1 {
                ledger.end(id);
            }
        }
        assert_eq!((ledger.granted(), ledger.exported(), ledger.waiting()), (0, 0, 0));
        assert_eq!((ledger.share(), ledger.idle()), (ledger.capacity(), word(foretold.funds())));
        ledger.fund(u64::MAX);
        let admitted = ledger.admit(1, ledger.capacity(), Patience::Never);
        let Ok(Admission::Admitted(tasks)) = admitted else {
            panic!("an empty ledger holds a task of its capacity: {admitted:?}");
        };
        if ledger.capacity() < u64::MAX {
            let all = ledger.acquire(tasks[0], ledger.capacity(), Patience::Never);
            assert_eq!(all, Acquire::Granted);
        }
    }
}

impl Foretold {
    fn funds(&self) -> u128 {
        self.reference.funds.map_or(0, |funds| funds + self.reference.due)
    }
}

impl Rules {
    fn ask(&mut self, claim: Claim, patient: bool) -> Answer {
        let patience = if patient { Patience::UnderHalfShare } else { Patience::Never };
        let token = match claim {
            Claim::Request { task, bytes } => {
                match self.ledger.acquire(self.tasks[task], word(bytes), patience) {
                    Acquire::Granted => return Answer::Granted,
                    Acquire::Unfunded(missing) => return Answer::Unfunded(missing.into()),
                    Acquire::Refused(shortfall) => {
                        assert_eq!(shortfall.requested, word(bytes));
                        assert_eq!(shortfall.capacity, self.ledger.capacity());
                        return Answer::Refused { available: shortfall.available.into() };
                    }
                    Acquire::Wait(token) => token,
                }
            }
            Claim::Admission { count, minimum } => {
                let count = u32::try_from(count).expect("a few");
                match self.ledger.admit(count, word(minimum), patience) {
                    Ok(Admission::Admitted(tasks)) => {
                        self.tasks.extend(tasks);
                        return Answer::Granted;
                    }
                    Ok(Admission::Wait(token)) => token,
                    Err(_) => return Answer::Refused { available: 0 },
                }
            }
        };
        self.tokens.push(token);
        Answer::Queued(self.tokens.len() - 1)
    }

    fn poll(&mut self, number: usize, claim: Claim) -> Answer {
        let token = self.tokens[number];
        let status = match claim {
            Claim::Request { .. } => self.ledger.poll(token),
            Claim::Admission { count, .. } => {
                let (status, tasks) = self.ledger.poll_admission(token);
                let expected = if status == WaitStatus::Granted { count } else { 0 };
                assert_eq!(tasks.len() as u128, expected);
                self.tasks.extend(tasks);
                status
            }
        };
        match status {
            WaitStatus::Granted => Answer::Granted,
            WaitStatus::Waiting => Answer::Waiting,
            WaitStatus::Unfunded(missing) => Answer::Unfunded(missing.into()),
            WaitStatus::Refused(why) => Answer::Refused { available: why.available.into() },
            WaitStatus::Gone => Answer::Gone,
        }
    }

    /// What is granted beyond a promise leaves room for all who wait for memory.
    fn check_no_overtaking(foretold: &Foretold, step: Step) {
        let reference = &foretold.reference;
        let (Step::Ask(Claim::Request { task, .. }, _), Some(Answer::Granted)) =
            (step, foretold.answer)
        else {
            return;
        };
        let it = reference.tasks[task];
        let claimed = reference
            .claimed(reference.queue.len(), |waiter| matches!(waiter.claim, Claim::Request { .. }));
        let is_promised =
            it.granted <= it.minimum || foretold.granted_before == reference.granted();
        assert!(
            is_promised || reference.committed() + claimed <= reference.capacity,
            "{step:?} overtook those who wait"
        );
    }

    /// A promise can be met while the capacity holds it.
    fn check_promises(&self, foretold: &Foretold) {
        let reference = &foretold.reference;
        for task in foretold.present() {
            let Task { granted, minimum, .. } = reference.tasks[task];
            let promised = minimum.saturating_sub(granted);
            if promised > 0 && reference.granted() + promised <= reference.capacity {
                let mut ledger = self.ledger.clone();
                let answer = ledger.acquire(self.tasks[task], word(promised), Patience::Never);
                assert!(
                    matches!(answer, Acquire::Granted | Acquire::Unfunded(_)),
                    "task {task} was promised {promised} more: {answer:?}"
                );
            }
        }
    }

    /// A new request in the place of one who waits would wait as well, or ask the host.
    fn check_nobody_waits_in_vain(&self, foretold: &Foretold) {
        let queue = &foretold.reference.queue;
        for (place, waiter) in queue.iter().enumerate() {
            if waiter.outcome.is_some() {
                continue;
            }
            let mut copy = Self {
                ledger: self.ledger.clone(),
                tasks: self.tasks.clone(),
                tokens: self.tokens.clone(),
            };
            let told = copy.poll(waiter.number, waiter.claim);
            for behind in queue[place..].iter().rev().filter(|waiter| waiter.outcome.is_none()) {
                copy.ledger.cancel(self.tokens[behind.number]);
            }
            let anew = match copy.ask(waiter.claim, true) {
                Answer::Queued(_) => Answer::Waiting,
                answer => answer,
            };
            assert!(
                told == anew || told == Answer::Granted,
                "waiter {} is told {told:?}, but would be told {anew:?}",
                waiter.number
            );
        }
    }
}

fn word(bytes: u128) -> u64 {
    u64::try_from(bytes).expect("a ledger's figure")
}
