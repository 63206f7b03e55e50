//! docs/METRICS.md is made from the table.
//!
//! `BYWASH_WRITE_DOCS=1 cargo test -p bywash-tests --test metrics` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use bywash::metrics::{GROUPS, LABELS, MetricFamily};

use crate::text::families;

#[test]
fn the_document_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
    let document = document();
    if std::env::var_os("BYWASH_WRITE_DOCS").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == document, "docs/METRICS.md is stale; write it anew with `{COMMAND}`");
}

/// What operators ask, in Prometheus' language.
const QUESTIONS: [(&str, &str); 10] = [
    (
        "How much of the budget is in use?",
        "bywash_memory_granted_bytes / bywash_memory_capacity_bytes",
    ),
    ("Why does it spill?", "sum by (cause) (rate(bywash_spills_total[5m]))"),
    (
        "What share of the written rows' bytes goes to disk twice?",
        "rate(bywash_write_spilled_bytes_total[5m]) / rate(bywash_write_input_bytes_total[5m])",
    ),
    (
        "How fast are spills written?",
        "rate(bywash_spill_written_bytes_total[5m]) / rate(bywash_spill_seconds_total[5m])",
    ),
    ("Do tasks wait for memory?", "rate(bywash_memory_wait_seconds_total[5m])"),
    (
        "Is memory not coming back after the budget fell?",
        "min_over_time(bywash_memory_over_bytes[5m]) > 0",
    ),
    (
        "Does the caller hold buffers for long?",
        "bywash_memory_exported_bytes / bywash_memory_granted_bytes",
    ),
    ("Is a spill disk full or failing?", "bywash_spill_dir_condition{kind!=\"usable\"} == 1"),
    (
        "How much of the spill quota is in use?",
        "bywash_spill_used_bytes / bywash_spill_quota_bytes",
    ),
    ("Where does the time go?", "sum by (phase) (rate(bywash_write_seconds_total[5m]))"),
];

#[test]
fn questions_ask_for_metrics_that_there_are() {
    for (_, query) in QUESTIONS {
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let mut named = words.filter(|word| word.starts_with("bywash_")).peekable();
        assert!(named.peek().is_some(), "{query}");
        for name in named {
            assert!(families().any(|family| family.name == name), "{name}");
        }
    }
}

fn document() -> String {
    let mut text = format!(
        "# Metrics\n\n\
         <!-- Made from the table in src/metrics/families by `{COMMAND}`. Do not edit. -->\n\n\
         `Metrics::snapshot` gives these figures as plain data, `MetricsSnapshot::prometheus` as \
         Prometheus text (format 0.0.4), `bywash shuffle`, `sort` and `group` with `--metrics FILE` \
         write that at their end. Nothing is collected in the background: a figure costs what reading it costs.\n\n\
         Counters end in `_total` and only rise while the process lives; sizes are bytes, times \
         seconds. No label has more than a few values.\n\n## Questions\n\n\
         | question | query |\n|---|---|\n"
    );
    for (question, query) in QUESTIONS {
        row(&mut text, &[question, &format!("`{query}`")]);
    }
    text += "\n## Labels\n\n| label | what it says |\n|---|---|\n";
    for label in &LABELS {
        row(&mut text, &[&format!("`{}`", label.name), label.help]);
    }
    for group in &GROUPS {
        write!(text, "\n## {}\n\n{}\n\n", group.title, group.about).unwrap();
        text += "| metric | kind | unit | labels | what it says |\n|---|---|---|---|---|\n";
        for family in group.families {
            row(&mut text, &describe(family).each_ref().map(String::as_str));
        }
    }
    text
}

fn describe(family: &MetricFamily) -> [String; 5] {
    let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    [
        format!("`{}`", family.name),
        family.kind.name().to_owned(),
        family.unit.name().to_owned(),
        labels.join(", "),
        family.help.to_owned(),
    ]
}

fn row(text: &mut String, cells: &[&str]) {
    writeln!(text, "| {} |", cells.join(" | ").replace("|  |", "| |")).unwrap();
}

const COMMAND: &str = "BYWASH_WRITE_DOCS=1 cargo test -p bywash-tests --test metrics";
