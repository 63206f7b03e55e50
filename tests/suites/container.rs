//! The container as it really is: in a memory cgroup made for a child of this test, its limit, its
//! figures and the governor's answer to a limit that falls and a process that grows beside us.
//!
//! Needs root and a memory controller; says so where it is skipped.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test prints its figures and fails by panicking"
)]

use std::io::{Read, Seek, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bywash_core::memory::{Area, MemoryLedger};
use bywash_node::{
    Budget, Cause, Container, Declared, Governor, GovernorOptions, GroupMemory, Signal,
};
use bywash_tests::{alloc, cgroup, child, skipped};

bywash_tests::install_counting_allocator!();

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 256 * MIB;
const CHILD: &str = "sees_its_own_group_in_a_child";
const NEIGHBOUR: &str = "holds_memory_in_a_child";

#[test]
fn a_process_in_a_group_sees_its_limit_and_its_figures() {
    const NAME: &str = "a_process_in_a_group_sees_its_limit_and_its_figures";
    if let Err(why) = cgroup::run_limited(LIMIT, Path::new("true"), &[], &[]) {
        return skipped(NAME, &why);
    }
    // Not the system's directory, which may be memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let arguments = ["--exact", CHILD, "--nocapture", "--test-threads", "1"];
    let variables = [(child::VARIABLE, dir.path().to_str().unwrap())];
    let limited = cgroup::run_limited(LIMIT, &child::executable(), &arguments, &variables).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        limited.output.status.success(),
        "{}\n{}{}",
        limited.output.status,
        text(&limited.output.stdout),
        text(&limited.output.stderr)
    );
    assert_eq!(limited.oom_kills, 0);
    println!("{}", text(&limited.output.stdout));
}

#[test]
fn sees_its_own_group_in_a_child() {
    let Some(dir) = child::argument() else {
        return;
    };
    let mut container = Container::find("/").unwrap();
    assert!(container.sees_own_group());
    let (group, limit) = {
        let seen = container.observe().unwrap();
        let (group, limit) = seen.tightest_limit().unwrap();
        (group.path.to_string(), limit)
    };
    assert_eq!(limit, LIMIT, "of {group}");

    figures_move_by_what_is_done(&mut container, Path::new(&dir));
    room_is_left_for_what_is_declared(&mut container);
    the_governor_follows(container, Path::new(&group));
}

/// A process beside us: holds the MiB it is told, once it has them, until its input ends.
#[test]
fn holds_memory_in_a_child() {
    let Some(mebibytes) = child::argument().and_then(|text| text.parse::<usize>().ok()) else {
        return;
    };
    let held = std::hint::black_box(vec![1u8; mebibytes << 20]);
    println!("\nholding");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(held);
}

/// Anonymous memory, a file on disk, a file in memory: each moves its own figure and no other.
fn figures_move_by_what_is_done(container: &mut Container, dir: &Path) {
    let before = own(container);
    let anon = std::hint::black_box(vec![1u8; 64 << 20]);
    let grown = own(container);
    assert_near(grown.anon - before.anon, 64 * MIB, "anon of a touched vector");
    assert_near(grown.shmem, before.shmem, "shmem beside it");
    let process = container.observe().unwrap().process.unwrap();
    assert!(process.anon >= 64 * MIB, "{process:?}");
    drop(anon);

    let before = own(container);
    let mut file = tempfile::tempfile_in(dir).unwrap();
    file.write_all(&vec![1; 48 << 20]).unwrap();
    file.sync_all().unwrap();
    file.rewind().unwrap();
    let cached = own(container);
    assert_near(cached.file - before.file, 48 * MIB, "page cache of a written file");
    assert_near(cached.unreclaimable(), before.unreclaimable(), "what cannot be dropped");
    assert_near(cached.working_set(), cached.usage - cached.inactive_file, "working set");
    assert!(cached.working_set() + 40 * MIB < cached.usage, "{cached:?}");

    let memory = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut memory = std::fs::File::from(memory);
    memory.write_all(&vec![1; 16 << 20]).unwrap();
    let shared = own(container);
    assert_near(shared.shmem - cached.shmem, 16 * MIB, "shmem of a file in memory");
    assert_near(shared.unreclaimable() - cached.unreclaimable(), 16 * MIB, "unreclaimable");
    println!("{shared:?}");
}

