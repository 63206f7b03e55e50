//! The committed header is what the sources say, and compiles as C11 and C++17, also included twice.
//!
//! `BYWASH_BLESS=1 cargo test -p bywash-ffi --test header` writes it anew; the difference is then
//! there to be reviewed as what it is, a change of the interface.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn committed_header_is_what_the_sources_say() {
    let generated = generate();
    let path = header();
    if std::env::var_os("BYWASH_BLESS").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    for (number, (committed, generated)) in committed.lines().zip(generated.lines()).enumerate() {
        assert_eq!(
            committed,
            generated,
            "line {} of bywash.h; BYWASH_BLESS=1 rewrites it",
            number + 1
        );
    }
    assert!(committed == generated, "bywash.h ends elsewhere; BYWASH_BLESS=1 rewrites it");
}

#[test]
fn every_function_in_the_header_has_a_contract() {
    let header = fs::read_to_string(header()).unwrap();
    let mut functions = 0;
    let mut before = "";
    for line in header.lines() {
        let begins_function =
            line.contains(" bywash_") && line.contains('(') && !line.starts_with(' ');
        if begins_function {
            assert_eq!(before, " */", "no comment before: {line}");
            functions += 1;
        }
        before = line;
    }
    assert!(functions > 25, "found only {functions} functions");
}

#[test]
fn header_compiles_as_c11_and_as_cpp17_and_twice() {
    let include = header();
    let once = format!("#include \"{}\"\n", include.display());
    let units = [
        ("once", once.clone()),
        (
            "twice",
            format!(
                "{once}{once}int bywash_twice(void);\nint bywash_twice(void) {{ return BYWASH_OK; }}\n"
            ),
        ),
    ];
    for (name, unit) in &units {
        compile("cc", &["-std=c11"], &format!("{name}.c"), unit);
        compile("c++", &["-std=c++17"], &format!("{name}.cc"), unit);
    }
}

fn generate() -> String {
    let config = cbindgen::Config::from_file(manifest().join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in sources() {
        builder = builder.with_src(source);
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    // Rust's sections are C's too, less their markup.
    String::from_utf8(text).unwrap().replace("# Safety\n", "Safety:\n").replace(" *   - ", " * - ")
}

/// In the order of the header: what is needed first comes first.
fn sources() -> Vec<PathBuf> {
    let order = [
        "version", "status", "error", "options", "host", "context", "shuffle", "sink", "writer",
        "output", "stream",
    ];
    order.iter().map(|name| manifest().join("src").join(name).with_extension("rs")).collect()
}

fn compile(compiler: &str, flags: &[&str], name: &str, text: &str) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = dir.join(name);
    fs::write(&source, text).unwrap();
    let warnings = ["-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"];
    let output = Command::new(compiler).args(flags).args(warnings).arg(&source).output();
    let output = output.unwrap_or_else(|error| panic!("{compiler} does not run: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn header() -> PathBuf {
    manifest().join("include/bywash.h")
}

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
