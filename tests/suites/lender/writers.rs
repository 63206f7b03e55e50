//! Real writers over a host that does as it pleases: whatever it does, outputs are right or an error
//! is the one it gave, and everything comes back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bywash::{
    AttemptId, Codec, Error, ErrorKind, LedgerOptions, MapId, MemoryLedger, ShuffleWriter,
    waiting_ledger,
};
use bywash_tests::case::{IdShape, Input, ShuffleCase, admit};
use bywash_tests::hoard::Hoard;
use bywash_tests::lender::{Lender, Loan};
use bywash_tests::seed::{Rng, run_seed};
use bywash_tests::watchdog;

use crate::rules::lent;

const TASKS: u64 = 4;
const STUCK: Duration = Duration::from_secs(120);
const MESSAGE: &str = "the host wants this to stop";

/// What came of the shuffles of one ledger.
#[derive(Debug, Default)]
struct Outcomes {
    right: AtomicU64,
    /// Ended with the host's error.
    stopped: AtomicU64,
    /// The host had nothing even for the smallest writer.
    unmade: AtomicU64,
}

/// Shuffles on several threads over one ledger that `lender` lends, while another thread reclaims.
fn shuffle(lender: &Arc<Lender>, seed: u64, waits: bool, rounds: u64) -> Outcomes {
    let outcomes = Outcomes::default();
    let jobs: Vec<(ShuffleCase, Input)> = (0..TASKS).map(|index| job(seed, index)).collect();
    let parent: Arc<Lender> = Arc::clone(lender);
    let capacity = 24 << 20;
    let options = if waits {
        waiting_ledger(capacity, Duration::from_secs(30))
    } else {
        LedgerOptions::new(capacity)
    };
    let slack = Rng::labelled(seed, &[1]).below(3) << 18;
    let ledger = MemoryLedger::with_options(LedgerOptions {
        parent: Some(parent),
        parent_slack: slack,
        ..options
    });
    lender.watch(&ledger);
    let ended = AtomicBool::new(false);
    watchdog::within(
        STUCK,
        || format!("{lender:?}\n{}", ledger.explain()),
        || {
            std::thread::scope(|scope| {
                let tasks: Vec<_> = jobs
                    .iter()
                    .map(|(case, input)| {
                        let (ledger, outcomes) = (&ledger, &outcomes);
                        scope.spawn(move || {
                            (0..rounds).for_each(|_| one(case, input, ledger, outcomes));
                        })
                    })
                    .collect();
                let reclaims = scope.spawn(|| {
                    let mut rng = Rng::labelled(seed, &[2]);
                    while !ended.load(Ordering::Relaxed) {
                        let bytes = *rng.pick(&[1, 300_000, 4 << 20, u64::MAX]);
                        assert!(ledger.reclaim(bytes) <= bytes);
                        std::thread::park_timeout(Duration::from_micros(200));
                    }
                });
                let joined: Vec<_> =
                    tasks.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
                ended.store(true, Ordering::Relaxed);
                reclaims.join().unwrap();
                joined.into_iter().collect::<Result<(), _>>().unwrap();
            });
        },
    );
    assert_eq!((ledger.granted(), ledger.live(), ledger.exported()), (0, 0, 0));
    assert!(ledger.peak_granted() <= capacity && ledger.peak_live() <= ledger.peak_granted());
    assert!(lender.lent() <= slack, "{} lent, nothing granted", lender.lent());
    lender.settle();
    drop(ledger);
    lender.check_settled().unwrap();
    println!("{outcomes:?} {:?}", lender.books());
    outcomes
}

fn job(seed: u64, index: u64) -> (ShuffleCase, Input) {
    let mut rng = Rng::labelled(seed, &[0, index]);
    let batch_rows = (0..rng.within(2, 5)).map(|_| rng.index(30_000)).collect();
    let shape = *rng.pick(&[IdShape::Uniform, IdShape::Skewed, IdShape::Runs]);
    let case = ShuffleCase {
        codec: *rng.pick(&[Codec::None, Codec::Lz4]),
        spill_percent: *rng.pick(&[0, 10]),
        ..ShuffleCase::simple(rng.bits(), batch_rows, shape)
    };
    let input = case.input();
    (case, input)
}

