//! DataFusion's `SortExec` on one thread, with a `FairSpillPool` and its other settings as they are.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion_common::DataFusionError;
use datafusion_execution::config::SessionConfig;
use datafusion_execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion_execution::memory_pool::FairSpillPool;
use datafusion_execution::runtime_env::RuntimeEnvBuilder;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::expressions::col;
use datafusion_physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::sorts::sort::SortExec;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::StreamExt;

use super::process::{Ends, Task};
use super::rows::BATCH_ROWS;
use crate::failure::Result;

pub(super) fn sort(task: &Task, schema: SchemaRef, ends: Ends) -> Result<Ends> {
    let ends = Arc::new(Mutex::new(ends));
    let order = task.source.order().iter().map(|name| {
        // As ours: nulls first.
        Ok(PhysicalSortExpr::new_default(col(name, &schema)?))
    });
    let order = order.collect::<Result<Vec<_>>>()?;
    let order = LexOrdering::new(order).ok_or("nothing to sort by")?;
    let rows = Rows { schema: Arc::clone(&schema), ends: Arc::clone(&ends) };
    let rows = StreamingTableExec::try_new(schema, vec![Arc::new(rows)], None, [], false, None)?;
    let plan = SortExec::new(order, Arc::new(rows));

    let dir = task.dir.join(format!("bywash-compare-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let disk =
        DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![dir.clone()]));
    let pool = FairSpillPool::new(usize::try_from(task.memory)?);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(disk)
        .build_arc()?;
    let config = SessionConfig::new().with_batch_size(BATCH_ROWS).with_target_partitions(1);
    let context = TaskContext::new(
        None,
        "sort".into(),
        config,
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        runtime,
    );
    let sink = Arc::clone(&ends);
    tokio::runtime::Builder::new_current_thread().build()?.block_on(async move {
        let mut sorted = plan.execute(0, Arc::new(context))?;
        while let Some(batch) = sorted.next().await {
            let batch = batch?;
            sink.lock().unwrap_or_else(PoisonError::into_inner).take(batch)?;
        }
        Result::Ok(())
    })?;
    std::fs::remove_dir_all(&dir)?;
    let ends = Arc::into_inner(ends).ok_or("its source is still there")?;
    Ok(ends.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The rows as a table that is streamed.
struct Rows {
    schema: SchemaRef,
    ends: Arc<Mutex<Ends>>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let ends = Arc::clone(&self.ends);
        let next = move || -> Option<std::result::Result<RecordBatch, DataFusionError>> {
            let batch = ends.lock().unwrap_or_else(PoisonError::into_inner).next()?;
            Some(batch.map_err(|error| DataFusionError::Execution(error.to_string())))
        };
        let batches = futures::stream::iter(std::iter::from_fn(next));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}
