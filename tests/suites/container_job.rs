//! A job under a limit that falls, beside a process that grows, beside a heap that is touched late:
//! with a governor polled after each batch it ends verified; without, the kernel kills it.
//!
//! Each job is a child of this test alone in a memory cgroup, on a filesystem on disk. Needs root;
//! says so where it is skipped.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test prints its figures and fails by panicking"
)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bywash::node::{Budget, Container, Declared, Governor, GovernorOptions};
use bywash::{
    AttemptId, ChargeMode, Codec, FsStore, MapId, MemoryLedger, OutputDir, OutputOptions,
    Partitioning, ShuffleSpec, ShuffleWriter, SpillDirs, SpillOptions, Store, minimum_budget,
};
use bywash_tests::seed::Rng;
use bywash_tests::{cgroup, child, skipped};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 256 * MIB;
/// What the limit falls to, while less is in use.
const LOWERED: u64 = 144 * MIB;
/// What comes to be held beside us.
const TAKEN: u64 = 100 * MIB;
/// How much of it at once.
const STEP: u64 = 4 * MIB;
const MARGIN: u64 = 24 * MIB;
const BATCHES: usize = 90;
const ROWS: usize = 32 << 10;
const PAYLOAD: i32 = 120;
const PARTITIONS: u32 = 50;

#[test]
fn a_limit_that_falls() {
    ends_only_when_polled("a_limit_that_falls", "limit");
}

#[test]
fn a_process_that_grows_beside_it() {
    ends_only_when_polled("a_process_that_grows_beside_it", "neighbour");
}

/// Room is left for what is declared, so that taking it at once does no harm.
#[test]
fn a_declared_heap_that_is_touched_late() {
    const NAME: &str = "a_declared_heap_that_is_touched_late";
    for polled in ["polled", "alone"] {
        if let Some(limited) = job(NAME, "heap", polled) {
            assert_ended(&limited);
        }
    }
}

fn ends_only_when_polled(name: &str, what: &str) {
    if let Some(limited) = job(name, what, "polled") {
        assert_ended(&limited);
    }
    if let Some(limited) = job(name, what, "alone") {
        assert!(!limited.output.status.success(), "{what} alone: {limited:?}");
        assert!(limited.oom_kills > 0, "{what} alone: {limited:?}");
    }
}

