//! The whole account, in random steps: tasks, consumers that spill or do not, reservations,
//! buffers handed out, and a host in every mood. The model is sums: what is held is added up after
//! every step, and the ledger, its tasks and consumers and the host must all say the same.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bywash_core::ErrorKind;
use bywash_core::memory::{
    Birth, Block, BlockOwner, ChargeMode, LedgerOptions, MemoryLedger, Reservation,
    SPILL_RECORDS_MAX, TaskMemory,
};
use bywash_core::port::{Clock, MemoryParent, Park};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use super::fakes::{Holder, HostMood, Lender, SpillMood};
use crate::seed::Rng;

/// One step. A number chooses one of those there are; with none, nothing happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Admit(usize, u64),
    NewConsumer(usize, SpillMood),
    Mood(usize, SpillMood),
    Reserve(usize, u64, How),
    Grow(usize, u64),
    Shrink(usize, u64),
    SetLive(usize, u64),
    Give(usize),
    Birth(usize, u64),
    EndBirth(usize),
    MakeBlock(usize, u64, u64),
    HandOut(usize, ChargeMode),
    DropOwner(usize),
    DropConsumer(usize),
    DropTask(usize),
    Reclaim(u64),
    SetCapacity(u64),
    HostMood(HostMood),
}

/// How a reservation is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    IfFree,
    Now,
    Patiently,
}

/// How an account is made, and in which order all is dropped at its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    capacity: u64,
    is_lent: bool,
    slack: u64,
    has_clock: bool,
    drop_order: u64,
}

pub(super) struct Steps;

impl ReferenceStateMachine for Steps {
    type State = Setup;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Setup> {
        (10u64..400, any::<bool>(), 0u64..40, any::<bool>(), any::<u64>())
            .prop_map(|(capacity, is_lent, slack, has_clock, drop_order)| Setup {
                capacity,
                is_lent,
                slack,
                has_clock,
                drop_order,
            })
            .boxed()
    }

    fn transitions(_: &Setup) -> BoxedStrategy<Step> {
        let one = || 0usize..8;
        let amount = || prop_oneof![8 => 0u64..60, 4 => 0u64..200, 1 => Just(u64::MAX / 2)];
        let how = prop_oneof![Just(How::IfFree), Just(How::Now), Just(How::Patiently)];
        let mode = prop_oneof![
            Just(ChargeMode::Ledger),
            Just(ChargeMode::Host),
            Just(ChargeMode::Detached)
        ];
        prop_oneof![
            4 => (1usize..4, prop_oneof![Just(0u64), 0u64..60]).prop_map(|(n, m)| Step::Admit(n, m)),
            5 => (one(), SpillMood::any()).prop_map(|(n, mood)| Step::NewConsumer(n, mood)),
            2 => (one(), SpillMood::any()).prop_map(|(n, mood)| Step::Mood(n, mood)),
            14 => (one(), amount(), how).prop_map(|(n, bytes, how)| Step::Reserve(n, bytes, how)),
            4 => (one(), amount()).prop_map(|(n, bytes)| Step::Grow(n, bytes)),
            4 => (one(), amount()).prop_map(|(n, bytes)| Step::Shrink(n, bytes)),
            4 => (one(), 0u64..=4).prop_map(|(n, quarters)| Step::SetLive(n, quarters)),
            3 => one().prop_map(Step::Give),
            2 => (one(), amount()).prop_map(|(n, bytes)| Step::Birth(n, bytes)),
            2 => one().prop_map(Step::EndBirth),
            5 => (one(), 0u64..80, 0u64..8).prop_map(|(n, b, more)| Step::MakeBlock(n, b, more)),
            5 => (one(), mode).prop_map(|(n, mode)| Step::HandOut(n, mode)),
            4 => one().prop_map(Step::DropOwner),
            2 => one().prop_map(Step::DropConsumer),
            2 => one().prop_map(Step::DropTask),
            4 => amount().prop_map(Step::Reclaim),
            3 => (0u64..400).prop_map(Step::SetCapacity),
            4 => HostMood::any().prop_map(Step::HostMood),
        ]
        .boxed()
    }

