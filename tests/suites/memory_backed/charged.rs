//! A directory in memory that is paid for: page by page, before the write, until the file is gone;
//! and runs that go elsewhere when nothing is left to pay with.

use std::sync::Arc;

use arrow_schema::DataType;
use bywash::node::FilesystemKind;
use bywash::{
    ChargeMode, Codec, ErrorKind, Figure, FsStore, MemoryBacked, MemoryLedger, SpillDirs,
    SpillOptions, Store, minimum_budget,
};
use bywash_spill::DirMask;
use bywash_tests::case::{Charge, IdShape, Placement, ShuffleCase, admit};
use bywash_tests::dirs::on_disk;
use bywash_tests::faults::{Fault, FaultStore, Repeat};
use bywash_tests::generate::{ColumnPlan, Plan};
use bywash_tests::mounts::Mounted;
use bywash_tests::seed::run_seed;

/// On a real tmpfs: what is charged is what the filesystem says it uses.
#[test]
fn what_is_charged_is_what_a_tmpfs_takes() {
    let Some(tmpfs) = Mounted::tmpfs("what_is_charged_is_what_a_tmpfs_takes", "16m") else {
        return;
    };
    let ledger = MemoryLedger::new(1 << 20);
    let dirs = open(tmpfs.path(), &ledger);
    let used = || {
        let stat = rustix::fs::statvfs(tmpfs.path()).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    };
    let before = used();
    let mut file = dirs.create(DirMask::default()).unwrap();
    let mut end = 0;
    for bytes in [1, 4094, 1, 1, 70_000, 4096, 12_287] {
        file.write_all_at(&vec![1; bytes], end).unwrap();
        end += bytes as u64;
        assert_eq!(ledger.granted(), used() - before, "{bytes} bytes more");
        assert_eq!(ledger.live(), ledger.granted());
        assert_eq!(dirs.dirs()[0].charged_bytes, ledger.granted());
    }
    let granted = ledger.granted();
    let error = file.write_all_at(&vec![1; 1 << 20], end).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemoryLimit);
    assert_eq!(error.figure(Figure::Available), Some((1 << 20) - granted));
    assert_eq!(error.figure(Figure::Budget), Some(1 << 20));
    let text = error.to_string();
    assert!(text.contains("raise the budget"), "{text}");
    assert!(text.contains(tmpfs.path().to_str().unwrap()), "{text}");
    assert_eq!((ledger.granted(), used() - before), (granted, granted), "nothing is written");
    file.write_all_at(&[2; 10], 0).unwrap();
    drop(file);
    assert_eq!((ledger.granted(), ledger.live(), used()), (0, 0, before));
}

#[test]
fn a_filesystem_whose_files_cannot_be_written_is_refused_also_when_paid_for() {
    let root = on_disk();
    let store = FaultStore::new(fs()).pretending(root.path(), FilesystemKind::Hugetlbfs);
    let ledger = MemoryLedger::unlimited();
    let memory_backed = MemoryBacked::Charge(admit(&ledger, 0).unwrap().consumer("files"));
    let options = SpillOptions { memory_backed, ..SpillOptions::default() };
    let paths = [root.path().to_path_buf()];
    let error = SpillDirs::open(Arc::new(store), &paths, options).unwrap_err();
    assert!(error.to_string().contains("hugetlbfs"), "{error}");
}