/// One job in a group of its own; `None` if there can be none.
fn job(name: &str, what: &str, polled: &str) -> Option<cgroup::Limited> {
    if let Err(why) = cgroup::run_limited(LIMIT, Path::new("true"), &[], &[]) {
        skipped(name, &why);
        return None;
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let job = format!("{what} {polled} {}", dir.path().display());
    let variables = [(child::VARIABLE, job.as_str())];
    let arguments = ["--exact", "job_in_a_child", "--nocapture", "--test-threads", "1"];
    Some(cgroup::run_limited(LIMIT, &child::executable(), &arguments, &variables).unwrap())
}

fn assert_ended(limited: &cgroup::Limited) {
    let out = String::from_utf8_lossy(&limited.output.stdout);
    let err = String::from_utf8_lossy(&limited.output.stderr);
    assert!(limited.output.status.success(), "{}\n{out}{err}", limited.output.status);
    assert_eq!(limited.oom_kills, 0);
    assert!(out.contains("verified"), "{out}");
    println!("{out}");
}

#[test]
fn job_in_a_child() {
    let Some(argument) = child::argument() else {
        return;
    };
    let mut words = argument.splitn(3, ' ');
    let (what, polled) = (words.next().unwrap(), words.next().unwrap() == "polled");
    let Some(dir) = words.next().map(PathBuf::from) else {
        return;
    };
    let heap = if what == "heap" { TAKEN } else { 0 };
    let declared = Declared { heap, margin: MARGIN, ..Declared::default() };
    let mut container = Container::find("/").unwrap();
    let group = container.observe().unwrap().groups[0].path.to_string();
    let budget = Budget::from_container(&mut container, declared).unwrap();
    let ledger = MemoryLedger::new(budget.capacity);

    let spec = ShuffleSpec::new(schema(), PARTITIONS, Partitioning::Hash(vec![0]))
        .unwrap()
        .with_codec(Codec::None);
    let minimum = minimum_budget(&spec, 1).unwrap();
    let options = GovernorOptions { floor: minimum, ..GovernorOptions::default() };
    let mut governor = Governor::new(container, declared, options).unwrap();

    let task = ledger.admit(1, minimum).unwrap().remove(0);
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let spills =
        SpillDirs::open(Arc::clone(&store), &[dir.join("spill")], SpillOptions::default()).unwrap();
    let out = OutputDir::open(store, &dir.join("out"), OutputOptions::default()).unwrap();
    let mut writer =
        ShuffleWriter::new(&spec, &task, &spills, &out, MapId(0), AttemptId(0)).unwrap();
    let (mut beside, mut lowest, mut freed) = (Beside::default(), u64::MAX, 0);
    for index in 0..BATCHES {
        writer.write(&batch(index)).unwrap();
        if index >= BATCHES / 4 {
            beside.happen(what, &group);
        }
        if polled {
            let now = Duration::from_millis(100 * index as u64);
            let report = governor.poll(now, &ledger).unwrap();
            (lowest, freed) = (lowest.min(report.new_capacity), freed + report.freed);
        }
    }
    let output = writer.finish().unwrap();
    let mut seen = 0;
    for partition in 0..PARTITIONS {
        let mut last = -1;
        for rows in output.read(partition, &task, ChargeMode::Ledger).unwrap() {
            seen += verified(&rows.unwrap(), &mut last);
        }
    }
    assert_eq!(seen, BATCHES * ROWS);
    println!(
        "\n{what}: verified; capacity {} MiB, at the lowest {} MiB, polls freed {} MiB",
        budget.capacity / MIB,
        lowest.min(budget.capacity) / MIB,
        freed / MIB
    );
}

/// A process beside the job: takes another step whenever it reads a byte, and answers.
#[test]
fn neighbour_in_a_child() {
    if child::argument().as_deref() != Some("neighbour") {
        return;
    }
    let (mut held, mut byte) = (Vec::new(), [0]);
    while std::io::stdin().read(&mut byte).unwrap() == 1 {
        held.push(std::hint::black_box(vec![1u8; usize::try_from(STEP).unwrap()]));
        let mut output = std::io::stdout();
        output.write_all(b"!").unwrap();
        output.flush().unwrap();
    }
}

/// What happens beside the job.
#[derive(Default)]
struct Beside {
    lowered: bool,
    heap: Vec<u8>,
    neighbour: Option<(Child, ChildStdin, ChildStdout)>,
    taken: u64,
}

impl Beside {
    fn happen(&mut self, what: &str, group: &str) {
        match what {
            "limit" if !self.lowered => {
                let files = ["memory.limit_in_bytes", "memory.max"];
                let files = files.map(|name| Path::new(group).join(name));
                let file = files.iter().find(|file| file.exists()).unwrap();
                std::fs::write(file, LOWERED.to_string()).unwrap();
                self.lowered = true;
            }
            "heap" if self.heap.is_empty() => {
                self.heap = vec![1; usize::try_from(TAKEN).unwrap()];
            }
            "neighbour" if self.taken < TAKEN => {
                let (_, input, output) = self.neighbour.get_or_insert_with(started);
                input.write_all(b"+").unwrap();
                let mut byte = [0];
                while byte != *b"!" {
                    output.read_exact(&mut byte).unwrap();
                }
                self.taken += STEP;
            }
            _ => {}
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some((mut child, input, mut output)) = self.neighbour.take() {
            drop(input);
            output.read_to_end(&mut Vec::new()).unwrap();
            assert!(child.wait().unwrap().success());
        }
    }
}

fn started() -> (Child, ChildStdin, ChildStdout) {
    let mut command = child::command("neighbour_in_a_child", "neighbour");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    (child, input, output)
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("payload", DataType::FixedSizeBinary(PAYLOAD), false),
    ]))
}

fn batch(index: usize) -> RecordBatch {
    let keys = (index * ROWS..(index + 1) * ROWS).map(|key| i64::try_from(key).unwrap());
    let payload = keys.clone().map(payload_of).collect::<Vec<_>>().concat();
    let payload = FixedSizeBinaryArray::try_new(PAYLOAD, payload.into(), None).unwrap();
    let columns: [ArrayRef; 2] = [Arc::new(Int64Array::from_iter_values(keys)), Arc::new(payload)];
    RecordBatch::try_new(schema(), columns.to_vec()).unwrap()
}

/// Rows in order, each with the payload of its key. Returns how many.
fn verified(rows: &RecordBatch, last: &mut i64) -> usize {
    let keys = rows.column(0).as_primitive::<Int64Type>();
    let payloads = rows.column(1).as_fixed_size_binary();
    for (key, payload) in keys.values().iter().zip(payloads.iter()) {
        assert!(key > last, "{key} after {last}");
        assert_eq!(payload.unwrap(), payload_of(*key));
        *last = *key;
    }
    rows.num_rows()
}

fn payload_of(key: i64) -> Vec<u8> {
    Rng::new(u64::try_from(key).unwrap()).bytes(usize::try_from(PAYLOAD).unwrap())
}