    fn apply(setup: Setup, _: &Step) -> Setup {
        setup
    }
}

/// The account and all that is held.
pub(super) struct Account {
    ledger: MemoryLedger,
    lender: Option<Arc<Lender>>,
    slack: u64,
    /// Task number and handle.
    tasks: Vec<(u64, TaskMemory)>,
    holders: Vec<(u64, Arc<Holder>)>,
    blocks: Vec<Made<Block>>,
    owners: Vec<Made<Arc<BlockOwner>>>,
    births: Vec<(Arc<Holder>, Birth)>,
    granted_most: u64,
    /// By buffers, without a word to the ledger: it gives them to the host when next it is asked.
    returned: u64,
    spills: u64,
}

/// A block or its owner, what it is charged, and by whom.
struct Made<T> {
    value: T,
    bytes: u64,
    task: u64,
    holder: Arc<Holder>,
    mode: Option<ChargeMode>,
}

impl StateMachineTest for Account {
    type SystemUnderTest = Self;
    type Reference = Steps;

    fn init_test(setup: &Setup) -> Self {
        let lender = setup.is_lent.then(Lender::new);
        let ledger = MemoryLedger::with_options(LedgerOptions {
            parent: lender.clone().map(|lender| lender as Arc<dyn MemoryParent>),
            parent_slack: setup.slack,
            clock: setup.has_clock.then(|| Arc::new(Still) as Arc<dyn Clock>),
            park: setup.has_clock.then(|| Arc::new(Still) as Arc<dyn Park>),
            // Queues, looks once, and gives up.
            patience: Duration::ZERO,
            ..LedgerOptions::new(setup.capacity)
        });
        if let Some(lender) = &lender {
            lender.set_ledger(Some(ledger.clone()));
        }
        Self {
            ledger,
            lender,
            slack: setup.slack,
            tasks: Vec::new(),
            holders: Vec::new(),
            blocks: Vec::new(),
            owners: Vec::new(),
            births: Vec::new(),
            granted_most: 0,
            returned: 0,
            spills: 0,
        }
    }

    fn apply(mut account: Self, _: &Setup, step: Step) -> Self {
        let before = account.ledger.granted();
        account.step(step);
        let granted = account.ledger.granted();
        account.granted_most = account.granted_most.max(granted);
        assert!(granted <= before.max(account.ledger.capacity()), "{granted} were granted");
        account
    }

    fn check_invariants(account: &Self, _: &Setup) {
        account.check();
    }

    /// Everything is dropped in any order.
    fn teardown(account: Self, setup: Setup) {
        let Self { ledger, lender, tasks, holders, blocks, owners, births, .. } = account;
        if let Some(lender) = &lender {
            lender.set_ledger(None);
        }
        let kept = setup.drop_order.is_multiple_of(2).then(|| ledger.clone());
        let mut all: Vec<Box<dyn Debug>> = vec![Box::new(ledger)];
        all.extend(tasks.into_iter().map(|task| Box::new(task) as _));
        for holder in &holders {
            assert!(holder.1.held().iter().all(|one| one.granted() >= one.live()));
        }
        let mut rng = Rng::new(setup.drop_order);
        let mut drops: Vec<Box<dyn FnOnce()>> = Vec::new();
        drops.extend(all.into_iter().map(|one| Box::new(move || drop(one)) as _));
        drops.extend(holders.into_iter().map(|one| Box::new(move || drop(one)) as _));
        drops.extend(blocks.into_iter().map(|one| Box::new(move || drop(one)) as _));
        drops.extend(owners.into_iter().map(|one| Box::new(move || drop(one)) as _));
        drops.extend(births.into_iter().map(|one| Box::new(move || drop(one)) as _));
        while !drops.is_empty() {
            drops.swap_remove(rng.index(drops.len()))();
        }
        if let Some(ledger) = kept {
            let now = ledger.snapshot();
            assert_eq!((now.granted, now.live, now.exported, now.tasks), (0, 0, 0, 0), "{now:?}");
            assert_eq!(ledger.holders(), []);
            drop(ledger.admit(1, ledger.capacity()).expect("an empty ledger"));
        }
        if let Some(lender) = lender {
            assert_eq!(lender.lent(), 0, "the host has all of it back");
            assert_eq!(Arc::strong_count(&lender), 1, "the ledger is gone");
        }
    }
}

