//! A spill, a merge of runs and a finish need no memory: they run with every allocation and
//! anonymous mapping of their thread refused, also when the storage fails under them.
//!
//! Each scenario is a child process, since Rust aborts where an allocation is refused; the child
//! prints the place first.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a test prints its figures and fails by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use arrow_schema::DataType;
use bywash::node::FilesystemKind;
use bywash::{
    AttemptId, Codec, ErrorKind, FsStore, MapId, MemoryBacked, MemoryLedger, RecordWriter,
    ShuffleWriter, SpillOptions, Store, TaskMemory, WriteProgress, minimum_budget,
};
use bywash_tests::alloc::{self, Refusals};
use bywash_tests::case::{Charge, IdShape, Input, Placement, ShuffleCase, admit};
use bywash_tests::child;
use bywash_tests::dirs::Dirs;
use bywash_tests::faults::{Fault, FaultStore, Repeat};
use bywash_tests::generate::{ColumnPlan, Plan};
use bywash_tests::records::{Lengths, RecordCall, RecordCase};
use bywash_tests::seed::run_seed;

bywash_tests::install_counting_allocator!();

const CHILD: &str = "child";
const KINDS: [(&str, Fault); 3] =
    [("error", Fault::IO), ("full", Fault::NO_SPACE), ("short", Fault::SHORT)];

#[test]
fn a_spill_a_merge_and_a_finish_need_no_memory() {
    for rows in ["columns", "records"] {
        for files in ["unnamed", "named", "charged"] {
            child::run(CHILD, &format!("{rows} {files} none"));
        }
    }
}

#[test]
fn nor_do_they_when_the_storage_fails() {
    std::thread::scope(|scope| {
        for files in ["unnamed", "named", "charged"] {
            scope.spawn(move || {
                for (kind, _) in KINDS {
                    child::run(CHILD, &format!("columns {files} {kind}"));
                    child::run(CHILD, &format!("records {files} {kind}"));
                }
            });
        }
    });
}

#[test]
fn child() {
    let Some(argument) = child::argument() else {
        return;
    };
    let (rows, rest) = argument.split_once(' ').unwrap();
    let (files, kind) = rest.split_once(' ').unwrap();
    let files = Files::of_name(files);
    let kind = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, fault)| *fault);
    for codec in [Codec::Lz4, Codec::Zstd { level: 1 }] {
        let input = match rows {
            "columns" => Written::Columns(input(codec)),
            _ => records(codec),
        };
        if kind.is_some() && codec != Codec::Lz4 {
            continue; // The storage does not know codecs.
        }
        let Some(fault) = kind else {
            // Enough spills for runs to be merged before the end.
            scenario(&input, files, 150, None);
            // A refusal of memory needs none either.
            scenario(&input, Files::Charged(0), 1, None);
            continue;
        };
        for target in [Target::Spill, Target::Finish] {
            // Each of the first operations, then some of many like each other.
            let (mut at, mut failed) = (0, 0);
            while scenario(&input, files, 3, Some((target, at, fault))) {
                at += if at < 40 { 1 } else { 7 };
                failed += 1;
            }
            assert!(failed > 0, "{target:?} has no storage operation");
            println!("{argument}: {target:?} failed at {failed} of about {at} operations");
        }
    }
}

/// Where runs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    Unnamed,
    Named,
    /// A directory that is said to be in memory, and pays from a ledger of so many bytes.
    Charged(u64),
}

impl Files {
    fn of_name(name: &str) -> Self {
        match name {
            "unnamed" => Self::Unnamed,
            "named" => Self::Named,
            "charged" => Self::Charged(256 << 20),
            other => panic!("{other}"),
        }
    }

    const fn memory(self) -> u64 {
        if let Self::Charged(bytes) = self { bytes } else { 0 }
    }
}

/// What is written, again and again.
enum Written {
    Columns(Input),
    Records(RecordCase, Vec<RecordCall>),
}

enum Writer {
    Columns(ShuffleWriter),
    Records(RecordWriter),
}

impl Written {
    fn minimum(&self) -> u64 {
        match self {
            Self::Columns(input) => minimum_budget(&input.spec, 1).unwrap(),
            Self::Records(case, _) => case.spec().minimum_budget(1).unwrap(),
        }
    }

    fn writer(&self, task: &TaskMemory, dirs: &Dirs) -> Writer {
        let (spill, out, map, attempt) = (&dirs.spill, &dirs.out, MapId(0), AttemptId(0));
        match self {
            Self::Columns(input) => Writer::Columns(
                ShuffleWriter::new(&input.spec, task, spill, out, map, attempt).unwrap(),
            ),
            Self::Records(case, _) => Writer::Records(
                RecordWriter::new(&case.spec(), task, spill, out, map, attempt).unwrap(),
            ),
        }
    }

    fn write(&self, writer: &mut Writer, index: usize) {
        match (self, writer) {
            (Self::Columns(input), Writer::Columns(writer)) => {
                let at = index % input.batches.len();
                writer.write_with_ids(&input.batches[at], &input.ids[at]).unwrap();
            }
            (Self::Records(_, calls), Writer::Records(writer)) => {
                calls[index % calls.len()].write(writer).unwrap();
            }
            _ => panic!("the writer of something else"),
        }
    }

