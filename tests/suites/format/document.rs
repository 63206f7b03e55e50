//! The document's tables and examples, by the markers before them.

use std::path::{Path, PathBuf};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_path_buf()
}

/// The cells of the table after `<!-- table: name -->`, without its head.
pub(crate) fn table(name: &str) -> Vec<Vec<String>> {
    let text = after(&format!("<!-- table: {name} -->"));
    let lines = text.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| {
        let inner = line.trim_matches('|');
        let cells = inner.split('|').map(|cell| cell.trim().replace('`', ""));
        cells.collect::<Vec<_>>()
    };
    let rows: Vec<_> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "table {name} has rows");
    rows
}

/// The bytes of the annotated example after `<!-- example: name -->`.
pub(crate) fn example(name: &str) -> Vec<u8> {
    let text = after(&format!("<!-- example: {name} -->"));
    let lines = text.lines().skip_while(|line| !line.starts_with("```"));
    let mut bytes = Vec::new();
    for line in lines.skip(1).take_while(|line| !line.starts_with("```")) {
        let (offset, rest) = line.split_once("  ").unwrap_or_else(|| panic!("{line}"));
        let offset = usize::from_str_radix(offset, 16).unwrap_or_else(|_| panic!("{line}"));
        assert_eq!(offset, bytes.len(), "{line}");
        let hex = rest.split("  ").next().unwrap();
        for byte in hex.split(' ') {
            bytes.push(u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("{line}")));
        }
    }
    bytes
}

fn after(marker: &str) -> String {
    let document = std::fs::read_to_string(root().join("docs/FORMAT.md")).unwrap();
    let mut parts = document.split(marker);
    parts.next();
    let text = parts.next().unwrap_or_else(|| panic!("no {marker}"));
    assert!(parts.next().is_none(), "{marker} stands once");
    text.to_owned()
}
