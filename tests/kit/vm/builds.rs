//! The programs that a machine runs, built by cargo in the profile of this very program.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::text_of;

/// A program that cargo built.
#[derive(Debug, Clone)]
pub struct Built {
    /// Its file.
    pub executable: PathBuf,
    /// The directory of its package, where cargo runs tests.
    pub package_dir: PathBuf,
}

/// Which test binary of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// The unit tests of its library.
    Library,
    /// The integration test of this name.
    Test(&'a str),
}

/// The test binary `target` of `package`.
///
/// # Errors
///
/// What cargo printed, if there is no such test or it does not build.
pub fn test(package: &str, target: Target<'_>) -> Result<Built, String> {
    let mut arguments = vec!["test", "--no-run", "-p", package];
    match target {
        Target::Library => arguments.push("--lib"),
        Target::Test(name) => arguments.extend(["--test", name]),
    }
    built(&cargo(&arguments)?, |message| {
        // A test's build brings the programs of its package along.
        let test = message["profile"]["test"] == true;
        test && match target {
            Target::Library => true,
            Target::Test(name) => message["target"]["name"] == name,
        }
    })
    .ok_or_else(|| format!("{package} has no tests {target:?}"))
}

/// The program `name` of `package`.
///
/// # Errors
///
/// What cargo printed, if there is no such program or it does not build.
pub fn program(package: &str, name: &str) -> Result<Built, String> {
    let messages = cargo(&["build", "-p", package, "--bin", name])?;
    built(&messages, |message| message["target"]["name"] == name)
        .ok_or_else(|| format!("{package} has no program {name}"))
}

fn cargo(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).arg("--message-format=json-render-diagnostics");
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // Its progress is worth seeing: a first build takes minutes.
    text_of(command.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()))
}

/// The first executable among cargo's `messages` that is `wanted`.
fn built(messages: &str, wanted: impl Fn(&Value) -> bool) -> Option<Built> {
    messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let executable = message["executable"].as_str().filter(|_| wanted(&message))?;
        let package_dir = Path::new(message["manifest_path"].as_str()?).parent()?;
        Some(Built { executable: executable.into(), package_dir: package_dir.into() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_an_executable_is_looked_at() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"a"},"executable":null}
            {"reason":"build-script-executed"}
            {"manifest_path":"/p/Cargo.toml","target":{"name":"a"},"executable":"/t/a"}"#;
        let found = built(messages, |message| message["target"]["name"] == "a").unwrap();
        assert_eq!((found.executable, found.package_dir), ("/t/a".into(), "/p".into()));
        assert!(built(messages, |_| false).is_none());
    }
}
