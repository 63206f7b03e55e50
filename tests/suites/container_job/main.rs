//! A job under a limit that falls, beside a process that grows, beside a JVM whose heap grows late:
//! with a governor polled after each batch it ends verified; without, the kernel kills it, or what
//! is beside it. Where the heap was declared, room was left for it, and it ends without polls, too.
//!
//! Each job is a child of this test alone in a memory cgroup, on a filesystem on disk. Needs root,
//! and java and javac for the JVM; says so where it is skipped.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test prints its figures and fails by panicking"
)]

mod beside;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use beside::{Beside, What};
use bywash::node::{Budget, Container, Declared, Governor, GovernorOptions};
use bywash::{
    AttemptId, ChargeMode, Codec, FsStore, MapId, MemoryLedger, OutputDir, OutputOptions,
    Partitioning, ShuffleSpec, ShuffleWriter, SpillDirs, SpillOptions, Store, minimum_budget,
};
use bywash_tests::seed::Rng;
use bywash_tests::{cgroup, child, dirs, skipped};

const MIB: u64 = 1 << 20;
/// Of the job and what is beside it; beside a JVM there is room for its own needs.
const LIMIT: u64 = 384 * MIB;
const JVM_LIMIT: u64 = 448 * MIB;
/// What the limit falls to, while less is in use.
const LOWERED: u64 = 184 * MIB;
/// What comes to be held beside us.
const TAKEN: u64 = 200 * MIB;
/// How much of it at once.
const STEP: u64 = 4 * MIB;
/// The most the heap of a JVM may become.
const HEAP: u64 = 256 * MIB;
/// Declared for what a JVM needs beside its heap: metaspace, code, stacks, its own structures.
const JVM_OWN: u64 = 64 * MIB;
/// More than a step, a batch and what this program takes.
const MARGIN: u64 = 24 * MIB;
const BATCHES: usize = 76;
const ROWS: usize = 32 << 10;
const PAYLOAD: usize = 120;
const WIDTH: i32 = 120;
const PARTITIONS: u32 = 50;

#[test]
fn a_limit_that_falls() {
    ends_only_when_polled("a_limit_that_falls", What::Limit);
}

#[test]
fn a_process_that_grows_beside_it() {
    ends_only_when_polled("a_process_that_grows_beside_it", What::Neighbour);
}

#[test]
fn a_jvm_whose_heap_grows_late() {
    ends_only_when_polled("a_jvm_whose_heap_grows_late", What::Jvm);
}

/// Room is left for what is declared, so that taking it at once does no harm.
#[test]
fn a_declared_heap_that_is_touched_late() {
    ends_polled_or_not("a_declared_heap_that_is_touched_late", What::Heap);
}

#[test]
fn a_jvm_whose_declared_heap_is_touched_late() {
    ends_polled_or_not("a_jvm_whose_declared_heap_is_touched_late", What::DeclaredJvm);
}

fn ends_only_when_polled(name: &str, what: What) {
    if let Some(limited) = job(name, what, "polled") {
        assert_ended(&limited);
    }
    if let Some(limited) = job(name, what, "alone") {
        assert!(!limited.output.status.success(), "{what:?} alone: {limited:?}");
        assert!(limited.oom_kills > 0, "{what:?} alone: {limited:?}");
    }
}

fn ends_polled_or_not(name: &str, what: What) {
    for polled in ["polled", "alone"] {
        if let Some(limited) = job(name, what, polled) {
            assert_ended(&limited);
        }
    }
}

/// One job in a group of its own; `None` if there can be none.
fn job(name: &str, what: What, polled: &str) -> Option<cgroup::Limited> {
    let dir = dirs::on_disk();
    if let Err(why) = prepared(what, dir.path()) {
        skipped(name, &why);
        return None;
    }
    let limit = if what.is_jvm() { JVM_LIMIT } else { LIMIT };
    let job = format!("{} {polled} {}", what.name(), dir.path().display());
    let variables = [(child::VARIABLE, job.as_str())];
    let arguments = ["--exact", "job_in_a_child", "--nocapture", "--test-threads", "1"];
    Some(cgroup::run_limited(limit, &child::executable(), &arguments, &variables).unwrap())
}