fn one(case: &ShuffleCase, input: &Input, ledger: &MemoryLedger, outcomes: &Outcomes) {
    let dirs = case.dirs();
    let task = admit(ledger, 0).unwrap();
    let count = match case.write(input, &dirs, &task) {
        Ok(output) => {
            let reading = MemoryLedger::new(64 << 20);
            let reader = admit(&reading, 0).unwrap();
            input.check(&output, &reader, case.charge.into()).unwrap();
            &outcomes.right
        }
        Err(error) if error.contains(MESSAGE) => {
            assert!(error.contains("[Unavailable]") || error.contains("[Cancelled]"), "{error}");
            &outcomes.stopped
        }
        Err(error) => {
            assert!(error.starts_with("new: ") && error.contains("[MemoryLimit]"), "{error}");
            &outcomes.unmade
        }
    };
    count.fetch_add(1, Ordering::Relaxed);
    assert!(dirs.spill_files().is_empty(), "{:?}", dirs.spill_files());
}

#[test]
fn loans_in_parts_and_none_at_all() {
    for (case, waits) in [(0, false), (1, true), (2, false), (3, true)] {
        let lender = Lender::new(run_seed() + case, 10, |asked, rng| match rng.below(10) {
            0..3 => Loan::UpTo(rng.below(asked + 1)),
            3 => Loan::Nothing,
            _ => Loan::All,
        });
        let outcomes = shuffle(&lender, run_seed() + case, waits, 4);
        assert!(outcomes.right.into_inner() > 0);
        assert_eq!(outcomes.stopped.into_inner(), 0);
        assert!(lender.books().stinted > 0);
        assert!(lender.books().reclaimed > 0, "its reclaims on the asking thread freed nothing");
    }
}

/// A host of little memory, so that most requests end in a spill.
#[test]
fn a_host_of_its_own_limit() {
    let pool = Arc::new(AtomicU64::new(0));
    let lender = Lender::new(run_seed(), 5, move |asked, _| {
        // It only grows more generous: what matters is that it is far too little at first.
        Loan::UpTo(pool.fetch_add(4096, Ordering::Relaxed).min(asked))
    });
    let outcomes = shuffle(&lender, run_seed() + 10, false, 12);
    assert!(outcomes.right.into_inner() > 0);
}

#[test]
fn errors_of_the_host_are_the_writers() {
    for (case, kind) in (20..).zip([ErrorKind::Cancelled, ErrorKind::Unavailable]) {
        let lender = Lender::new(run_seed() + case, 10, move |asked, rng| match rng.below(8) {
            0 => Loan::Fail(Error::new(kind, MESSAGE)),
            1 => Loan::UpTo(rng.below(asked + 1)),
            _ => Loan::All,
        });
        let outcomes = shuffle(&lender, run_seed() + case, case == 21, 10);
        assert!(outcomes.right.into_inner() > 0);
        assert!(outcomes.stopped.into_inner() > 0);
    }
}

/// A request is answered when another one has come, or nobody is left who could.
#[test]
fn a_late_answer_keeps_nobody_from_asking() {
    let meeting = Arc::new(Meeting::of(4));
    let met = Arc::clone(&meeting);
    let lender = Lender::new(run_seed(), 0, move |asked, _| {
        met.wait_for_another();
        Loan::UpTo(asked)
    });
    let ledger = lent(&lender, 0);
    watchdog::within(
        STUCK,
        || ledger.explain().to_string(),
        || {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let task = admit(&ledger, 0).unwrap();
                        let consumer = task.consumer("late");
                        for bytes in 1..=4 {
                            let held = consumer.reserve(bytes * 1000).unwrap();
                            assert_eq!(held.granted(), bytes * 1000);
                        }
                        drop((consumer, task));
                        meeting.leave();
                    });
                }
            });
        },
    );
    assert!(meeting.pairs() > 0, "two requests were in the host at once");
    lender.settle();
    drop(ledger);
    lender.check_settled().unwrap();
}