fn room_is_left_for_what_is_declared(container: &mut Container) {
    let none = Declared { margin: 16 * MIB, ..Declared::default() };
    let all = Budget::from_container(container, none).unwrap();
    assert_eq!((all.explanation.signal, all.explanation.limit), (Signal::GroupLimit, LIMIT));
    let others = LIMIT - 16 * MIB - all.capacity;
    assert!(others < 32 * MIB, "{}", all.explanation);

    let jvm = Declared { heap: 100 * MIB, python: 20 * MIB, ..none };
    let rest = Budget::from_container(container, jvm).unwrap();
    assert_near(rest.capacity, LIMIT - 120 * MIB - 16 * MIB, "beside a heap not touched yet");
    // Touched, it does not count twice.
    let heap = std::hint::black_box(vec![1u8; 80 << 20]);
    let touched = Budget::from_container(container, jvm).unwrap();
    assert_near(touched.capacity, rest.capacity, "beside a heap in use");
    drop(heap);

    let error = Budget::from_container(container, Declared { heap: LIMIT, ..none }).unwrap_err();
    assert!(error.to_string().contains("raise the limit"), "{error}");
    println!("{error}\n{}", rest.explanation);
}

fn the_governor_follows(container: Container, group: &Path) {
    let declared = Declared { margin: 16 * MIB, ..Declared::default() };
    let options = GovernorOptions { floor: 8 * MIB, ..GovernorOptions::default() };
    let mut governor = Governor::new(container, declared, options).unwrap();
    let ledger = MemoryLedger::unlimited();
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let consumer = task.consumer("test");
    let mut at = 0;
    let mut poll = |ledger: &MemoryLedger| {
        at += 1;
        governor.poll(Duration::from_secs(at), ledger).unwrap()
    };
    let first = poll(&ledger);
    assert_eq!((first.cause, first.over), (Cause::Tightest, 0));
    assert!(first.new_capacity < LIMIT - 16 * MIB, "{first:?}");

    // What the ledger takes is not others'; polling needs no memory.
    let mut area = Area::try_new(&consumer, 100 << 20).unwrap();
    let untouched = poll(&ledger);
    area.fill(1);
    let (touched, refusals) = alloc::refuse(|| poll(&ledger));
    assert_eq!(refusals.count, 0, "{refusals:?}");
    // What the process itself has besides passes for the area's until that is touched: no more than that.
    let own = first.explanation.process.unwrap().resident();
    let seen = untouched.explanation.ceiling.saturating_sub(own);
    assert_near(seen.max(first.new_capacity), first.new_capacity, "with an area not touched");
    assert!(untouched.explanation.ceiling + 6 * MIB > first.new_capacity, "{untouched:?}");
    assert_near(touched.explanation.ceiling, first.new_capacity, "with one that is");

    let mut neighbour = child::command(NEIGHBOUR, "60")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = neighbour.stdout.take().unwrap();
    wait_for("holding", &mut output);
    let beside = poll(&ledger);
    assert_near(touched.new_capacity - beside.new_capacity, 60 * MIB, "a process beside us");
    println!("{}", beside.explanation);
    drop(neighbour.stdin.take());
    output.read_to_end(&mut Vec::new()).unwrap();
    assert!(neighbour.wait().unwrap().success());
    let steady = poll(&ledger);
    assert_eq!(steady.cause, Cause::Steady, "grows back only after a while: {steady:?}");
    assert!(steady.explanation.ceiling > beside.new_capacity + 40 * MIB, "{steady:?}");

    // The limit falls below what is granted.
    let file = ["memory.limit_in_bytes", "memory.max"].map(|name| group.join(name));
    let file = file.iter().find(|file| file.exists()).unwrap();
    std::fs::write(file, (112 * MIB).to_string()).unwrap();
    let fallen = poll(&ledger);
    assert_eq!((fallen.cause, fallen.explanation.limit), (Cause::Tightest, 112 * MIB));
    assert!(fallen.over > 0, "{fallen:?}");
    assert_eq!(fallen.over, 100 * MIB - fallen.new_capacity);
    println!("over {} of a capacity of {}", fallen.over, fallen.new_capacity);
}

fn own(container: &mut Container) -> GroupMemory {
    *container.observe().unwrap().own_memory().unwrap().1
}

fn wait_for(word: &str, mut output: impl Read) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(word.as_bytes()) {
        assert_eq!(output.read(&mut byte).unwrap(), 1, "the child ended");
        seen.push(byte[0]);
    }
}

/// Within what the kernel batches per CPU and the test itself uses.
fn assert_near(found: u64, expected: u64, what: &str) {
    assert!(found.abs_diff(expected) <= 6 * MIB, "{what}: {found}, expected {expected}");
}
