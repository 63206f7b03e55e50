//! Sessions and sweeps between processes: killed ones, live ones, and ones being born.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bywash_core::{AttemptId, MapId};
use bywash_spill::{
    DirMask, OutputDir, OutputOptions, SpillDirs, SpillOptions, Store, StoreOp, SweepMode,
    SweepReport, index_name, sweep_outputs, sweep_sessions,
};
use bywash_tests::faults::{Fault, FaultStore, Repeat};

use crate::output::{WAYS, check_whole, commit, index_names, open};
use crate::places::{NOTHING, entries, fault_store, fs_store};

/// Not a test of its own: what the other tests run in a second process.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let path = PathBuf::from(std::env::var_os(DIR).unwrap());
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    match role.as_str() {
        "hold" => {
            let options = SpillOptions { named: true, ..SpillOptions::default() };
            let paths = std::slice::from_ref(&path);
            let dirs = SpillDirs::open(fs_store(), paths, options).unwrap();
            let mut file = dirs.create(DirMask::default()).unwrap();
            file.write_all_at(b"still in use", 0).unwrap();
            let out = open(fs_store(), &path, SweepMode::Locked);
            let mut data = out.create().unwrap();
            data.write_all_at(&[7; 100], 0).unwrap();
            let name = out.data_name(MapId(5), AttemptId(0)).unwrap();
            assert_eq!(data.publish(&name).unwrap(), bywash_spill::Publish::Done);
            eprintln!("{READY}");
            loop {
                std::thread::park();
            }
        }
        "commit" => {
            let way = WAYS[usize::try_from(number(WAY)).unwrap()];
            let fault = if number(AFTER) == 1 { Fault::KillAfter } else { Fault::Kill };
            let faults = Arc::new(FaultStore::lacking(fs_store(), way));
            let store: Arc<dyn Store> = Arc::<FaultStore>::clone(&faults);
            faults.arm(number(AT), fault, Repeat::Once);
            let out = open(store, &path, SweepMode::Locked);
            commit(&out, MapId(1), AttemptId(number(AT))).unwrap();
        }
        other => panic!("no role {other}"),
    }
}

#[test]
fn a_sweep_takes_what_a_killed_process_left_and_nothing_of_a_live_one() {
    let root = bywash_tests::dirs::on_disk();
    let mut child = start("hold", root.path(), &[]);
    wait_ready(&mut child);
    let held = entries(root.path());
    assert_eq!(held.len(), 6, "two sessions, two locks, a run, a data file: {held:?}");

    for mode in [SweepMode::Off, SweepMode::Locked, SweepMode::Forced] {
        let report = sweep(root.path(), mode);
        assert_eq!((report.sessions, report.files, report.failed), (0, 0, 0), "{mode:?}");
        assert_eq!(report.live, if mode == SweepMode::Off { 0 } else { 2 });
        assert_eq!(entries(root.path()), held);
    }
    // Nor do the directories of a second process at their opening and closing.
    let paths = [root.path().to_path_buf()];
    drop(SpillDirs::open(fs_store(), &paths, SpillOptions::default()).unwrap());
    assert_eq!(entries(root.path()), held);

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(entries(root.path()), held);
    assert_eq!(sweep(root.path(), SweepMode::Off), SweepReport::default());
    let report = sweep(root.path(), SweepMode::Locked);
    assert_eq!((report.sessions, report.files, report.live, report.failed), (2, 2, 0, 0));
    assert_eq!(entries(root.path()), NOTHING);
}

#[test]
fn a_sweep_of_the_same_process_takes_nothing_live() {
    let root = bywash_tests::dirs::on_disk();
    let paths = [root.path().to_path_buf()];
    let options = SpillOptions { named: true, ..SpillOptions::default() };
    let dirs = SpillDirs::open(fs_store(), &paths, options.clone()).unwrap();
    let file = dirs.create(DirMask::default()).unwrap();
    let before = entries(root.path());
    let again = SpillDirs::open(fs_store(), &paths, options).unwrap();
    assert_eq!(sweep(root.path(), SweepMode::Locked).live, 2);
    drop(again);
    assert_eq!(entries(root.path()), before);
    drop((dirs, file));
    assert_eq!(entries(root.path()), NOTHING);
}

