//! The text is what the table says and follows the conventions.

use std::collections::BTreeSet;

use bywash::metrics::{GROUPS, LABELS, MetricFamily, MetricKind, MetricUnit, MetricValue};
use bywash::{MemoryLedger, Metrics};
use bywash_tests::writers::Writers;

use crate::exposition::{Family, parse};

pub(crate) fn families() -> impl Iterator<Item = &'static MetricFamily> {
    GROUPS.iter().flat_map(|group| group.families)
}

/// A value as the text must have it.
pub(crate) fn written(value: MetricValue) -> String {
    match value {
        MetricValue::Count(count) => count.to_string(),
        MetricValue::Time(time) => format!("{}.{:09}", time.as_secs(), time.subsec_nanos()),
        MetricValue::Unlimited => "+Inf".to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn text_and_table_have_the_same_families() {
    let writers = Writers::new();
    let ledger = MemoryLedger::new(64 << 20);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let metrics = Metrics::new(&ledger);
    metrics.watch_spill_dirs(&writers.dirs.spill);
    let mut writer = writers.writer(&task, 0);
    metrics.watch_writer(&writer);
    writer.write(&writers.rows(100_000)).unwrap();
    writer.spill().unwrap();

    let snapshot = metrics.snapshot();
    let text = snapshot.prometheus();
    assert_eq!(text, snapshot.to_string());
    let read = parse(&text).unwrap();
    let names: Vec<_> = read.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names, families().map(|family| family.name).collect::<Vec<_>>());
    for (read, family) in read.iter().zip(families()) {
        assert_eq!((read.help.as_str(), read.kind.as_str()), (family.help, family.kind.name()));
        assert_eq!(samples(read, family), expected(family, &snapshot), "{}", family.name);
        assert!(!read.samples.is_empty(), "{}: nothing is said", family.name);
    }
}

/// Values by label values.
fn samples(read: &Family, family: &MetricFamily) -> Vec<(Vec<String>, String)> {
    let of = |sample: &crate::exposition::Sample| {
        assert_eq!(sample.labels.len(), family.labels.len(), "{}", family.name);
        let labels = family.labels.iter().map(|label| sample.labels[*label].clone()).collect();
        (labels, sample.value.clone())
    };
    read.samples.iter().map(of).collect()
}

fn expected(
    family: &MetricFamily,
    snapshot: &bywash::MetricsSnapshot,
) -> Vec<(Vec<String>, String)> {
    let mut samples = Vec::new();
    family.samples(snapshot, &mut |labels, value| {
        samples.push((labels.iter().map(|&label| label.to_owned()).collect(), written(value)));
    });
    samples
}

#[test]
fn names_follow_the_conventions() {
    let mut names = BTreeSet::new();
    let labels: BTreeSet<&str> = LABELS.iter().map(|label| label.name).collect();
    let mut used = BTreeSet::new();
    for family in families() {
        let name = family.name;
        assert!(names.insert(name), "{name} stands twice");
        assert!(name.starts_with("bywash_"), "{name}");
        assert_eq!(family.kind == MetricKind::Counter, name.ends_with("_total"), "{name}");
        let base = name.strip_suffix("_total").unwrap_or(name);
        match family.unit {
            MetricUnit::Bytes => assert!(base.ends_with("_bytes"), "{name}"),
            MetricUnit::Seconds => assert!(base.ends_with("_seconds"), "{name}"),
            _ => assert!(!base.ends_with("_bytes") && !base.ends_with("_seconds"), "{name}"),
        }
        assert!(family.help.ends_with('.'), "{name}");
        // OpenMetrics takes a counter's family name without `_total`.
        assert!(base == name || !names.contains(base), "{name}");
        used.extend(family.labels);
    }
    assert_eq!(used, labels, "every label is explained and none is left over");
}
