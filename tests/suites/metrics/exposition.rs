//! A strict reader of Prometheus' text exposition format 0.0.4, written from its description alone.
//!
//! Refuses what a scraper may refuse or misread: a family twice or in pieces, a sample without TYPE,
//! the same labels twice, names out of the allowed characters, an escape that there is none of.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::Chars;

/// A metric family as read.
#[derive(Debug, PartialEq)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: BTreeMap<String, String>,
    /// As written.
    pub(crate) value: String,
}

pub(crate) type Read<T> = Result<T, String>;

pub(crate) fn parse(text: &str) -> Read<Vec<Family>> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        let at = |why: String| format!("{line}: {why}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| at("no text".to_owned()))?;
            check_name(name, true).map_err(at)?;
            if families.iter().any(|family| family.name == name) {
                return Err(at("a family twice".to_owned()));
            }
            families.push(Family {
                name: name.to_owned(),
                help: unescape(help, false).map_err(at)?,
                kind: String::new(),
                samples: Vec::new(),
            });
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| at("no type".to_owned()))?;
            let family = families.last_mut().filter(|family| family.name == name);
            let family = family.ok_or_else(|| at("TYPE is not after its HELP".to_owned()))?;
            if !family.kind.is_empty() || !family.samples.is_empty() {
                return Err(at("TYPE twice or late".to_owned()));
            }
            if !["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind) {
                return Err(at("no such type".to_owned()));
            }
            kind.clone_into(&mut family.kind);
        } else {
            let (name, sample) = parse_sample(line).map_err(at)?;
            let family = families.last_mut().filter(|family| family.name == name);
            let family = family.ok_or_else(|| at("a sample outside of its family".to_owned()))?;
            if family.kind.is_empty() {
                return Err(at("a sample without TYPE".to_owned()));
            }
            if family.samples.iter().any(|other| other.labels == sample.labels) {
                return Err(at("the same labels twice".to_owned()));
            }
            family.samples.push(sample);
        }
    }
    Ok(families)
}

fn parse_sample(line: &str) -> Read<(String, Sample)> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let name = &line[..end];
    check_name(name, true)?;
    let mut rest = line[end..].chars().peekable();
    let mut labels = BTreeMap::new();
    if rest.next_if_eq(&'{').is_some() {
        while rest.next_if_eq(&'}').is_none() {
            let label: String = take_while(&mut rest, |c| c != '=');
            check_name(&label, false)?;
            expect(&mut rest, "=\"")?;
            let value = quoted(&mut rest)?;
            if labels.insert(label, value).is_some() {
                return Err("a label twice".to_owned());
            }
            // A comma may also end the list.
            if rest.next_if_eq(&',').is_none() && rest.peek() != Some(&'}') {
                return Err("no comma between labels".to_owned());
            }
        }
    }
    expect(&mut rest, " ")?;
    let value: String = rest.collect();
    check_value(&value)?;
    Ok((name.to_owned(), Sample { labels, value }))
}

fn quoted(rest: &mut Peekable<Chars<'_>>) -> Read<String> {
    let mut raw = String::new();
    loop {
        match rest.next().ok_or("a label's value does not end")? {
            '"' => return unescape(&raw, true),
            '\\' => {
                raw.push('\\');
                raw.push(rest.next().ok_or("a label's value does not end")?);
            }
            other => raw.push(other),
        }
    }
}

fn unescape(text: &str, in_quotes: bool) -> Read<String> {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        out.push(match rest.next() {
            Some('\\') => '\\',
            Some('n') => '\n',
            Some('"') if in_quotes => '"',
            other => return Err(format!("no such escape: {other:?}")),
        });
    }
    Ok(out)
}

fn take_while(rest: &mut Peekable<Chars<'_>>, wanted: impl Fn(char) -> bool) -> String {
    std::iter::from_fn(|| rest.next_if(|character| wanted(*character))).collect()
}

fn expect(rest: &mut Peekable<Chars<'_>>, wanted: &str) -> Read<()> {
    match wanted.chars().find(|wanted| rest.next() != Some(*wanted)) {
        None => Ok(()),
        Some(missing) => Err(format!("`{missing}` is missing")),
    }
}

fn check_name(name: &str, may_have_colons: bool) -> Read<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (may_have_colons && c == ':');
    let starts_well = name.chars().next().is_some_and(|first| !first.is_ascii_digit());
    if starts_well && name.chars().all(allowed) { Ok(()) } else { Err(format!("name `{name}`")) }
}

/// A value without a timestamp.
fn check_value(value: &str) -> Read<()> {
    if ["NaN", "+Inf", "-Inf"].contains(&value) {
        return Ok(());
    }
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    let is_number =
        digits.starts_with(|c: char| c.is_ascii_digit()) && digits.parse::<f64>().is_ok();
    if is_number { Ok(()) } else { Err(format!("value `{value}`")) }
}

#[test]
fn reads_the_example_of_the_format() {
    let text = "# HELP msdos_file_access_time_seconds A path: \\\\ and \\n.\n\
                # TYPE msdos_file_access_time_seconds gauge\n\
                msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find \
                file:\\n\\\"FILE.TXT\\\"\"} 1.458255915e9\n";
    let families = parse(text).unwrap();
    assert_eq!(families[0].help, "A path: \\ and \n.");
    let labels = &families[0].samples[0].labels;
    assert_eq!(labels["path"], "C:\\DIR\\FILE.TXT");
    assert_eq!(labels["error"], "Cannot find file:\n\"FILE.TXT\"");
}

#[test]
fn refuses_what_is_wrong() {
    let head = "# HELP a A.\n# TYPE a gauge\n";
    let names: BTreeSet<&str> = BTreeSet::from([
        "a 1",
        "a{b=\"c\"} 1\na{b=\"c\"} 2\n",
        "a{b=\"\\t\"} 1\n",
        "a{b=\"c\" 1\n",
        "a{b=\"c\",b=\"d\"} 1\n",
        "a{0=\"c\"} 1\n",
        "a one\n",
        "a inf\n",
        "a 1 1\n",
        "b 1\n",
        "# HELP a A.\n",
        "# TYPE a gauge\n",
        "# HELP b B.\n# TYPE b bool\n",
        "# HELP b B.\nb 1\n",
    ]);
    for wrong in names {
        assert!(parse(&format!("{head}{wrong}")).is_err(), "{wrong}");
    }
    assert!(parse(&format!("{head}a 1\n")).is_ok());
}
