use super::*;

const NEVER: Patience = Patience::Never;
const PATIENT: Patience = Patience::UnderHalfShare;

fn admit(state: &mut LedgerState, count: u32, minimum: u64) -> Result<Vec<TaskId>> {
    match state.admit(count, minimum, NEVER)? {
        Admission::Admitted(tasks) => Ok(tasks),
        Admission::Wait(_) => unreachable!("without patience nobody waits"),
    }
}

fn admit_one(state: &mut LedgerState, minimum: u64) -> TaskId {
    admit(state, 1, minimum).unwrap()[0]
}

fn wait(state: &mut LedgerState, task: TaskId, bytes: u64) -> WaitToken {
    match state.acquire(task, bytes, PATIENT) {
        Acquire::Wait(token) => token,
        other => unreachable!("it must wait, not {other:?}"),
    }
}

#[test]
fn a_promise_is_kept_against_other_tasks() {
    let mut state = LedgerState::new(100);
    let (first, second) = (admit_one(&mut state, 30), admit_one(&mut state, 30));
    assert_eq!(state.acquire(first, 50, NEVER), Acquire::Granted);
    assert!(matches!(state.acquire(first, 1, NEVER), Acquire::Refused(_)));
    assert_eq!(state.acquire(second, 50, NEVER), Acquire::Granted);
    assert_eq!(state.granted(), 100);
    assert!(admit(&mut state, 1, 1).is_err());
}

#[test]
fn tasks_are_admitted_together_or_not_at_all() {
    let mut state = LedgerState::new(100);
    assert!(admit(&mut state, 4, 26).is_err());
    assert_eq!((state.share(), state.granted()), (100, 0));
    let tasks = admit(&mut state, 4, 25).unwrap();
    assert_eq!(state.share(), 25);
    for task in tasks {
        assert_eq!(state.acquire(task, 25, NEVER), Acquire::Granted);
    }
}

#[test]
fn a_share_below_a_minimum_is_refused() {
    let mut state = LedgerState::new(100);
    admit_one(&mut state, 60);
    let error = admit(&mut state, 1, 10).unwrap_err();
    assert_eq!(error.figure(Figure::Available), Some(50));
}

#[test]
fn only_tasks_that_hold_memory_share() {
    let mut state = LedgerState::new(100);
    let (first, second) = (admit_one(&mut state, 0), admit_one(&mut state, 0));
    assert_eq!(state.acquire(first, 100, NEVER), Acquire::Granted);
    assert_eq!(state.share(), 100);
    state.release(first, 60);
    assert_eq!(state.acquire(second, 20, NEVER), Acquire::Granted);
    assert_eq!(state.share(), 50);
    assert!(matches!(state.acquire(first, 11, NEVER), Acquire::Refused(_)));
    state.release(second, 20);
    assert_eq!(state.acquire(first, 60, NEVER), Acquire::Granted);
}

#[test]
fn an_ended_task_leaves_its_buffers_exported_and_its_share_to_others() {
    let mut state = LedgerState::new(100);
    let (first, second) = (admit_one(&mut state, 0), admit_one(&mut state, 0));
    assert_eq!(state.acquire(first, 40, NEVER), Acquire::Granted);
    state.end(first);
    assert_eq!(state.exported(), 40);
    assert_eq!(state.acquire(second, 60, NEVER), Acquire::Granted);
    state.release(first, 40);
    assert_eq!((state.exported(), state.granted()), (0, 60));
}

#[test]
fn waits_under_half_a_share_and_is_served_in_order() {
    let mut state = LedgerState::new(100);
    let (first, second) = (admit_one(&mut state, 0), admit_one(&mut state, 0));
    let third = admit_one(&mut state, 0);
    assert_eq!(state.acquire(first, 100, NEVER), Acquire::Granted);
    let second = (second, wait(&mut state, second, 20));
    let third = (third, wait(&mut state, third, 20));
    state.release(first, 30);
    assert!(state.take_answered());
    assert_eq!(state.poll(second.1), WaitStatus::Granted);
    assert_eq!(state.poll(second.1), WaitStatus::Gone);
    assert_eq!(state.poll(third.1), WaitStatus::Waiting);
    assert_eq!(state.granted_to(second.0), 20);
    // What the queued ask for is set aside.
    assert!(matches!(state.acquire(second.0, 1, NEVER), Acquire::Refused(_)));
    state.release(first, 10);
    assert_eq!(state.poll(third.1), WaitStatus::Granted);
    assert_eq!(state.granted_to(third.0), 20);
}