/// Where callers wait for one another in pairs, as long as more than one may come.
struct Meeting {
    state: Mutex<MeetingState>,
    changed: Condvar,
}

struct MeetingState {
    /// Those who may still come.
    expected: usize,
    is_one_waiting: bool,
    pairs: u64,
}

impl Meeting {
    fn of(expected: usize) -> Self {
        let state = MeetingState { expected, is_one_waiting: false, pairs: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn wait_for_another(&self) {
        let mut state = self.state.lock().unwrap();
        if state.is_one_waiting {
            state.is_one_waiting = false;
            state.pairs += 1;
            self.changed.notify_all();
            return;
        }
        state.is_one_waiting = true;
        let pairs = state.pairs;
        let alone = |state: &mut MeetingState| state.pairs == pairs && state.expected > 1;
        let mut state = self.changed.wait_while(state, alone).unwrap();
        if state.pairs == pairs {
            state.is_one_waiting = false;
        }
    }

    fn leave(&self) {
        self.state.lock().unwrap().expected -= 1;
        self.changed.notify_all();
    }

    fn pairs(&self) -> u64 {
        self.state.lock().unwrap().pairs
    }
}

/// The host calls back from within its own functions while tasks end and others look at them.
#[test]
fn a_host_reclaims_from_within_release_while_tasks_end() {
    let lender = Lender::new(run_seed(), 60, |_, _| Loan::All);
    let ledger = lent(&lender, 0);
    let ended = AtomicBool::new(false);
    watchdog::within(
        STUCK,
        || lender.books().asked.to_string(),
        || {
            std::thread::scope(|scope| {
                let looking = scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        drop(ledger.holders());
                        ledger.reclaim(1);
                    }
                });
                for _ in 0..3000 {
                    let task = admit(&ledger, 0).unwrap();
                    let hoard = Hoard::new(&task, "short-lived", true);
                    let held = hoard.consumer().reserve(1000).unwrap();
                    drop(task);
                    drop((held, hoard));
                }
                ended.store(true, Ordering::Relaxed);
                looking.join().unwrap();
            });
        },
    );
    lender.settle();
    drop(ledger);
    lender.check_settled().unwrap();
}

/// The writer had taken the host's word for want of memory, spilled, and gone on.
#[test]
fn an_error_of_the_host_ends_the_write_that_asked() {
    for kind in [ErrorKind::Cancelled, ErrorKind::Unavailable] {
        let stopping = Arc::new(AtomicBool::new(false));
        let lender = Lender::new(1, 0, {
            let stopping = Arc::clone(&stopping);
            move |_, _| {
                let stops = stopping.load(Ordering::SeqCst);
                if stops { Loan::Fail(Error::new(kind, MESSAGE)) } else { Loan::All }
            }
        });
        let ledger = lent(&lender, 0);
        let case = ShuffleCase::simple(run_seed(), vec![200_000; 3], IdShape::Uniform);
        let (input, dirs) = (case.input(), case.dirs());
        let task = admit(&ledger, 0).unwrap();
        let (map, attempt) = (MapId(1), AttemptId(0));
        let mut writer =
            ShuffleWriter::new(&input.spec, &task, &dirs.spill, &dirs.out, map, attempt).unwrap();
        stopping.store(true, Ordering::SeqCst);
        let mut batches = input.batches.iter().zip(&input.ids);
        let refused = batches.find_map(|(batch, ids)| writer.write_with_ids(batch, ids).err());
        let error = refused.unwrap();
        assert_eq!((error.kind(), error.message()), (kind, MESSAGE));
        assert!(writer.finish().is_err());
        drop(task);
        assert_eq!((ledger.granted(), ledger.live(), lender.lent()), (0, 0, 0));
        assert!(dirs.spill_files().is_empty() && dirs.out_files().is_empty());
        lender.settle();
        drop(ledger);
        lender.check_settled().unwrap();
    }
}
