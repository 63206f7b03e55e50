//! Every number of the text is the snapshot's: each field gets a number of its own, and the text is
//! compared with a list that is written here by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use bywash::{DirCondition, MemoryLedger, Metrics, MetricsSnapshot};
use bywash_tests::writers::Writers;

use crate::exposition::parse;

/// A snapshot in which no two figures are equal.
fn distinct() -> MetricsSnapshot {
    let writers = Writers::new();
    let metrics = Metrics::new(&MemoryLedger::new(1));
    metrics.watch_spill_dirs(&writers.dirs.spill);
    let mut snapshot = metrics.snapshot();
    let ledger = &mut snapshot.ledger;
    ledger.capacity = 1001;
    ledger.granted = 1002;
    ledger.live = 1003;
    ledger.exported = 1004;
    ledger.over = 1005;
    ledger.peak_granted = 1006;
    ledger.peak_live = 1007;
    ledger.lent = 1008;
    ledger.tasks = 1009;
    ledger.waiting = 1010;
    ledger.refusals = 1011;
    ledger.waits = 1012;
    ledger.wait_time = Duration::new(13, 1);
    ledger.reclaims = 1014;
    ledger.reclaimed = 1015;
    ledger.borrowed = 1016;
    ledger.host_refusals = 1017;
    ledger.spills = [1018, 1019, 1020, 1021];
    ledger.spills_failed = 1022;
    ledger.spill_freed = 1023;
    ledger.spill_written = 1024;
    ledger.spill_time = Duration::from_millis(1_500);
    ledger.grants = 1025;
    let spill = &mut snapshot.spill;
    spill.used = 3001;
    spill.quota = Some(3002);
    spill.unused_dirs = 3003;
    let dir = &mut spill.dirs[0];
    dir.path = String::from("/a \"quoted\" \\ path");
    dir.filesystem = String::from("ext4");
    dir.condition = DirCondition::Full;
    dir.used = 3004;
    dir.quota = Some(3005);
    dir.charged = 3006;
    dir.open_files = 3007;
    dir.files = 3008;
    dir.written = 3009;
    dir.read = 3010;
    dir.refusals = 3011;
    dir.failures = 3012;
    let writers = &mut snapshot.writers;
    writers.writers = 2001;
    writers.open = 2002;
    let progress = &mut writers.progress;
    progress.rows = 2003;
    progress.bytes = 2004;
    progress.spilled_bytes = u64::MAX;
    progress.run_merges = 2006;
    progress.output_bytes = 2007;
    progress.stage_time = Duration::from_nanos(8);
    progress.sort_time = Duration::from_secs(9);
    progress.spill_time = Duration::from_millis(10);
    progress.output_time = Duration::from_micros(11);
    progress.commit_time = Duration::ZERO;
    let sorts = &mut snapshot.sorts;
    (sorts.sorts, sorts.open) = (4001, 4002);
    let progress = &mut sorts.progress;
    progress.write.rows = 4003;
    progress.write.bytes = 4004;
    progress.rows_out = 4005;
    progress.write.spilled_bytes = 4006;
    progress.runs = 4007;
    progress.write.run_merges = 4008;
    progress.write.stage_time = Duration::from_nanos(9);
    progress.write.sort_time = Duration::from_secs(10);
    progress.write.spill_time = Duration::from_millis(11);
    progress.write.output_time = Duration::from_micros(12);
    let combiners = &mut snapshot.combiners;
    (combiners.combiners, combiners.open) = (5001, 5002);
    let progress = &mut combiners.progress;
    progress.records = 5003;
    progress.bytes = 5004;
    progress.groups = 5005;
    progress.spilled_bytes = 5006;
    progress.run_merges = 5007;
    progress.sorted_parts = 5008;
    snapshot
}

