//! Prometheus' text exposition format, version 0.0.4.
//!
//! Each family once: HELP, TYPE, then its samples, without timestamps. Numbers are written exactly:
//! whole counts, and seconds with nine digits.

use std::fmt;

use super::families::GROUPS;
use super::{MetricFamily, MetricValue, MetricsSnapshot};

impl MetricsSnapshot {
    /// The text that a scrape is answered with; its content type is
    /// `text/plain; version=0.0.4; charset=utf-8`.
    pub fn prometheus(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for MetricsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut families = GROUPS.iter().flat_map(|group| group.families);
        families.try_for_each(|family| write_family(f, family, self))
    }
}

fn write_family(
    f: &mut fmt::Formatter<'_>,
    family: &MetricFamily,
    snapshot: &MetricsSnapshot,
) -> fmt::Result {
    writeln!(f, "# HELP {} {}", family.name, Escaped { text: family.help, quotes: false })?;
    writeln!(f, "# TYPE {} {}", family.name, family.kind.name())?;
    let mut written = Ok(());
    family.samples(snapshot, &mut |labels, value| {
        if written.is_ok() {
            written = write_sample(f, family, labels, value);
        }
    });
    written
}

fn write_sample(
    f: &mut fmt::Formatter<'_>,
    family: &MetricFamily,
    labels: &[&str],
    value: MetricValue,
) -> fmt::Result {
    debug_assert_eq!(labels.len(), family.labels.len(), "a value for each label");
    f.write_str(family.name)?;
    for (index, (name, text)) in family.labels.iter().zip(labels).enumerate() {
        let before = if index == 0 { '{' } else { ',' };
        write!(f, "{before}{name}=\"{}\"", Escaped { text, quotes: true })?;
    }
    f.write_str(if labels.is_empty() { " " } else { "} " })?;
    match value {
        MetricValue::Count(count) => writeln!(f, "{count}"),
        MetricValue::Time(time) => writeln!(f, "{}.{:09}", time.as_secs(), time.subsec_nanos()),
        MetricValue::Unlimited => writeln!(f, "+Inf"),
    }
}

/// Text of a label or a help line.
struct Escaped<'a> {
    text: &'a str,
    /// Whether it stands in quotes.
    quotes: bool,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for character in self.text.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.quotes => f.write_str("\\\"")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_label_or_a_line_is_escaped() {
        let escaped = |quotes| Escaped { text: "a\\b\"c\nd", quotes }.to_string();
        assert_eq!(escaped(true), r#"a\\b\"c\nd"#);
        assert_eq!(escaped(false), r#"a\\b"c\nd"#);
    }
}