#[test]
fn a_waiter_that_may_wait_no_longer_is_told() {
    let mut state = LedgerState::new(100);
    let (first, second) = (admit_one(&mut state, 0), admit_one(&mut state, 0));
    assert_eq!(state.acquire(first, 95, NEVER), Acquire::Granted);
    let little = wait(&mut state, second, 10);
    let much = wait(&mut state, second, 45);
    state.release(first, 5);
    assert_eq!(state.poll(little), WaitStatus::Granted);
    // 10 and 45 are above its share of 50.
    assert!(matches!(state.poll(much), WaitStatus::Refused(_)));
    let fits = wait(&mut state, second, 40);
    state.set_capacity(96);
    assert!(matches!(state.poll(fits), WaitStatus::Refused(_)));
    assert_eq!(state.poll(fits), WaitStatus::Gone);
}

#[test]
fn a_fallen_capacity_is_a_target() {
    let mut state = LedgerState::new(100);
    let task = admit_one(&mut state, 0);
    assert_eq!(state.acquire(task, 80, NEVER), Acquire::Granted);
    state.set_capacity(50);
    assert_eq!((state.granted(), state.capacity()), (80, 50));
    assert!(matches!(state.acquire(task, 1, NEVER), Acquire::Refused(_)));
    state.release(task, 40);
    assert_eq!(state.acquire(task, 10, NEVER), Acquire::Granted);
    assert!(matches!(state.acquire(task, 1, NEVER), Acquire::Refused(_)));
    state.set_capacity(60);
    assert_eq!(state.acquire(task, 10, NEVER), Acquire::Granted);
}

#[test]
fn an_admission_waits_for_its_turn() {
    let mut state = LedgerState::new(100);
    let first = admit_one(&mut state, 60);
    assert!(state.admit(1, 101, PATIENT).is_err());
    let Admission::Wait(token) = state.admit(2, 40, PATIENT).unwrap() else {
        unreachable!("it must wait")
    };
    assert_eq!(state.poll_admission(token), (WaitStatus::Waiting, Vec::new()));
    // Those who come later do not overtake.
    assert!(admit(&mut state, 1, 20).is_err());
    state.end(first);
    let (status, tasks) = state.poll_admission(token);
    assert_eq!((status, tasks.len(), state.share()), (WaitStatus::Granted, 2, 50));
}

#[test]
fn lent_memory_is_asked_for_and_given_back() {
    let mut state = LedgerState::lent(100);
    let task = admit_one(&mut state, 0);
    assert_eq!(state.acquire(task, 30, NEVER), Acquire::Unfunded(30));
    state.fund(20);
    assert_eq!(state.acquire(task, 30, NEVER), Acquire::Unfunded(10));
    state.fund(15);
    assert_eq!(state.acquire(task, 30, NEVER), Acquire::Granted);
    assert_eq!(state.idle(), 5);
    state.owe(10);
    assert_eq!((state.idle(), state.lent_bytes()), (0, Some(35)));
    assert_eq!(state.acquire(task, 5, NEVER), Acquire::Unfunded(5));
    state.release(task, 10);
    assert_eq!(state.acquire(task, 5, NEVER), Acquire::Granted);
    assert_eq!(state.take_due(20), 10);
    state.owe_no_more(0);
    assert_eq!((state.granted(), state.lent_bytes(), state.idle()), (25, Some(25), 0));
}

#[test]
fn a_waiter_whose_turn_has_come_asks_the_host() {
    let mut state = LedgerState::lent(100);
    let (first, second) = (admit_one(&mut state, 0), admit_one(&mut state, 0));
    state.fund(100);
    assert_eq!(state.acquire(first, 100, NEVER), Acquire::Granted);
    let token = wait(&mut state, second, 20);
    state.owe(50);
    state.release(first, 60);
    assert_eq!(state.poll(token), WaitStatus::Unfunded(10));
    assert_eq!(state.take_due(50), 50);
    state.owe_no_more(0);
    assert_eq!(state.poll(token), WaitStatus::Unfunded(10));
    state.fund(10);
    assert_eq!(state.poll(token), WaitStatus::Granted);
}

/// What is lent while the host takes back is for who asked; the host had it a moment before.
#[test]
fn a_loan_during_a_reclaim_is_not_taken_back_by_it() {
    let mut state = LedgerState::lent(100);
    let task = admit_one(&mut state, 0);
    state.fund(50);
    assert_eq!(state.acquire(task, 50, NEVER), Acquire::Granted);
    state.owe(30);
    assert_eq!(state.acquire(task, 10, NEVER), Acquire::Unfunded(10));
    state.fund(10);
    assert_eq!(state.take_due(30), 0);
    assert_eq!(state.acquire(task, 10, NEVER), Acquire::Granted);
    state.release(task, 20);
    assert_eq!((state.idle(), state.take_due(15)), (0, 15));
    state.owe_no_more(15);
    assert_eq!((state.granted(), state.lent_bytes(), state.idle()), (40, Some(45), 5));
    state.release(task, 40);
    assert_eq!(state.idle(), 45);
}

