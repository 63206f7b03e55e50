//! What an integrator installs: file names and SONAME, pkg-config, and the history of the interface.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use bywash_ffi::BYWASH_ABI_VERSION;

/// A C program finds header and library through pkg-config, and at run time through the SONAME.
#[test]
fn a_c_program_builds_with_pkg_config_against_an_installed_prefix() {
    if Command::new("pkg-config").arg("--version").output().is_err() {
        say("SKIPPED: a_c_program_builds_with_pkg_config...: pkg-config is not installed");
        return;
    }
    let place = scratch();
    let prefix = place.path().join("prefix");
    told(&mut install(&prefix));
    let mut asked = pkg_config(&prefix);
    let version = told(asked.args(["--modversion", "bywash"]));
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));

    let shared = place.path().join("shared");
    let flags = told(pkg_config(&prefix).args(["--cflags", "--libs", "bywash"]));
    told(compile(&shared).args(flags.split_whitespace()));
    told(Command::new(&shared).env("LD_LIBRARY_PATH", prefix.join("lib")));

    let linked_static = place.path().join("static");
    let flags = told(pkg_config(&prefix).args(["--static", "--cflags", "--libs", "bywash"]));
    let flags = flags.split_whitespace().map(|flag| match flag {
        "-lbywash_ffi" => "-l:libbywash_ffi.a",
        flag => flag,
    });
    told(compile(&linked_static).args(flags));
    told(&mut Command::new(&linked_static));
}

#[test]
fn installed_files_have_the_names_that_linkers_and_loaders_want() {
    let (major, minor) = (BYWASH_ABI_VERSION / 1000, BYWASH_ABI_VERSION % 1000);
    let place = scratch();
    // Staged, as packages are made.
    let mut staged = install(Path::new("/usr/local"));
    told(staged.env("DESTDIR", place.path()).env("LIBDIR", "lib64"));
    let prefix = place.path().join("usr/local");
    let lib = prefix.join("lib64");
    let links = |name: String| fs::read_link(lib.join(name)).unwrap();
    let soname = format!("libbywash_ffi.so.{major}");
    assert_eq!(links("libbywash_ffi.so".to_owned()), Path::new(&soname));
    assert_eq!(links(soname.clone()), Path::new(&format!("{soname}.{minor}")));
    for file in ["libbywash_ffi.a", "pkgconfig/bywash.pc"] {
        assert!(lib.join(file).is_file(), "{file}");
    }
    for file in ["include/bywash.h", "share/doc/bywash/LICENSE", "share/doc/bywash/HISTORY.md"] {
        assert!(prefix.join(file).is_file(), "{file}");
    }
    let pc = fs::read_to_string(lib.join("pkgconfig/bywash.pc")).unwrap();
    assert!(pc.contains("prefix=/usr/local\n") && pc.contains("libdir=${prefix}/lib64\n"), "{pc}");
    assert!(!pc.contains('@'), "{pc}");

    if cfg!(target_os = "linux") {
        let entries = told(Command::new("readelf").arg("-d").arg(lib.join(&soname)));
        let named = entries.lines().find(|line| line.contains("(SONAME)"));
        assert!(named.is_some_and(|line| line.contains(&format!("[{soname}]"))), "{entries}");
    }
    for wrong in ["relative", "/with blanks/in it"] {
        let output = install(Path::new(wrong)).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}

/// Every function is in the history, once, since a version that there is; and nothing else is.
#[test]
fn history_lists_the_functions_of_symbols_txt() {
    let history = fs::read_to_string(manifest().join("HISTORY.md")).unwrap();
    let mut since = BTreeMap::new();
    for line in history.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, version, name, _] = cells[..] else { continue };
        let Ok(version) = version.parse::<u32>() else { continue };
        let name = name.trim_matches('`').to_owned();
        assert!(since.insert(name, version).is_none(), "listed twice: {line}");
        assert!(
            (BYWASH_ABI_VERSION / 1000 * 1000..=BYWASH_ABI_VERSION).contains(&version),
            "{line}"
        );
    }
    let symbols = fs::read_to_string(manifest().join("symbols.txt")).unwrap();
    for symbol in symbols.lines() {
        assert!(since.contains_key(symbol), "{symbol} is not in ffi/HISTORY.md");
    }
    for name in since.keys() {
        assert!(symbols.lines().any(|symbol| symbol == name), "{name} is in ffi/HISTORY.md alone");
    }
}

/// The script, with what cargo built for this test.
fn install(prefix: &Path) -> Command {
    let mut install = Command::new(manifest().join("install"));
    install.arg(prefix).arg(std::env::current_exe().unwrap().parent().unwrap());
    install.env_remove("DESTDIR").env_remove("LIBDIR");
    install
}

fn pkg_config(prefix: &Path) -> Command {
    let mut pkg_config = Command::new("pkg-config");
    pkg_config.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    pkg_config
}

fn compile(program: &Path) -> Command {
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror"]).arg("-o").arg(program);
    cc.arg(manifest().join("tests/install/host.c"));
    cc
}

/// What it printed; it must succeed.
fn told(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{complaint}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("install-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Says it past the harness, which swallows what passing tests print.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn manifest() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
