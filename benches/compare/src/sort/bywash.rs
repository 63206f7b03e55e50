//! Ours.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use bywash::{
    ChargeMode, FsStore, MemoryLedger, SortColumn, SortSpec, Sorter, SpillDirs, SpillOptions,
    minimum_sort_budget,
};

use super::process::{Ends, Task};
use crate::failure::Result;

pub(super) fn sort(task: &Task, schema: SchemaRef, mut ends: Ends) -> Result<Ends> {
    let columns = task.source.order().iter().map(|name| schema.index_of(name));
    let columns = columns.map(|index| index.map(SortColumn::ascending));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    let spec = SortSpec::new(schema, &columns)?;
    let ledger = MemoryLedger::new(task.memory);
    let minimum = minimum_sort_budget(&spec, 1)?;
    let share = ledger.admit(1, minimum)?.pop().ok_or("no task was admitted")?;
    let dir = task.dir.join(format!("bywash-compare-{}", std::process::id()));
    let spills = SpillDirs::open(
        Arc::new(FsStore::new()),
        std::slice::from_ref(&dir),
        SpillOptions::default(),
    )?;
    let mut sorter = Sorter::new(&spec, &share, &spills)?;
    while let Some(batch) = ends.next() {
        sorter.write(&batch?)?;
    }
    for batch in sorter.finish(ChargeMode::Ledger)? {
        ends.take(batch?)?;
    }
    drop(spills);
    std::fs::remove_dir_all(&dir)?;
    Ok(ends)
}
