//! What happens beside a job: a limit that falls, a heap of ours, another process, a JVM.
//!
//! Processes run in the job's own group, take a step for each byte they read, answer each with `!`
//! and end with their standard input. They are ended by their handles.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bywash_tests::child;

use crate::{HEAP, LOWERED, STEP, TAKEN};

/// What a job's name says will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The limit of the group falls.
    Limit,
    /// A process comes and grows step by step.
    Neighbour,
    /// Memory of our own process, declared, is touched at once.
    Heap,
    /// The heap of a JVM that was there from the start, declared, is touched at once.
    DeclaredJvm,
    /// The heap of a JVM that was there from the start grows step by step.
    Jvm,
}

/// The state of it.
#[derive(Debug)]
pub(crate) struct Beside {
    what: What,
    lowered: bool,
    heap: Vec<u8>,
    process: Option<Stepped>,
    taken: u64,
}

impl What {
    pub(crate) fn named(name: &str) -> Self {
        let all = [Self::Limit, Self::Neighbour, Self::Heap, Self::DeclaredJvm, Self::Jvm];
        all.into_iter().find(|what| what.name() == name).unwrap()
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Neighbour => "neighbour",
            Self::Heap => "heap",
            Self::DeclaredJvm => "declared-jvm",
            Self::Jvm => "jvm",
        }
    }

    pub(crate) const fn is_jvm(self) -> bool {
        matches!(self, Self::DeclaredJvm | Self::Jvm)
    }
}

impl Beside {
    /// Starts what is there from the start; `dir` holds the compiled program of a JVM.
    pub(crate) fn start(what: What, dir: &Path) -> Self {
        let process = what.is_jvm().then(|| Stepped::start(&mut jvm(dir)));
        Self { what, lowered: false, heap: Vec::new(), process, taken: 0 }
    }

    /// The next thing happens in the group at `group`.
    pub(crate) fn happen(&mut self, group: &str) {
        match self.what {
            What::Limit if !self.lowered => {
                lower(Path::new(group));
                self.lowered = true;
            }
            What::Heap if self.heap.is_empty() => {
                self.heap = vec![1; usize::try_from(TAKEN).unwrap()];
            }
            What::DeclaredJvm => while self.step() {},
            What::Neighbour | What::Jvm => {
                self.step();
            }
            What::Limit | What::Heap => {}
        }
    }

    /// What a process beside the job has taken.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether there was one more to take.
    fn step(&mut self) -> bool {
        if self.taken >= TAKEN {
            return false;
        }
        let process = self.process.get_or_insert_with(|| {
            Stepped::start(&mut child::command("neighbour_in_a_child", "neighbour"))
        });
        process.input.as_mut().unwrap().write_all(b"+").unwrap();
        process.answer();
        self.taken += STEP;
        true
    }
}

/// A process that takes a step when it is told to.
#[derive(Debug)]
struct Stepped {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Stepped {
    /// Starts it and waits until it is ready.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut started = Self { child, input, output };
        started.answer();
        started
    }

    /// Fails if it was killed.
    fn answer(&mut self) {
        let mut byte = [0];
        while byte != *b"!" {
            self.output.read_exact(&mut byte).unwrap();
        }
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.output.read_to_end(&mut Vec::new()));
        let ended = self.child.wait().unwrap();
        // It may have been killed instead of the job, which then did not end well either.
        assert!(ended.success() || std::thread::panicking(), "{ended}");
    }
}

/// The neighbour's side of [`Stepped`].
pub(crate) fn neighbour() {
    let (mut held, mut byte) = (Vec::new(), [0]);
    let mut output = std::io::stdout();
    loop {
        output.write_all(b"!").unwrap();
        output.flush().unwrap();
        if std::io::stdin().read(&mut byte).unwrap() == 0 {
            return;
        }
        held.push(std::hint::black_box(vec![1u8; usize::try_from(STEP).unwrap()]));
    }
}

/// Compiles the program of a JVM into `dir`, or says why it cannot be.
pub(crate) fn compile(dir: &Path) -> Result<(), String> {
    run("java", [OsStr::new("-version")])?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/container_job/LateHeap.java");
    run("javac", [OsStr::new("-d"), dir.as_os_str(), source.as_os_str()])
}

fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program} does not start: {error}"))?;
    let err = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{program} failed: {err}"))
}

/// A JVM with a heap that starts small and may become [`HEAP`]; what it needs beside is bounded by
/// the other options, as far as there are some.
fn jvm(dir: &Path) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xms16m", &format!("-Xmx{HEAP}"), "-Xmn16m", "-XX:+UseSerialGC"]);
    command.args(["-XX:MaxMetaspaceSize=24m", "-XX:ReservedCodeCacheSize=16m"]);
    command.args(["-XX:+ExitOnOutOfMemoryError", "-cp"]);
    command.arg(dir).arg("LateHeap");
    // The harness may ask for options of its own.
    command.env_remove("JAVA_TOOL_OPTIONS").env_remove("_JAVA_OPTIONS");
    command
}

fn lower(group: &Path) {
    let files = ["memory.limit_in_bytes", "memory.max"].map(|name| group.join(name));
    let file = files.iter().find(|file| file.exists()).unwrap();
    std::fs::write(file, LOWERED.to_string()).unwrap();
}
