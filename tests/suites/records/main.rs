//! The writer and reader of opaque records.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test suite")]

mod budget;
mod input;
mod oracle;
mod reading;
mod sink;
mod state;
mod thresholds;

use bywash::{AttemptId, MapId, MemoryLedger, RecordSpec, RecordWriter, TaskMemory};
use bywash_tests::dirs::Dirs;

/// A ledger and its one task.
fn ledger_of(budget: u64) -> (MemoryLedger, TaskMemory) {
    let ledger = MemoryLedger::new(budget);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    (ledger, task)
}

fn writer(spec: &RecordSpec, task: &TaskMemory, dirs: &Dirs) -> RecordWriter {
    RecordWriter::new(spec, task, &dirs.spill, &dirs.out, MapId(3), AttemptId(1)).unwrap()
}
