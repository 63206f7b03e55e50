//! A Java harness that stays alive: a line asks, a line answers, so that its runs alternate with ours.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::failure::Result;

/// A running harness; ends with this value.
#[derive(Debug)]
pub(crate) struct Jvm {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Jvm {
    /// Starts the class `main` of what `spark/install` made, with `options` to Java and `arguments` to it.
    pub(crate) fn start(main: &str, options: &[&str], arguments: &[&str]) -> Result<Self> {
        let home = home();
        if !home.join("classes").is_dir() {
            return Err("Spark is not here: benches/compare/spark/install makes it, \
                        --no-spark leaves it out"
                .into());
        }
        let class_path = format!("{0}/classes:{0}/jars/*", home.display());
        let mut child = Command::new("java")
            .args(OPENED.iter().flat_map(|package| ["--add-opens", package]))
            .args(options)
            .args(["-cp", &class_path, main])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self { child, requests, answers })
    }

    /// Says a line and returns the numbers of the line that answers it.
    pub(crate) fn ask(&mut self, request: &str) -> Result<Vec<u64>> {
        writeln!(self.requests, "{request}")?;
        self.requests.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let numbers: std::result::Result<_, _> =
            answer.split_whitespace().map(str::parse).collect();
        match numbers {
            Ok(numbers) if answer.ends_with('\n') => Ok(numbers),
            _ => Err(format!("the harness answered {request:?} with {answer:?}").into()),
        }
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        // It would end by itself with its input; this does not wait for a run under way.
        if self.child.kill().is_ok() {
            let _ended = self.child.wait();
        }
    }
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/spark")
}

/// Spark reads fields of these; its own start scripts open them.
const OPENED: [&str; 4] = [
    "java.base/java.lang=ALL-UNNAMED",
    "java.base/java.nio=ALL-UNNAMED",
    "java.base/sun.nio.ch=ALL-UNNAMED",
    "java.base/java.util=ALL-UNNAMED",
];