impl Account {
    fn step(&mut self, step: Step) {
        match step {
            Step::Admit(count, minimum) => {
                if let Ok(tasks) = self.ledger.admit(count, minimum) {
                    assert_eq!(tasks.len(), count);
                    self.tasks.extend(tasks.into_iter().map(|task| (task.number(), task)));
                }
            }
            Step::NewConsumer(which, mood) => {
                let names = ["writer", "reader", "sorter"];
                let name = names[self.holders.len() % names.len()];
                if let Some((number, task)) = chosen(&self.tasks, which) {
                    self.holders.push((*number, Holder::new(task.consumer(name), mood)));
                }
            }
            Step::Mood(which, mood) => {
                if let Some((_, holder)) = chosen(&self.holders, which) {
                    holder.set_mood(mood);
                }
            }
            Step::Reserve(which, bytes, how) => self.reserve(which, bytes, how),
            Step::Grow(which, bytes) => self.with_reservation(which, |holder, reservation| {
                let before = reservation.granted();
                let is_granted = reservation.try_grow(bytes).is_ok();
                let grown = if is_granted { holder.used(bytes) } else { 0 };
                assert_eq!(reservation.granted(), before + grown);
            }),
            Step::Shrink(which, bytes) => self.with_reservation(which, |_, reservation| {
                let (granted, live) = (reservation.granted(), reservation.live());
                reservation.shrink(bytes);
                assert_eq!(reservation.granted(), granted.saturating_sub(bytes).max(live));
            }),
            Step::SetLive(which, quarters) => self.with_reservation(which, |_, reservation| {
                reservation.set_live(reservation.granted() / 4 * quarters);
            }),
            Step::Give(which) => {
                if let Some((_, holder)) = chosen(&self.holders, which) {
                    holder.give();
                }
            }
            Step::Birth(which, bytes) => {
                if let Some((_, holder)) = chosen(&self.holders, which).cloned()
                    && self.births.iter().all(|(other, _)| !Arc::ptr_eq(other, &holder))
                    && let Ok(birth) = holder.consumer.begin_birth(bytes)
                {
                    holder.born_with(bytes);
                    self.births.push((holder, birth));
                }
            }
            Step::EndBirth(which) => {
                if let Some((holder, birth)) = taken(&mut self.births, which) {
                    drop(birth);
                    holder.born();
                }
            }
            Step::MakeBlock(which, bytes, more) => {
                if let Some((task, holder)) = chosen(&self.holders, which).cloned() {
                    let len = usize::try_from(bytes).expect("a length");
                    if let Ok(value) = Block::try_new_to_keep(&holder.consumer, len, more) {
                        let bytes = holder.used(bytes + more);
                        self.blocks.push(Made { value, bytes, task, holder, mode: None });
                    }
                }
            }
            Step::HandOut(which, mode) => self.hand_out(which, mode),
            Step::DropOwner(which) => {
                let owner = taken(&mut self.owners, which);
                self.returned += owner.map_or(0, |owner| owner.bytes);
            }
            Step::DropConsumer(which) => drop(taken(&mut self.holders, which)),
            Step::DropTask(which) => drop(taken(&mut self.tasks, which)),
            Step::Reclaim(bytes) => self.reclaim(bytes),
            Step::SetCapacity(bytes) => {
                let over = self.ledger.set_capacity(bytes);
                assert_eq!(over, self.ledger.granted().saturating_sub(bytes));
                self.check_marks(over);
            }
            Step::HostMood(mood) => {
                if let Some(lender) = &self.lender {
                    lender.set_mood(mood);
                }
            }
        }
        self.spills = self.spills.max(self.ledger.explain().spills.len() as u64);
    }

