//! A virtual machine with Debian's kernel for tests of what this machine's kernel is not set up for.
//!
//! [`packages`] gets qemu, a kernel and busybox without installing them; [`builds`] the programs to
//! run; [`disk`] makes the ext4 root they run on, [`initramfs`] what mounts it, [`guest`] the script
//! that runs them; [`boot`] runs the machine in bounded time and memory, without a network, and
//! [`report`] reads what its console said. Needs Linux on x86-64 with apt; never root.

pub mod boot;
pub mod builds;
pub mod disk;
pub mod guest;
pub mod initramfs;
pub mod packages;
pub mod report;

use std::process::Command;

/// Runs `command` to its end; its standard output, or an error with all it printed.
fn output_of(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let [out, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    Err(format!("{command:?}: {}\n{out}{error}", output.status))
}

/// [`output_of`] as text.
fn text_of(command: &mut Command) -> Result<String, String> {
    output_of(command).map(|text| String::from_utf8_lossy(&text).into_owned())
}

/// `error` with the path it is about.
fn at(path: &std::path::Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}
