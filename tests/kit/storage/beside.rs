//! Sweeps beside a live writer in another process, paused at its operations: nothing is taken from
//! it, and its rows are right.
//!
//! One child goes through all chosen operations; it says where it is on its standard error and waits
//! for a line on its standard input.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::failing::NOTHING;
use super::ground::{Ground, Variant, is_lock, is_session};
use super::killed::{argument, parse};
use super::points::{Covered, Points};
use super::workload::Workload;
use crate::faults::{Fault, Repeat};

/// Sweeps while the child is paused before each of the chosen operations. `command` makes a command
/// that hands its argument to [`super::child`].
pub fn everywhere(
    workload: &Workload,
    variant: Variant,
    points: Points,
    command: &dyn Fn(&str) -> Command,
) -> Covered {
    let record = super::killed::record(workload, variant);
    let chosen = points.choose(&record);
    let mut covered = Covered::default();
    covered.add(&chosen, &record);
    let roots: Vec<Ground> = chosen.iter().map(|_| Ground::new(variant)).collect();
    let mut child = command(MODE)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut orders = child.stdin.take().expect("a pipe");
    let mut answers = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut answer = |wanted: &str| {
        let mut seen = String::new();
        loop {
            match answers.next() {
                Some(Ok(line)) if line.contains(wanted) => return,
                Some(Ok(line)) => seen = seen + &line + "\n",
                _ => panic!("the child ended before `{wanted}`: {seen}"),
            }
        }
    };
    for (&at, ground) in chosen.iter().zip(&roots) {
        let place = format!("{}, {variant:?}: paused at operation {at}", workload.name());
        let order = argument(workload, ground, (at, Fault::Kill));
        writeln!(orders, "{order}").expect("the child lives");
        answer(PAUSED);
        let before = held(ground);
        ground.sweep();
        assert_eq!(held(ground), before, "{place}");
        writeln!(orders, "go on").expect("the child lives");
        answer(DONE);
        assert_eq!(ground.committed(workload), workload.commits(), "{place}");
        assert_eq!(ground.left_when_closed(workload), NOTHING, "{place}");
    }
    drop(orders);
    assert!(child.wait().expect("the child").success());
    covered
}

/// What the second process does: attempts, each paused once.
pub(super) fn child() {
    let mut orders = std::io::stdin().lines();
    while let Some(order) = orders.next() {
        let (workload, ground, (at, _)) = parse(&order.expect("an order"));
        let store = ground.store();
        store.arm(at, Fault::Pause, Repeat::Once);
        std::thread::scope(|scope| {
            let attempt = scope.spawn(|| {
                let dirs = ground.open(&store).expect("directories");
                let attempt = workload.attempt();
                let output = workload.write(&attempt, &dirs, 1).expect("an attempt");
                workload.check(&output).expect("the right rows");
                drop(output);
                attempt.end().expect("the ledger");
                drop(dirs);
            });
            assert!(store.wait_paused(), "the attempt has this operation");
            eprintln!("{PAUSED}");
            orders.next().expect("an order").expect("an order");
            store.resume();
            attempt.join().expect("an attempt");
        });
        eprintln!("{DONE}");
    }
}

/// What a live writer has there. A session is taken by a sweep only while it is being born, empty
/// and not yet locked; its maker then makes another one.
fn held(ground: &Ground) -> Vec<PathBuf> {
    let mut held = ground.entries();
    let locked: Vec<PathBuf> = held
        .iter()
        .filter(|path| is_lock(path))
        .filter(|lock| is_locked(&ground.path().join(lock)))
        .filter_map(|lock| lock.parent().map(PathBuf::from))
        .collect();
    held.retain(|path| {
        let session = if is_session(path) {
            Some(path.as_path())
        } else {
            path.parent().filter(|parent| is_session(parent))
        };
        session.is_none_or(|session| locked.iter().any(|locked| locked == session))
    });
    held
}

fn is_locked(lock: &std::path::Path) -> bool {
    let Ok(file) = std::fs::File::open(lock) else {
        return false;
    };
    let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    rustix::fs::flock(&file, operation).is_err()
}

/// The argument that stands for this module's child.
pub(super) const MODE: &str = "beside";
const PAUSED: &str = "the attempt is paused";
const DONE: &str = "the attempt is done";