#[test]
fn every_number_is_the_snapshots() {
    let expected = "
        build_info{version} 1
        memory_capacity_bytes 1001
        memory_granted_bytes 1002
        memory_live_bytes 1003
        memory_exported_bytes 1004
        memory_over_bytes 1005
        memory_granted_peak_bytes 1006
        memory_live_peak_bytes 1007
        memory_lent_bytes 1008
        memory_tasks 1009
        memory_waiting_requests 1010
        memory_grants_total 1025
        memory_refusals_total 1011
        memory_waits_total 1012
        memory_wait_seconds_total 13.000000001
        memory_reclaims_total 1014
        memory_reclaimed_bytes_total 1015
        memory_borrowed_bytes_total 1016
        memory_host_refusals_total 1017
        spills_total{cause=pressure} 1018
        spills_total{cause=reclaim} 1019
        spills_total{cause=request} 1020
        spills_total{cause=oversized_row} 1021
        spill_failures_total 1022
        spill_freed_bytes_total 1023
        spill_written_bytes_total 1024
        spill_seconds_total 1.500000000
        spill_used_bytes 3001
        spill_quota_bytes 3002
        spill_unused_dirs 3003
        spill_dir_filesystem_info{DIR,kind=ext4} 1
        spill_dir_condition{DIR,kind=usable} 0
        spill_dir_condition{DIR,kind=full} 1
        spill_dir_condition{DIR,kind=failing} 0
        spill_dir_used_bytes{DIR} 3004
        spill_dir_quota_bytes{DIR} 3005
        spill_dir_charged_bytes{DIR} 3006
        spill_dir_open_files{DIR} 3007
        spill_dir_files_total{DIR} 3008
        spill_dir_written_bytes_total{DIR} 3009
        spill_dir_read_bytes_total{DIR} 3010
        spill_dir_refusals_total{DIR} 3011
        spill_dir_failures_total{DIR} 3012
        writers_total 2001
        writers_open 2002
        write_rows_total 2003
        write_input_bytes_total 2004
        write_spilled_bytes_total 18446744073709551615
        write_run_merges_total 2006
        write_output_bytes_total 2007
        write_seconds_total{phase=stage} 0.000000008
        write_seconds_total{phase=sort} 9.000000000
        write_seconds_total{phase=spill} 0.010000000
        write_seconds_total{phase=output} 0.000011000
        write_seconds_total{phase=commit} 0.000000000
        sorts_total 4001
        sorts_open 4002
        sort_rows_total 4003
        sort_input_bytes_total 4004
        sort_rows_out_total 4005
        sort_spilled_bytes_total 4006
        sort_runs_total 4007
        sort_run_merges_total 4008
        sort_seconds_total{phase=stage} 0.000000009
        sort_seconds_total{phase=sort} 10.000000000
        sort_seconds_total{phase=spill} 0.011000000
        sort_seconds_total{phase=output} 0.000012000
        combiners_total 5001
        combiners_open 5002
        combine_records_total 5003
        combine_input_bytes_total 5004
        combine_groups_total 5005
        combine_spilled_bytes_total 5006
        combine_run_merges_total 5007
        combine_sorted_parts_total 5008
    ";
    let dir = "dir=/a \"quoted\" \\ path";
    let expected: BTreeMap<String, String> = expected
        .lines()
        .filter_map(|line| line.trim().rsplit_once(' '))
        .map(|(name, value)| {
            let version = format!("version={}", env!("CARGO_PKG_VERSION"));
            (
                format!("bywash_{name}").replace("version", &version).replace("DIR", dir),
                value.to_owned(),
            )
        })
        .collect();
    assert_eq!(read(&distinct().prometheus()), expected);
}

#[test]
fn no_limit_is_infinity() {
    let mut snapshot = distinct();
    snapshot.ledger.capacity = MemoryLedger::unlimited().capacity();
    snapshot.spill.quota = None;
    snapshot.spill.dirs[0].quota = None;
    let read = read(&snapshot.prometheus());
    let infinite: Vec<&String> =
        read.iter().filter(|(_, value)| *value == "+Inf").map(|(name, _)| name).collect();
    assert_eq!(infinite.len(), 3, "{infinite:?}");
}

/// Values by name and labels.
fn read(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for family in parse(text).unwrap() {
        for sample in family.samples {
            let labels: Vec<_> =
                sample.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let labels =
                if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            values.insert(format!("{}{labels}", family.name), sample.value);
        }
    }
    values
}