/// A task waited behind an admission that waited for the end of that very task.
#[test]
fn a_task_does_not_wait_for_an_admission_that_waits_for_it() {
    let mut state = LedgerState::new(100);
    let first = admit_one(&mut state, 10);
    // 60 are free, but no share of two tasks is 60.
    let Ok(Admission::Wait(token)) = state.admit(1, 60, PATIENT) else {
        unreachable!("it must wait")
    };
    assert_eq!(state.acquire(first, 55, PATIENT), Acquire::Granted);
    // Above half its share it does not wait, and may not take what the admission waits for.
    assert!(matches!(state.acquire(first, 10, PATIENT), Acquire::Refused(_)));
    state.end(first);
    assert_eq!(state.poll_admission(token).0, WaitStatus::Waiting);
    state.release(first, 55);
    assert_eq!(state.poll_admission(token).0, WaitStatus::Granted);
}

#[test]
fn a_waiter_whose_task_reached_half_its_share_is_told_at_once() {
    let mut state = LedgerState::new(100);
    let first = admit_one(&mut state, 0);
    assert_eq!(state.acquire(first, 70, NEVER), Acquire::Granted);
    let second = admit_one(&mut state, 30);
    let token = wait(&mut state, second, 36);
    // Its promise is its own whatever it waits for.
    assert_eq!(state.acquire(second, 30, NEVER), Acquire::Granted);
    assert!(state.take_answered());
    assert!(matches!(state.poll(token), WaitStatus::Refused(_)));
}

/// An admission's turn had come, another one overtook it into room it had no claim on, and then it
/// was not told that its turn had come again.
#[test]
fn an_admission_whose_turn_comes_twice_is_told_twice() {
    let mut state = LedgerState::new(100);
    let first = admit_one(&mut state, 70);
    let Ok(Admission::Wait(token)) = state.admit(1, 40, PATIENT) else {
        unreachable!("it must wait")
    };
    state.end(first);
    assert!(state.take_answered());
    let others = admit(&mut state, 2, 20).unwrap();
    assert_eq!(state.poll_admission(token).0, WaitStatus::Waiting);
    for task in others {
        state.end(task);
    }
    assert!(state.take_answered());
    assert_eq!(state.poll_admission(token).0, WaitStatus::Granted);
}

#[test]
fn an_admission_that_a_fallen_capacity_cannot_hold_is_told() {
    let mut state = LedgerState::new(100);
    let first = admit_one(&mut state, 30);
    let Ok(Admission::Wait(token)) = state.admit(2, 40, PATIENT) else {
        unreachable!("it must wait")
    };
    state.set_capacity(70);
    assert!(state.take_answered());
    // What it asked for is no longer set aside.
    assert_eq!(state.acquire(first, 70, NEVER), Acquire::Granted);
    let (status, tasks) = state.poll_admission(token);
    assert!(matches!(status, WaitStatus::Refused(why) if why.available == 35), "{status:?}");
    assert!(tasks.is_empty());
    assert_eq!(state.poll_admission(token).0, WaitStatus::Gone);
}

#[test]
fn what_a_refused_waiter_could_have_had_does_not_count_its_own_claim() {
    let mut state = LedgerState::new(100);
    let (first, second) = (admit_one(&mut state, 0), admit_one(&mut state, 0));
    assert_eq!(state.acquire(first, 60, NEVER), Acquire::Granted);
    let token = wait(&mut state, second, 50);
    state.set_capacity(98);
    assert!(matches!(state.poll(token), WaitStatus::Refused(why) if why.available == 38));
    state.end(first);
    let refused = state.acquire(first, 1, NEVER);
    assert!(matches!(refused, Acquire::Refused(why) if why.available == 0), "it has ended");
}

#[test]
fn no_bytes_need_no_host() {
    let mut state = LedgerState::lent(100);
    let task = admit_one(&mut state, 0);
    state.fund(10);
    assert_eq!(state.acquire(task, 10, NEVER), Acquire::Granted);
    state.owe(10);
    assert_eq!(state.acquire(task, 0, NEVER), Acquire::Granted);
}

#[test]
fn nobody_waits_for_more_than_can_be() {
    let mut state = LedgerState::new(u64::MAX);
    let task = admit_one(&mut state, 0);
    assert_eq!(state.acquire(task, 1, NEVER), Acquire::Granted);
    assert!(matches!(state.acquire(task, u64::MAX, PATIENT), Acquire::Refused(_)));
}

/// A task ended that had been granted what it waited for, and had not looked.
#[test]
fn what_an_ended_task_never_collected_is_the_hosts_that_takes_back() {
    let mut state = LedgerState::lent(100);
    let (first, second) = (admit_one(&mut state, 0), admit_one(&mut state, 0));
    state.fund(100);
    assert_eq!(state.acquire(first, 90, NEVER), Acquire::Granted);
    let _token = wait(&mut state, second, 20);
    state.release(first, 20);
    state.owe(40);
    state.end(second);
    assert_eq!((state.idle(), state.take_due(40)), (0, 30));
}
