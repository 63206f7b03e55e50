//! The script that runs a machine's test binaries on cgroup v2 and says how each ended.
//!
//! It is process 1. Lines of its own begin with [`MARK`]; all else is what the tests print.

use std::fmt::Write;
use std::path::Path;

use super::builds::Built;

/// What lines of the script begin with.
pub const MARK: &str = "bywash-vm:";

/// Where in the hierarchy a test binary runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the root, as a container's first process sees its own: nothing is enabled below.
    Root,
    /// In a leaf under a slice, as a service of systemd, the memory controller enabled down to it.
    Service,
}

/// A test binary to run.
#[derive(Debug)]
pub struct Job {
    /// What it is called in reports.
    pub name: String,
    /// The binary.
    pub built: Built,
    /// Where it runs.
    pub place: Place,
}

/// The script: `jobs` in order, with `variables` set, at most `seconds` for all of them.
pub fn script(jobs: &[Job], variables: &[(&str, &str)], seconds: u64) -> String {
    let mut script = START.replace("MARK", MARK).replace("SECONDS", &seconds.to_string());
    for (name, value) in variables {
        writeln!(script, "export {name}={}", quoted(value)).expect("a string takes text");
    }
    for job in jobs {
        let place = match job.place {
            Place::Root => ROOT.to_owned(),
            Place::Service => format!("{SLICE}/{}.service", job.name),
        };
        let words = [&job.name, place.as_str(), text(&job.built.package_dir)];
        let words = words.map(quoted).join(" ");
        let program = quoted(text(&job.built.executable));
        writeln!(script, "job {words} {program}").expect("a string takes text");
    }
    script.push_str(&END.replace("MARK", MARK));
    script
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of a build tree is text")
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

const ROOT: &str = "/sys/fs/cgroup";
const SLICE: &str = "/sys/fs/cgroup/bywash.slice";

/// The machine bounds itself too, in case nobody is left to end it.
const START: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/tmp
chmod 1777 /tmp /var/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
(sleep SECONDS; echo "MARK late"; reboot -f) &
echo "MARK kernel $(uname -r), $(nproc) processors, controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"

enable() {
    mkdir -p "$1/bywash.slice"
    echo +memory > "$1/cgroup.subtree_control"
    echo +memory > "$1/bywash.slice/cgroup.subtree_control"
}

# job NAME GROUP DIRECTORY PROGRAM
job() {
    echo "MARK begin $1"
    [ "$2" = /sys/fs/cgroup ] || enable /sys/fs/cgroup
    mkdir -p "$2"
    sh -c 'echo $$ > "$0/cgroup.procs" && cd "$1" && CARGO_MANIFEST_DIR="$1" exec "$2" --nocapture' \
        "$2" "$3" "$4" < /dev/null
    status=$?
    echo
    echo "MARK end $1 $status"
}

"#;

const END: &str = r#"
echo "MARK done"
sync
reboot -f
"#;