#[test]
fn without_locks_a_sweep_is_only_on_request() {
    let root = bywash_tests::dirs::on_disk();
    let mut child = start("hold", root.path(), &[]);
    wait_ready(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let left = entries(root.path());
    let store = FaultStore::lacking(fs_store(), &[StoreOp::TryLock]);
    let dir = store.open_dir(root.path()).unwrap();
    let report = sweep_outputs(&store, &dir, SweepMode::Locked, index_names).unwrap();
    assert_eq!((report.without_lock, report.sessions, report.files), (2, 0, 0));
    assert_eq!(entries(root.path()), left);
    let report = sweep_outputs(&store, &dir, SweepMode::Forced, index_names).unwrap();
    assert_eq!((report.sessions, report.files), (2, 2));
    assert_eq!(entries(root.path()), NOTHING);
}

/// The process killed before and after every operation of a commit, opening and closing included.
#[test]
fn killed_at_every_operation() {
    for way in 0..WAYS.len() {
        for after in [0, 1] {
            for at in 0.. {
                let root = bywash_tests::dirs::on_disk();
                let numbers = [(WAY, way), (AFTER, after), (AT, at)];
                let child = start("commit", root.path(), &numbers);
                let finished = child.wait_with_output().unwrap().status.success();
                let out = open(fs_store(), root.path(), SweepMode::Locked);
                let committed = out.exists(&index_name(MapId(1)).unwrap()).unwrap();
                if finished {
                    assert!(committed);
                    break;
                }
                if !committed {
                    assert_eq!(entries(root.path()).len(), 2, "only our session, at {at}");
                    commit(&out, MapId(1), AttemptId(1000)).unwrap();
                }
                drop(out);
                check_whole(root.path(), &[MapId(1)]);
            }
        }
    }
}

/// Two attempts, one of them paused before each of its operations while the other one runs to its
/// end: one output, and both know which.
#[test]
fn two_attempts_racing() {
    for lacking in WAYS {
        for at in 0.. {
            let root = bywash_tests::dirs::on_disk();
            let path = root.path();
            let faults = Arc::new(FaultStore::lacking(fs_store(), lacking));
            let store: Arc<dyn Store> = Arc::<FaultStore>::clone(&faults);
            let second = open(fs_store(), path, SweepMode::Locked);
            let first = open(store, path, SweepMode::Locked);
            faults.arm(at, Fault::Pause, Repeat::Once);
            let (paused, won) = std::thread::scope(|scope| {
                let ended = &faults;
                let first = scope.spawn(move || {
                    let won = commit(&first, MapId(1), AttemptId(0)).unwrap();
                    ended.end();
                    won
                });
                let paused = faults.wait_paused();
                let won_second = commit(&second, MapId(1), AttemptId(1)).unwrap();
                faults.resume();
                (paused, [first.join().unwrap(), won_second])
            });
            drop(second);
            check_whole(path, &[MapId(1)]);
            let named = std::fs::read_to_string(path.join("1.index")).unwrap();
            let winners: Vec<String> = won.into_iter().flatten().map(|n| n.to_string()).collect();
            assert_eq!(winners, [named], "at {at}");
            if !paused {
                break;
            }
        }
    }
}

/// A sweep beside a writer that is paused before each of its operations, its birth included: what
/// it holds then is left alone, and it commits.
#[test]
fn a_sweep_at_every_moment_of_a_writer() {
    for lacking in WAYS {
        for at in 0.. {
            let root = bywash_tests::dirs::on_disk();
            let faults = Arc::new(FaultStore::lacking(fs_store(), lacking));
            let store: Arc<dyn Store> = Arc::<FaultStore>::clone(&faults);
            faults.arm(at, Fault::Pause, Repeat::Once);
            let paused = std::thread::scope(|scope| {
                let path = root.path();
                let ended = &faults;
                let writer = scope.spawn(move || {
                    let out = open(store, path, SweepMode::Locked);
                    let committed = commit(&out, MapId(1), AttemptId(0)).unwrap();
                    assert!(committed.is_some());
                    drop(out);
                    ended.end();
                });
                let paused = faults.wait_paused();
                if paused {
                    assert_eq!(sweep(path, SweepMode::Locked).failed, 0);
                    faults.resume();
                }
                writer.join().unwrap();
                paused
            });
            check_whole(root.path(), &[MapId(1)]);
            if !paused {
                break;
            }
        }
    }
}

/// A sweep that is paused before each of its operations, while a writer commits and ends: what it
/// saw as unfinished is an output by then.
#[test]
fn a_writer_that_ends_at_every_moment_of_a_sweep() {
    for at in 0.. {
        let root = bywash_tests::dirs::on_disk();
        let out = open(fs_store(), root.path(), SweepMode::Off);
        let name = out.data_name(MapId(1), AttemptId(0)).unwrap();
        let mut data = out.create().unwrap();
        data.write_all_at(&[7; 100], 0).unwrap();
        assert_eq!(data.publish(&name).unwrap(), bywash_spill::Publish::Done);
        let (faults, store) = fault_store();
        faults.arm(at, Fault::Pause, Repeat::Once);
        let path = root.path();
        let paused = std::thread::scope(|scope| {
            let ended = &faults;
            let sweeper = scope.spawn(move || {
                let dir = store.open_dir(path).unwrap();
                let report = sweep_outputs(&*store, &dir, SweepMode::Locked, index_names).unwrap();
                ended.end();
                report
            });
            let paused = faults.wait_paused();
            let mut index = out.create().unwrap();
            index.write_all_at(name.as_bytes(), 0).unwrap();
            let index_name = index_name(MapId(1)).unwrap();
            assert_eq!(index.commit(&index_name).unwrap(), bywash_spill::Publish::Done);
            data.keep();
            drop((index, out));
            faults.resume();
            assert_eq!(sweeper.join().unwrap().files, 0, "at {at}");
            paused
        });
        check_whole(path, &[MapId(1)]);
        if !paused {
            break;
        }
    }
}

/// Many sessions born and ended beside sweeps that never stop.
#[test]
fn births_beside_sweeps() {
    let root = bywash_tests::dirs::on_disk();
    let path = root.path();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        for _ in 0..2 {
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(sweep(path, SweepMode::Locked).failed, 0);
                }
            });
        }
        let writers = [0, 1].map(|map| {
            scope.spawn(move || {
                for attempt in 0..100 {
                    let options = OutputOptions { sweep: SweepMode::Off, ..Default::default() };
                    let out = OutputDir::open_with_indexes(fs_store(), path, options, index_names)
                        .unwrap();
                    let won = commit(&out, MapId(map), AttemptId(attempt)).unwrap();
                    assert_eq!(won.is_some(), attempt == 0);
                }
            })
        });
        let ends = writers.map(std::thread::ScopedJoinHandle::join);
        over.store(true, Ordering::Relaxed);
        for end in ends {
            end.unwrap();
        }
    });
    sweep(path, SweepMode::Locked);
    check_whole(path, &[MapId(0), MapId(1)]);
}