    fn reserve(&self, which: usize, bytes: u64, how: How) {
        let Some((task, holder)) = chosen(&self.holders, which) else {
            return;
        };
        let consumer = &holder.consumer;
        let outcome = match how {
            How::IfFree => consumer.try_reserve(bytes),
            How::Now => consumer.reserve_now(bytes),
            How::Patiently => consumer.reserve(bytes),
        };
        match outcome {
            Ok(reservation) => {
                assert_eq!(reservation.granted(), bytes);
                holder.used(bytes);
                holder.keep(reservation);
            }
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::MemoryLimit | ErrorKind::Cancelled),
                    "{error}"
                );
                let is_asked =
                    !matches!(how, How::IfFree) && error.kind() == ErrorKind::MemoryLimit;
                let others = self.holders.iter().filter(|(its, other)| {
                    its == task && !Arc::ptr_eq(holder, other) && other.gives_all()
                });
                if is_asked && self.lender.is_none() {
                    let kept: u64 = others.map(|(_, other)| other.reclaimable()).sum();
                    assert_eq!(kept, 0, "refused, and others of the task were not asked");
                }
            }
        }
    }

    fn with_reservation(&self, which: usize, change: impl FnOnce(&Holder, &mut Reservation)) {
        let with_some: Vec<_> =
            self.holders.iter().filter(|(_, holder)| !holder.held().is_empty()).collect();
        if let Some((_, holder)) = chosen(&with_some, which) {
            // Whoever asks it now finds it busy.
            change(holder, holder.held().last_mut().expect("one at least"));
            holder.update();
        }
    }

    fn hand_out(&mut self, which: usize, mode: ChargeMode) {
        let Some(Made { value, bytes, task, holder, .. }) = taken(&mut self.blocks, which) else {
            return;
        };
        let owner = value.into_owner(mode);
        // Without a host nobody else is charged.
        let is_hosts = mode == ChargeMode::Host && self.lender.is_some();
        let mode = match mode {
            ChargeMode::Host if !is_hosts => ChargeMode::Ledger,
            mode => mode,
        };
        if mode != ChargeMode::Detached {
            self.owners.push(Made { value: owner, bytes, task, holder, mode: Some(mode) });
        }
    }

    fn reclaim(&self, bytes: u64) {
        let (granted, lent) = (self.ledger.granted(), self.lender.as_ref().map(|host| host.lent()));
        let given = self.ledger.reclaim(bytes);
        if let (Some(lender), Some(lent)) = (&self.lender, lent) {
            assert!(given <= bytes, "the host was given more than it asked for");
            if !lender.takes_back() {
                // More than it asked for comes as surplus.
                assert!(lent - lender.lent() >= given, "less than the host was told");
            }
        } else {
            assert_eq!(granted - self.ledger.granted(), given);
        }
        if given < bytes {
            let kept: u64 = self
                .holders
                .iter()
                .filter(|(_, holder)| holder.gives_all())
                .map(|(_, holder)| holder.reclaimable())
                .sum();
            assert_eq!(kept, 0, "{given} of {bytes} came back, and {kept} are idle");
            let takes_back = self.lender.as_ref().is_some_and(|lender| lender.takes_back());
            assert!(takes_back || self.idle() == 0, "{given} of {bytes} came back");
        }
    }

    /// Those who could give what is over were asked.
    fn check_marks(&self, over: u64) {
        let mut asked: u128 = 0;
        let mut is_somebody_left = false;
        for holder in self.everybody() {
            let reclaimable = holder.reclaimable();
            if holder.consumer.is_wanted() {
                asked += u128::from(reclaimable);
            } else {
                is_somebody_left |= reclaimable > 0;
            }
        }
        assert!(asked >= u128::from(over) || !is_somebody_left, "{asked} of {over} were asked for");
    }

    fn idle(&self) -> u64 {
        let now = self.ledger.snapshot();
        if self.lender.is_some() { now.lent - now.granted } else { 0 }
    }

    /// What is held adds up to what everybody says.
    fn check(&self) {
        let owners = |mode| self.owners.iter().filter(move |owner| owner.mode == Some(mode));
        let exported: u64 = owners(ChargeMode::Ledger).map(|owner| owner.bytes).sum();
        let hosts: u64 = owners(ChargeMode::Host).map(|owner| owner.bytes).sum();
        let (mut granted, mut live) = (exported, exported);
        for holder in self.everybody() {
            let blocks = self.blocks.iter().filter(|block| Arc::ptr_eq(&block.holder, holder));
            let blocks: u64 = blocks.map(|block| block.bytes).sum();
            let (held_granted, held_live) = holder.figures();
            assert_eq!(holder.consumer.granted(), held_granted + blocks, "a consumer's granted");
            assert_eq!(holder.consumer.live(), held_live + blocks, "a consumer's live");
            assert!(holder.consumer.peak() >= holder.consumer.granted());
            granted += held_granted + blocks;
            live += held_live + blocks;
        }
        let now = self.ledger.snapshot();
        assert_eq!(now.exported, exported, "exported");
        assert_eq!(now.granted, granted, "granted");
        assert_eq!(now.live, live, "live");
        assert_eq!((now.granted, now.live), (self.ledger.granted(), self.ledger.live()));
        assert!(now.live <= now.granted && now.granted <= now.peak_granted);
        self.check_host(&now, hosts);
        self.check_explanation(now.peak_granted);
    }

    /// All that hold anything, those too that a block or buffer of theirs keeps.
    fn everybody(&self) -> Vec<&Arc<Holder>> {
        let mut everybody: Vec<&Arc<Holder>> = Vec::new();
        let listed = self.holders.iter().map(|(_, holder)| holder);
        let of_births = self.births.iter().map(|(holder, _)| holder);
        let of_blocks = self.blocks.iter().map(|block| &block.holder);
        let of_owners = self.owners.iter().map(|owner| &owner.holder);
        for holder in listed.chain(of_births).chain(of_blocks).chain(of_owners) {
            if everybody.iter().all(|known| !Arc::ptr_eq(known, holder)) {
                everybody.push(holder);
            }
        }
        everybody
    }

    fn check_host(&self, now: &bywash_core::memory::LedgerSnapshot, hosts: u64) {
        match &self.lender {
            Some(lender) => {
                assert_eq!(lender.lent(), now.lent + hosts, "the host's books");
                assert!(now.granted <= now.lent);
                let idle = now.lent - now.granted;
                assert!(idle <= self.slack + self.returned, "{idle} lie idle");
            }
            None => assert_eq!((now.lent, now.borrowed, hosts), (0, 0, 0)),
        }
    }

    fn check_explanation(&self, peak_granted: u64) {
        let explanation = self.ledger.explain();
        let at_peak: u64 = explanation.peak.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(at_peak, peak_granted, "{:?}", explanation.peak);
        assert!(self.granted_most <= peak_granted);
        let holders: u64 = explanation.holders.iter().map(|holder| holder.granted).sum();
        assert_eq!(holders, explanation.granted, "{:?}", explanation.holders);
        for (number, task) in &self.tasks {
            let its = explanation.holders.iter().filter(|holder| holder.task == *number);
            assert_eq!(task.granted(), its.map(|holder| holder.granted).sum::<u64>());
        }
        let spills = &explanation.spills;
        assert!(spills.len() <= SPILL_RECORDS_MAX && spills.len() as u64 >= self.spills);
        assert!(spills.windows(2).all(|two| two[0].number + 1 == two[1].number));
    }
}

impl<T> Debug for Made<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} B of task {}", self.bytes, self.task)
    }
}

fn chosen<T>(all: &[T], which: usize) -> Option<&T> {
    all.get(which % all.len().max(1))
}

fn taken<T>(all: &mut Vec<T>, which: usize) -> Option<T> {
    let place = which % all.len().max(1);
    (place < all.len()).then(|| all.remove(place))
}

/// A clock that stands; nobody sleeps, for patience is over at once.
struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl Park for Still {
    fn epoch(&self) -> u64 {
        0
    }

    fn park(&self, _: u64, _: Option<Duration>) {
        panic!("patience was over");
    }

    fn unpark_all(&self) {}
}