    fn rows(&self, index: usize) -> usize {
        match self {
            Self::Columns(input) => input.ids[index % input.ids.len()].len(),
            Self::Records(_, calls) => calls[index % calls.len()].lengths.len(),
        }
    }
}

impl Writer {
    fn spill(&mut self) -> bywash::Result<u64> {
        match self {
            Self::Columns(writer) => writer.spill(),
            Self::Records(writer) => writer.spill(),
        }
    }

    fn progress(&self) -> WriteProgress {
        match self {
            Self::Columns(writer) => writer.progress(),
            Self::Records(writer) => writer.progress(),
        }
    }

    /// The rows of the output.
    fn finish(self) -> bywash::Result<u64> {
        match self {
            Self::Columns(writer) => writer.finish().map(|output| output.total_rows()),
            Self::Records(writer) => writer.finish().map(|output| output.total_rows()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Spill,
    Finish,
}

/// Returns whether the fault happened: if not, the call has no operation of that number.
fn scenario(
    input: &Written,
    files: Files,
    spills: usize,
    fault: Option<(Target, u64, Fault)>,
) -> bool {
    let store = FaultStore::new(Arc::new(FsStore::new()));
    let store = Arc::new(match files {
        Files::Charged(_) => store.pretending(Path::new("/"), FilesystemKind::Tmpfs),
        _ => store,
    });
    let paying = MemoryLedger::new(files.memory());
    let memory_backed = MemoryBacked::Charge(admit(&paying, 0).unwrap().consumer("files"));
    let named = files == Files::Named;
    let options = SpillOptions { named, memory_backed, ..SpillOptions::default() };
    let dirs = Dirs::with_store(Arc::clone(&store) as Arc<dyn Store>, options);
    let minimum = input.minimum();
    let ledger = MemoryLedger::new(minimum + (1 << 20));
    let task = admit(&ledger, minimum).unwrap();
    let mut writer = input.writer(&task, &dirs);
    let arm = |target: Target| match fault {
        Some((chosen, at, fault)) if chosen == target => store.arm(at, fault, Repeat::Once),
        _ => store.disarm(),
    };

    // The first write warms up what is made once in a thread.
    for index in 0..spills {
        input.write(&mut writer, index);
        arm(Target::Spill);
        let (result, refusals) = alloc::refuse(|| writer.spill());
        note("spill", refusals);
        match result {
            // The arena that is being filled is always kept.
            Ok(bytes) => assert!(
                bytes > 0 || matches!(input, Written::Records(..)),
                "a spill gives something back"
            ),
            Err(error) => {
                let no_memory =
                    error.kind() == ErrorKind::MemoryLimit && files == Files::Charged(0);
                assert!(store.fired().is_some() || no_memory, "{error}");
                drop(writer);
                assert_eq!((paying.granted(), paying.live()), (0, 0));
                return true;
            }
        }
        if fault.is_some_and(|(target, ..)| target == Target::Spill) {
            // Left for another directory or tried again: the fault did no harm.
            return store.fired().is_some();
        }
    }
    input.write(&mut writer, spills);
    let progress = writer.progress();
    assert_eq!(progress.spills_request, spills as u64);
    assert!(fault.is_some() || progress.run_merges > 0, "no runs were merged: {progress:?}");
    arm(Target::Finish);
    let (result, refusals) = alloc::refuse(|| writer.finish());
    note("finish", refusals);
    let fired = store.fired().is_some();
    match result {
        Ok(rows) => {
            let written: usize = (0..=spills).map(|index| input.rows(index)).sum();
            assert_eq!(rows, written as u64);
        }
        Err(error) => assert!(fired, "{error}"),
    }
    fired
}

/// Not even asking is allowed: an answer of no would not be noticed where it is optional.
fn note(what: &str, refusals: Refusals) {
    assert_eq!(refusals, Refusals::default(), "a {what} asked for memory");
}

/// Each call fits into memory beside the arena, and has a few records larger than a block: what a call
/// spills by itself is written while memory may be asked for.
fn records(codec: Codec) -> Written {
    let case = RecordCase {
        seed: run_seed(),
        partitions: 50,
        shape: IdShape::Skewed,
        codec,
        ..RecordCase::plain(Lengths::OneIn(500, 100_000), &[4000, 3000, 5000])
    };
    let calls = case.input();
    Written::Records(case, calls)
}

fn input(codec: Codec) -> Input {
    let types = [DataType::Int64, DataType::Utf8, DataType::Boolean, DataType::Decimal128(20, 2)];
    let columns = (0..).zip(types).map(|(label, t)| ColumnPlan::plain(t, label));
    let case = ShuffleCase {
        plan: Plan {
            seed: run_seed(),
            columns: columns.collect(),
            batch_rows: vec![9000, 6000, 12_000],
            metadata: false,
        },
        partitions: 50,
        placement: Placement::Ids(IdShape::Skewed),
        codec,
        budget_above_minimum: 0,
        spill_percent: 0,
        named: false,
        charge: Charge::Ledger,
    };
    case.input()
}
