//! The C programs of tests/c, built as a host would build them and run against both libraries: the
//! shared one and the static one, natively and under Valgrind. And what the shared one exports.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]
#![expect(clippy::print_stdout, reason = "the programs' figures, with --nocapture")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

#[test]
fn c_tests_pass_with_the_shared_library() {
    run_tests(Command::new(Program::shared().path));
}

#[test]
fn c_tests_pass_with_the_static_library() {
    run_tests(Command::new(Program::linked_static().path));
}

/// Memory errors, and what is lost at the end. Valgrind shows the program a processor without
/// AVX-512: should there ever be kernels with it, the runs above are the ones that test them.
#[test]
fn c_tests_pass_under_valgrind() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        say("SKIPPED: c_tests_pass_under_valgrind: valgrind is not installed");
        return;
    }
    let program = Program::shared();
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--quiet", "--error-exitcode=9", "--leak-check=full", "--num-callers=30"])
        .args(["--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"])
        .args(["--child-silent-after-fork=yes", "--fair-sched=yes"])
        .envs([("BYWASH_ROUNDS", "6"), ("BYWASH_LENDER_SECONDS", "1"), ("BYWASH_FORKS", "1")])
        .env("BYWASH_LENDER_BATCHES", "40");
    valgrind.arg(&program.path);
    run_tests(valgrind);
}

/// A host that lends in parts and takes back at random, in a program whose malloc and mmap count what
/// the library really allocates: at every callback and at random instants it is within what was lent,
/// but for 1 % and 1 MiB.
#[test]
fn the_shared_library_allocates_within_what_a_c_host_lent() {
    run_counted(Program::counted(&shared_library(), "c_tests_counted_shared"));
}

/// As above.
#[test]
fn the_static_library_allocates_within_what_a_c_host_lent() {
    run_counted(Program::counted(&libraries().join("libbywash_ffi.a"), "c_tests_counted_static"));
}

fn run_counted(program: Option<Program>) {
    let Some(program) = program else {
        say(
            "SKIPPED: a library allocates within what a C host lent: only glibc's malloc is counted",
        );
        return;
    };
    let mut command = Command::new(program.path);
    let scratch = scratch();
    let tests = ["lender", "host_refuses", "host_pays_for_batches"];
    run(copies(&mut command).arg(scratch.path()).args(tests));
}

