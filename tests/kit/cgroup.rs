//! A child process alone in a fresh kernel memory limit, on cgroups v1 and v2.
//!
//! The group is made for one command and removed when its handle goes, with whatever still runs in
//! it. The child moves itself in before it becomes the command, so that every page is charged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// How a limited command ended.
#[derive(Debug)]
pub struct Limited {
    /// Status and output.
    pub output: Output,
    /// The most that was charged, page cache included, where the kernel tells.
    pub peak_bytes: Option<u64>,
    /// How often the limit was met (v1 failcnt, v2 the `max` event); reclaim follows each.
    pub limit_hits: u64,
    /// Processes killed for memory.
    pub oom_kills: u64,
}

/// Runs `program` with `arguments` under a limit of `bytes`, without swap.
///
/// # Errors
///
/// Why it cannot be done here: not root, no memory controller, a read-only hierarchy.
pub fn run_limited(
    bytes: u64,
    program: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<Limited, String> {
    let group = Group::new(bytes)?;
    let output = Command::new("sh")
        .args(["-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""])
        .arg(&group.path)
        .arg(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .map_err(|error| format!("the child does not start: {error}"))?;
    Ok(group.ended(output))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

struct Group {
    version: Version,
    path: PathBuf,
}

impl Group {
    fn new(bytes: u64) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts")
            .map_err(|error| format!("/proc/self/mounts: {error}"))?;
        let own = fs::read_to_string("/proc/self/cgroup")
            .map_err(|error| format!("/proc/self/cgroup: {error}"))?;
        let mut tried = vec!["no memory controller".to_owned()];
        for (version, parent) in parents(&mounts, &own) {
            match Self::below(version, &parent, bytes) {
                Ok(group) => return Ok(group),
                Err(error) => tried.push(format!("{}: {error}", parent.display())),
            }
        }
        Err(format!("no memory cgroup can be made ({})", tried.join("; ")))
    }

    fn below(version: Version, parent: &Path, bytes: u64) -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("bywash-test-{}-{number}", std::process::id()));
        if version == Version::V2 && !has_word(&parent.join("cgroup.subtree_control"), "memory") {
            // Refused in a group that holds processes, then the next parent up is tried.
            fs::write(parent.join("cgroup.subtree_control"), "+memory")?;
        }
        fs::create_dir(&path)?;
        let group = Self { version, path };
        let limit = bytes.to_string();
        match version {
            Version::V1 => {
                group.write("memory.limit_in_bytes", &limit)?;
                // Absent where the kernel does not count swap, or there is none.
                drop(group.write("memory.memsw.limit_in_bytes", &limit));
            }
            Version::V2 => {
                group.write("memory.max", &limit)?;
                drop(group.write("memory.swap.max", "0"));
            }
        }
        Ok(group)
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        // Not created: a file that is not there is a controller that is not there.
        let mut file = fs::OpenOptions::new().write(true).open(self.path.join(file))?;
        io::Write::write_all(&mut file, text.as_bytes())
    }

    fn ended(&self, output: Output) -> Limited {
        let (peak, hits, kills) = match self.version {
            Version::V1 => (
                self.number("memory.max_usage_in_bytes", None),
                self.number("memory.failcnt", None),
                self.number("memory.oom_control", Some("oom_kill")),
            ),
            Version::V2 => (
                self.number("memory.peak", None),
                self.number("memory.events", Some("max")),
                self.number("memory.events", Some("oom_kill")),
            ),
        };
        Limited {
            output,
            peak_bytes: peak,
            limit_hits: hits.unwrap_or(0),
            oom_kills: kills.unwrap_or(0),
        }
    }

    fn number(&self, file: &str, key: Option<&str>) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(file)).ok()?;
        match key {
            None => text.trim().parse().ok(),
            Some(key) => text.lines().find_map(|line| {
                let (name, value) = line.split_once(' ')?;
                (name == key).then(|| value.trim().parse().ok())?
            }),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel lets go of a dead process a little later than its parent hears of it.
        for _ in 0..500 {
            if let Ok(processes) = fs::read_to_string(self.path.join("cgroup.procs")) {
                for process in processes.lines() {
                    drop(Command::new("kill").args(["-9", process]).status());
                }
            }
            match fs::remove_dir(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::yield_now(),
                _ => return,
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        eprintln!("cannot remove {}", self.path.display());
    }
}

/// Where a group may be made: under our own, under each above it, under the root.
fn parents(mounts: &str, own: &str) -> Vec<(Version, PathBuf)> {
    let mut found = Vec::new();
    for mount in mounts.lines() {
        let words: Vec<&str> = mount.split(' ').collect();
        let [_, at, kind, options, ..] = words[..] else {
            continue;
        };
        let version = match kind {
            "cgroup" if options.split(',').any(|option| option == "memory") => Version::V1,
            "cgroup2" if has_word(&Path::new(at).join("cgroup.controllers"), "memory") => {
                Version::V2
            }
            _ => continue,
        };
        let ours = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let memory = controllers.split(',').any(|controller| controller == "memory");
            let matches = if version == Version::V1 { memory } else { controllers.is_empty() };
            matches.then(|| path.trim_start_matches('/').to_owned())
        });
        let mut parent = Path::new(at).join(ours.unwrap_or_default());
        while parent.starts_with(at) {
            if parent.is_dir() {
                found.push((version, parent.clone()));
            }
            parent.pop();
        }
    }
    found
}

fn has_word(file: &Path, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|found| found == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_our_group_and_those_above_it_in_a_mixed_setup() {
        let mounts = "cgroup /proc cgroup rw,cpu 0 0\ncgroup /proc cgroup rw,memory 0 0\n";
        let own = "4:memory:/self\n0::/\n";
        let found: Vec<PathBuf> = parents(mounts, own).into_iter().map(|(_, path)| path).collect();
        assert_eq!(found, ["/proc/self", "/proc"].map(PathBuf::from));
    }
}