/// Checks for what a job needs, outside of its limit.
fn prepared(what: What, dir: &Path) -> Result<(), String> {
    cgroup::run_limited(LIMIT, Path::new("true"), &[], &[])?;
    if what.is_jvm() { beside::compile(dir) } else { Ok(()) }
}

fn assert_ended(limited: &cgroup::Limited) {
    let out = String::from_utf8_lossy(&limited.output.stdout);
    let err = String::from_utf8_lossy(&limited.output.stderr);
    assert!(limited.output.status.success(), "{}\n{out}{err}", limited.output.status);
    assert_eq!(limited.oom_kills, 0, "{out}{err}");
    assert!(out.contains("verified"), "{out}");
    println!("{out}");
}

#[test]
fn job_in_a_child() {
    let Some(argument) = child::argument() else {
        return;
    };
    let mut words = argument.splitn(3, ' ');
    let (what, polled) = (What::named(words.next().unwrap()), words.next().unwrap() == "polled");
    let Some(dir) = words.next().map(PathBuf::from) else {
        return;
    };
    let mut container = Container::find("/").unwrap();
    let group = container.observe().unwrap().groups[0].path.to_string();
    let before = held(&mut container);
    let mut beside = Beside::start(what, &dir);
    let started = held(&mut container) - before;
    let declared = declared(what);
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
    let (mut lowest, mut freed) = (budget.capacity, 0);
    for index in 0..BATCHES {
        writer.write(&batch(index)).unwrap();
        if index >= BATCHES / 4 {
            beside.happen(&group);
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
    let now = held(&mut Container::find("/").unwrap());
    if what.is_jvm() {
        assert!((4 * MIB..JVM_OWN).contains(&started), "a JVM's own: {started}");
        assert_eq!(beside.taken(), TAKEN);
        assert!(now >= started + TAKEN, "held {now}, a JVM's own {started}");
    }
    println!(
        "\n{what:?}: verified; capacity {} MiB, at the lowest {} MiB, polls freed {} MiB; beside it \
         {} MiB from the start, {} MiB taken; {} MiB held at the end",
        budget.capacity / MIB,
        lowest / MIB,
        freed / MIB,
        started / MIB,
        beside.taken() / MIB,
        now / MIB
    );
}

#[test]
fn neighbour_in_a_child() {
    if child::argument().as_deref() == Some("neighbour") {
        beside::neighbour();
    }
}

fn declared(what: What) -> Declared {
    let margin = Declared { margin: MARGIN, ..Declared::default() };
    match what {
        What::Heap => Declared { heap: TAKEN, ..margin },
        What::DeclaredJvm => Declared { heap: HEAP, metaspace: JVM_OWN, ..margin },
        What::Limit | What::Neighbour | What::Jvm => margin,
    }
}

/// What no pressure gives back, of all in our group.
fn held(container: &mut Container) -> u64 {
    container.observe().unwrap().own_memory().unwrap().1.unreclaimable()
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("payload", DataType::FixedSizeBinary(WIDTH), false),
    ]))
}

fn batch(index: usize) -> RecordBatch {
    let keys = (index * ROWS..(index + 1) * ROWS).map(|key| i64::try_from(key).unwrap());
    let payload: Vec<u8> = keys.clone().flat_map(payload_of).collect();
    let payload = FixedSizeBinaryArray::try_new(WIDTH, payload.into(), None).unwrap();
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

fn payload_of(key: i64) -> [u8; PAYLOAD] {
    let mut rng = Rng::new(u64::try_from(key).unwrap());
    let mut payload = [0; PAYLOAD];
    for word in payload.as_chunks_mut::<8>().0 {
        *word = rng.bits().to_le_bytes();
    }
    payload
}