/// The disk fails once, so that runs go to memory; when what pays for them is used up they go to
/// the disk again. The rows are the same whatever there is, and nothing stays charged.
#[test]
fn runs_go_to_another_directory_when_nothing_is_left_to_pay() {
    let case = case();
    let input = case.input();
    let minimum = minimum_budget(&input.spec, 1).unwrap();
    for paid in [0, 1 << 16, 1 << 20, 3 << 20, 64 << 20] {
        let root = on_disk();
        let [memory, disk] = ["memory", "disk"].map(|name| root.path().join(name));
        let store = FaultStore::new(fs()).pretending(&memory, FilesystemKind::Tmpfs);
        let store = Arc::new(store);
        let paying = MemoryLedger::new(paid);
        let memory_backed = MemoryBacked::Charge(admit(&paying, 0).unwrap().consumer("files"));
        let options = SpillOptions { memory_backed, ..SpillOptions::default() };
        let dyn_store: Arc<dyn Store> = Arc::<FaultStore>::clone(&store);
        let mut dirs = case.dirs();
        dirs.spill = SpillDirs::open(dyn_store, &[memory, disk], options).unwrap();
        let mut file = dirs.spill.create(DirMask::default()).unwrap();
        assert_eq!(file.dir().get(), 1, "a directory on a disk comes first");
        store.arm(0, Fault::IO, Repeat::Once);
        file.write_all_at(b"x", 0).unwrap_err();
        drop(file);
        store.disarm();

        let ledger = MemoryLedger::new(minimum);
        let task = admit(&ledger, minimum).unwrap();
        let output = case.write(&input, &dirs, &task).unwrap();
        let [memory, disk] = &dirs.spill.dirs()[..] else { panic!("two directories") };
        println!(
            "{paid} bytes to pay with: {} to memory in {} files, {} refused; {} to disk",
            memory.written_bytes_total,
            memory.files_total,
            memory.refusals_total,
            disk.written_bytes_total
        );
        assert!(memory.files_total > 0);
        assert_eq!(memory.written_bytes_total > 0, paid > 0);
        assert_eq!(memory.refusals_total > 0, disk.written_bytes_total > 0);
        assert_eq!(disk.written_bytes_total == 0, paid == 64 << 20, "all fits at the end");
        assert_eq!((memory.charged_bytes, memory.files, disk.files), (0, 0, 0));
        assert!(paying.peak_granted() <= paid && paying.peak_live() <= paying.peak_granted());
        assert_eq!((paying.granted(), paying.live()), (0, 0));

        let reading = MemoryLedger::unlimited();
        let reader = admit(&reading, 0).unwrap();
        input.check(&output, &reader, ChargeMode::Detached).unwrap();
    }
}

/// Alone, a directory in memory whose budget is used up is an error that says what to do.
#[test]
fn without_another_directory_it_is_an_error() {
    let case = case();
    let input = case.input();
    let minimum = minimum_budget(&input.spec, 1).unwrap();
    let root = on_disk();
    let store = FaultStore::new(fs()).pretending(root.path(), FilesystemKind::Ramfs);
    let ledger = MemoryLedger::new(2 * minimum);
    let task = admit(&ledger, minimum).unwrap();
    let memory_backed = MemoryBacked::Charge(admit(&ledger, 0).unwrap().consumer("spill files"));
    let options = SpillOptions { memory_backed, ..SpillOptions::default() };
    let mut dirs = case.dirs();
    dirs.spill = SpillDirs::open(Arc::new(store), &[root.path().to_path_buf()], options).unwrap();
    let error = case.write(&input, &dirs, &task).unwrap_err();
    for part in ["requested", "available", "budget", "add a directory on a disk"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(error.contains(root.path().to_str().unwrap()), "{error}");
    assert!(ledger.peak_granted() <= ledger.capacity());
    drop(task);
    assert_eq!((ledger.granted(), ledger.live()), (0, 0));
}

fn open(path: &std::path::Path, ledger: &MemoryLedger) -> Arc<SpillDirs> {
    let memory_backed = MemoryBacked::Charge(admit(ledger, 0).unwrap().consumer("spill files"));
    let options = SpillOptions { memory_backed, ..SpillOptions::default() };
    SpillDirs::open(fs(), &[path.to_path_buf()], options).unwrap()
}

fn fs() -> Arc<dyn Store> {
    Arc::new(FsStore::new())
}

/// Some MiB that are spilled at the minimum.
fn case() -> ShuffleCase {
    let types = [DataType::Int64, DataType::Utf8];
    ShuffleCase {
        plan: Plan {
            seed: run_seed(),
            columns: (0..).zip(types).map(|(label, t)| ColumnPlan::plain(t, label)).collect(),
            batch_rows: vec![10_000; 20],
            metadata: false,
        },
        partitions: 20,
        placement: Placement::Ids(IdShape::Uniform),
        codec: Codec::None,
        budget_above_minimum: 0,
        spill_percent: 0,
        named: false,
        charge: Charge::Ledger,
    }
}