#[test]
fn an_unreadable_index_keeps_the_files_of_its_map() {
    let root = bywash_tests::dirs::on_disk();
    let token = "0123456789abcdef";
    for (name, text) in [
        (format!("1.0.{token}.data"), "kept, since the index cannot be read"),
        ("1.index".to_owned(), ""),
        (format!("2.0.{token}.data"), "named"),
        ("2.index".to_owned(), "2.0.0123456789abcdef.data"),
        (format!("2.1.{token}.data"), "not named"),
        (format!("3.0.{token}.data"), "no index"),
        ("4.0.data".to_owned(), "not ours"),
        ("schema-0".to_owned(), "not for a sweep"),
    ] {
        std::fs::write(root.path().join(name), text).unwrap();
    }
    let report = sweep(root.path(), SweepMode::Locked);
    assert_eq!((report.files, report.sessions, report.failed), (2, 0, 0));
    let left = entries(root.path());
    assert_eq!(left.len(), 6, "{left:?}");
    assert!(!left.contains(&PathBuf::from(format!("2.1.{token}.data"))));
    assert!(!left.contains(&PathBuf::from(format!("3.0.{token}.data"))));
}

#[test]
fn a_sweep_goes_on_after_what_it_cannot_remove() {
    for fault in [Fault::IO, Fault::IO_AFTER] {
        for at in 0.. {
            let root = bywash_tests::dirs::on_disk();
            for session in [".bywash-0000000000000001", ".bywash-0000000000000002"] {
                std::fs::create_dir(root.path().join(session)).unwrap();
                std::fs::write(root.path().join(session).join("lock"), "").unwrap();
                std::fs::write(root.path().join(session).join("run-0"), "").unwrap();
            }
            std::fs::create_dir(root.path().join(".bywash-0000000000000003")).unwrap();
            let (faults, store) = fault_store();
            let dir = store.open_dir(root.path()).unwrap();
            faults.arm(at, fault, Repeat::Once);
            let swept = sweep_sessions(&*store, &dir, SweepMode::Locked);
            let Some(op) = faults.fired() else {
                assert_eq!(swept.unwrap().sessions, 3);
                break;
            };
            faults.disarm();
            if let Ok(report) = swept {
                // Opening a lock that is not there fails anyway, and is no failure.
                assert_eq!(report.sessions + report.failed, 3, "{op:?}");
                assert!(report.failed <= 1, "{op:?}");
            } else {
                assert_eq!(op, StoreOp::List);
            }
            sweep(root.path(), SweepMode::Locked);
            assert_eq!(entries(root.path()), NOTHING, "{op:?} {fault:?}");
        }
    }
}

fn sweep(path: &Path, mode: SweepMode) -> SweepReport {
    let store = fs_store();
    let dir = store.open_dir(path).unwrap();
    sweep_outputs(&*store, &dir, mode, index_names).unwrap()
}

fn start(role: &str, path: &Path, numbers: &[(&str, usize)]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::child", "--nocapture"]);
    command.env(ROLE, role).env(DIR, path);
    for (name, number) in numbers {
        command.env(name, number.to_string());
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait_ready(child: &mut Child) {
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut seen = String::new();
    for line in lines.map_while(std::io::Result::ok) {
        if line.contains(READY) {
            return;
        }
        seen.push_str(&line);
        seen.push('\n');
    }
    panic!("the child ended early: {seen}");
}

const ROLE: &str = "BYWASH_STORE_CHILD";
const DIR: &str = "BYWASH_STORE_DIR";
const WAY: &str = "BYWASH_STORE_WAY";
const AFTER: &str = "BYWASH_STORE_AFTER";
const AT: &str = "BYWASH_STORE_AT";
const READY: &str = "ready";