/// Nothing of Rust's, Zstandard's or LZ4's leaks out: a host may have its own.
#[test]
fn shared_library_exports_what_symbols_txt_lists_and_no_more() {
    let exported = symbols("--defined-only");
    let path = manifest().join("symbols.txt");
    if std::env::var_os("BYWASH_BLESS").is_some() {
        let lines: Vec<_> = exported.iter().map(String::as_str).collect();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let listed = fs::read_to_string(&path).unwrap_or_default();
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    assert!(!exported.contains("bywash_inject_panic"), "built for panic injection: {REBUILD}");
    assert_eq!(exported, listed, "BYWASH_BLESS=1 rewrites symbols.txt");
    assert!(exported.iter().all(|symbol| symbol.starts_with("bywash_")), "{exported:?}");
    let header = fs::read_to_string(manifest().join("include/bywash.h")).unwrap();
    for symbol in exported {
        assert!(header.contains(&format!("{symbol}(")), "{symbol} is not in bywash.h");
    }
}

/// No thread, no process, no handler of signals or forks is the library's: it does not even import what
/// makes them. What runs is in tests/c/threads.c, which uses every function.
#[test]
fn library_starts_no_thread_and_installs_no_handler() {
    let imported = symbols("--undefined-only");
    let makers = [
        "pthread_create",
        "thrd_create",
        "clone",
        "clone3",
        "fork",
        "vfork",
        "posix_spawn",
        "posix_spawnp",
        "system",
        "pthread_atfork",
        "__register_atfork",
        "sigaction",
        "signal",
        "pthread_sigmask",
        "timer_create",
        "setitimer",
        "atexit",
        "setenv",
        "putenv",
        "unsetenv",
        "setlocale",
    ];
    assert!(imported.contains("malloc"), "no list of imports: {imported:?}");
    for maker in makers {
        assert!(!imported.contains(maker), "the library imports {maker}");
    }
    let uses = fs::read_to_string(tests().join("threads.c")).unwrap();
    for symbol in fs::read_to_string(manifest().join("symbols.txt")).unwrap().lines() {
        assert!(uses.contains(&format!("{symbol}(")), "tests/c/threads.c does not use {symbol}");
    }
}

/// Dynamic symbols of the shared library, without their versions.
fn symbols(which: &str) -> BTreeSet<String> {
    let output = Command::new("nm").args(["-D", which]).arg(shared_library()).output();
    let output = output.unwrap_or_else(|error| panic!("nm does not run: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split_whitespace().last());
    names.map(|name| name.split('@').next().unwrap_or(name).to_owned()).collect()
}

const REBUILD: &str = "touch ffi/src/lib.rs, and use another CARGO_TARGET_DIR for that feature";

struct Program {
    path: PathBuf,
}

impl Program {
    fn shared() -> Self {
        static ONCE: OnceLock<()> = OnceLock::new();
        let path = out().join("c_tests_shared");
        ONCE.get_or_init(|| link(&path, &shared_library()));
        Self { path }
    }

    fn linked_static() -> Self {
        let path = out().join("c_tests_static");
        link(&path, &libraries().join("libbywash_ffi.a"));
        Self { path }
    }

    /// With a malloc that counts, but not what the tests' own sources take; nothing without glibc.
    fn counted(library: &Path, name: &str) -> Option<Self> {
        if cfg!(not(all(target_os = "linux", target_env = "gnu"))) {
            return None;
        }
        let (path, counter) = (out().join(name), out().join(format!("{name}.o")));
        run(compiler().arg("-c").arg(tests().join("counter/counter.c")).arg("-o").arg(&counter));
        let renamed =
            ["-DCOUNTED", "-Dmalloc=own_malloc", "-Dcalloc=own_calloc", "-Dfree=own_free"];
        link_with(&path, library, compiler().args(renamed).arg(counter));
        Some(Self { path })
    }
}

/// Compiles all sources and links them with `library`.
fn link(program: &Path, library: &Path) {
    link_with(program, library, &mut compiler());
}

fn link_with(program: &Path, library: &Path, cc: &mut Command) {
    assert!(library.is_file(), "{} is not there: cargo builds it", library.display());
    let mut sources: Vec<_> = fs::read_dir(tests()).unwrap().collect();
    sources.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
    let sources = sources.into_iter().map(|entry| entry.unwrap().path());
    cc.args(sources.filter(|path| path.extension().is_some_and(|extension| extension == "c")));
    cc.arg(library).arg(format!("-Wl,-rpath,{}", out().display()));
    if library == shared_library() {
        name_as_asked_for();
    }
    // What `rustc --print native-static-libs` names.
    cc.args(["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"]);
    run(cc.arg("-o").arg(program));
}

/// Programs ask for the shared library by its SONAME, as they do where it is installed.
fn name_as_asked_for() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let name =
            out().join(format!("libbywash_ffi.so.{}", bywash_ffi::BYWASH_ABI_VERSION / 1000));
        drop(fs::remove_file(&name));
        std::os::unix::fs::symlink(shared_library(), name).unwrap();
    });
}

/// Warnings denied.
fn compiler() -> Command {
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", "-g"])
        .arg("-I")
        .arg(manifest().join("include"))
        .arg("-I")
        .arg(tests());
    cc
}

/// Runs all C tests in an empty directory.
fn run_tests(mut command: Command) {
    let scratch = scratch();
    run(copies(&mut command).arg(scratch.path()));
}

fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("c-tests-").tempdir_in(out()).unwrap()
}

/// Names two copies of the shared library; the dynamic loader takes one file for one library.
fn copies(command: &mut Command) -> &mut Command {
    static ONCE: OnceLock<[PathBuf; 2]> = OnceLock::new();
    let copies = ONCE.get_or_init(|| {
        ["copy_1.so", "copy_2.so"].map(|name| {
            let copy = out().join(name);
            fs::copy(shared_library(), &copy).unwrap();
            copy
        })
    });
    command.env("BYWASH_COPY_1", &copies[0]).env("BYWASH_COPY_2", &copies[1])
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (told, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{told}");
    assert!(output.status.success(), "{command:?}: {}\n{told}\n{complaint}", output.status);
}

/// Says it past the harness, which swallows what passing tests print.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn shared_library() -> PathBuf {
    libraries().join("libbywash_ffi.so")
}

/// Cargo builds the package's libraries beside its tests.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn out() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn tests() -> PathBuf {
    manifest().join("tests/c")
}

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
