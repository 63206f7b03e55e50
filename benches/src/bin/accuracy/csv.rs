//! All samples and spills as a table: bytes, and microseconds since the start.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::failure::{Result, fail};
use crate::sampler::Sample;
use crate::spills::Spill;

/// Writes the table. A sample is `running` or `stopped` (all figures of one instant); a spill is two
/// rows without figures.
pub(crate) fn write(path: &Path, budget: u64, samples: &[Sample], spills: &[Spill]) -> Result<()> {
    let file = File::create(path).map_err(|error| fail(format!("{}: {error}", path.display())))?;
    let mut out = BufWriter::new(file);
    let mut rows: Vec<(u64, String)> = Vec::new();
    for sample in samples {
        let Sample { at, granted, live, counted, resident, stopped } = sample;
        let event = if *stopped { "stopped" } else { "running" };
        let row = format!("{at},{event},,{granted},{live},{counted},{resident},{budget}");
        rows.push((*at, row));
    }
    for Spill { task, begin, end } in spills {
        rows.push((*begin, format!("{begin},spill_begin,{task},,,,,{budget}")));
        if let Some(end) = end {
            rows.push((*end, format!("{end},spill_end,{task},,,,,{budget}")));
        }
    }
    rows.sort_by_key(|(at, _)| *at);
    let header = "time_us,event,task,granted,live,counted,resident,budget";
    writeln!(out, "{header}").map_err(fail)?;
    for (_, row) in rows {
        writeln!(out, "{row}").map_err(fail)?;
    }
    out.flush().map_err(fail)
}
