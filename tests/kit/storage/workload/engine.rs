//! What a workload's rows are given to; a sort and a combine of them.

use std::sync::Arc;

use bywash::{
    ChargeMode, CombineSpec, Combiner, KeyValues, RecordSpec, Result, Slices, SortSpec, Sorter,
};

use super::rows::records_of;
use super::{Attempt, OTHERWISE, Step};
use crate::block_stream::BlockStream;
use crate::combine::Collect;
use crate::records::RecordCall;
use crate::storage::Opened;

/// Who takes the rows.
#[derive(Debug)]
pub(super) enum Engine {
    /// A writer of batches.
    Columns,
    /// A writer of records, which have no schema.
    Records(RecordSpec),
    /// A sorter.
    Sort { spec: SortSpec, into_sink: bool },
    /// A combiner that collects the values of a key.
    Combine(CombineSpec),
}

/// All rows in order. After the first batch whatever can be had is reclaimed.
pub(super) fn sort(
    spec: &SortSpec,
    into_sink: bool,
    steps: &[Step],
    attempt: &Attempt,
    dirs: &Opened,
) -> Result<Vec<Vec<u8>>> {
    let mut sorter = Sorter::new(spec, attempt.task(), &dirs.spill)?;
    for step in steps {
        match step {
            Step::Write(batch, _) => sorter.write(batch)?,
            Step::Take(_) => return Err(OTHERWISE),
            Step::Spill => drop(sorter.spill()?),
        }
    }
    let mut rows = Vec::new();
    if into_sink {
        let canceller = sorter.canceller();
        let schema = Arc::clone(spec.schema());
        let mut sink = BlockStream::new(schema, |batch| rows.extend(records_of(&batch)))?;
        sorter.finish_into(&mut sink)?;
        sink.finish()?;
        let progress = canceller.progress();
        assert!(progress.passes > 1 && progress.write.spills_pressure > 0, "{progress:?}");
        return Ok(rows);
    }
    let mut sorted = sorter.finish(ChargeMode::Ledger)?;
    let runs = sorted.progress().runs;
    for batch in sorted.by_ref() {
        if rows.is_empty() {
            attempt.ledger().reclaim(u64::MAX);
        }
        rows.extend(records_of(&batch?));
    }
    let progress = sorted.progress();
    assert!(runs == 0 && progress.runs > 0, "{progress:?}");
    Ok(rows)
}

/// The rows of each group. After the first batch of groups whatever can be had is reclaimed.
pub(super) fn combine(
    spec: &CombineSpec,
    steps: &[Step],
    attempt: &Attempt,
    dirs: &Opened,
    groups: &mut [Vec<Vec<u8>>],
) -> Result<()> {
    let mut combiner = Combiner::new(spec, Collect, attempt.task(), &dirs.spill)?;
    for step in steps {
        match step {
            Step::Write(..) => return Err(OTHERWISE),
            Step::Take(call) => give(call, &mut combiner)?,
            Step::Spill => drop(combiner.spill()?),
        }
    }
    let mut combined = combiner.finish()?;
    let mut is_first = true;
    while let Some(batch) = combined.next_batch()? {
        for (key, values) in batch.iter() {
            let group = u32::from_le_bytes(key.try_into().expect("a group's number"));
            let group = &mut groups[group as usize];
            assert!(group.is_empty(), "a key was given out twice");
            *group = Collect::values(values);
        }
        if std::mem::take(&mut is_first) {
            attempt.ledger().reclaim(u64::MAX);
        }
    }
    let progress = combined.progress();
    assert!(progress.spills() > 0, "{progress:?}");
    Ok(())
}

fn give(call: &RecordCall, combiner: &mut Combiner<Collect>) -> Result<()> {
    let keys: Vec<[u8; 4]> = call.partitions.iter().map(|group| group.to_le_bytes()).collect();
    let keys: Vec<&[u8]> = keys.iter().map(<[u8; 4]>::as_slice).collect();
    let values: Vec<&[u8]> = call.records().map(|(_, record)| record).collect();
    combiner.write(&KeyValues::try_new(Slices::Each(&keys), Slices::Each(&values))?)
}
