//! One run of a machine: bounded in time and memory, no network, its console read line by line.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::packages::Packages;
use super::{at, initramfs};

/// How the machine's processors are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceleration {
    /// By this machine's own, through /dev/kvm.
    Kvm,
    /// By translation: some ten times slower.
    Tcg,
}

impl Acceleration {
    /// KVM if a kernel boots with it here: a /dev/kvm inside another machine may exist and not
    /// work. `BYWASH_VM_ACCELERATION=tcg` says not to try.
    ///
    /// # Errors
    ///
    /// The kernel to try with cannot be prepared in `cache`.
    pub fn best(packages: &Packages, cache: &Path) -> Result<Self, String> {
        const UP: &str = "up";
        if std::env::var("BYWASH_VM_ACCELERATION").is_ok_and(|told| told == "tcg") {
            return Ok(Self::Tcg);
        }
        if File::options().read(true).write(true).open("/dev/kvm").is_err() {
            return Ok(Self::Tcg);
        }
        let archive = NamedTempFile::new_in(cache).map_err(at(cache))?;
        fs::write(&archive, initramfs::that_says(packages, UP)?).map_err(at(archive.path()))?;
        let machine = Machine {
            packages,
            acceleration: Self::Kvm,
            memory_mib: 256,
            initramfs: archive.path(),
            disk: None,
        };
        let mut up = false;
        let ended = machine.run(KVM_BOOT_LIMIT, &mut |line| up |= line == UP);
        match ended {
            Ok(()) if up => return Ok(Self::Kvm),
            Ok(()) => println!("/dev/kvm is there, but no kernel boots with it"),
            Err(why) => println!("/dev/kvm is there, but no kernel boots with it: {why}"),
        }
        Ok(Self::Tcg)
    }
}

/// One boots within a second or two.
const KVM_BOOT_LIMIT: Duration = Duration::from_secs(20);

/// What to boot.
#[derive(Debug)]
pub struct Machine<'a> {
    /// Where qemu and the kernel are.
    pub packages: &'a Packages,
    /// How fast it is.
    pub acceleration: Acceleration,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The file of the first root.
    pub initramfs: &'a Path,
    /// The image of the disk, if it has one.
    pub disk: Option<&'a Path>,
}

impl Machine<'_> {
    /// Runs it to its end, showing each line of its console to `line`; killed after `limit`.
    ///
    /// # Errors
    ///
    /// It does not start, ends badly, or is killed.
    pub fn run(&self, limit: Duration, line: &mut dyn FnMut(&str)) -> Result<(), String> {
        let mut command = self.packages.qemu();
        command.args(match self.acceleration {
            Acceleration::Kvm => ["-accel", "kvm", "-cpu", "host,arch-capabilities=off"],
            Acceleration::Tcg => ["-accel", "tcg", "-cpu", "max"],
        });
        command.args(["-machine", "q35", "-smp", "2", "-nic", "none", "-nodefaults"]);
        command.args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]);
        command.args(["-m", &format!("{}M", self.memory_mib)]);
        command.arg("-kernel").arg(self.packages.kernel()?).arg("-initrd").arg(self.initramfs);
        if let Some(disk) = self.disk {
            // The image is thrown away, so no write of it need reach this machine's disk.
            let drive = format!("file={},format=raw,if=virtio,cache=unsafe", disk.display());
            command.args(["-drive", &drive]);
        }
        // A panic is a reboot at once, and a reboot is the end. What lesser messages the kernel has
        // would break the lines of the tests.
        command.args(["-append", "console=ttyS0 panic=-1 loglevel=1 cgroup_no_v1=all"]);
        let status = watch(&mut command, limit, line)?;
        status.success().then_some(()).ok_or_else(|| format!("the machine ended with {status}"))
    }
}

/// Ends its process when it goes, whatever the reason.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs `command` for `limit` at most.
fn watch(
    command: &mut Command,
    limit: Duration,
    line: &mut dyn FnMut(&str),
) -> Result<ExitStatus, String> {
    let deadline = Instant::now() + limit;
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = Guard(child.map_err(|error| format!("{command:?}: {error}"))?);
    let console = child.0.stdout.take().ok_or("no console")?;
    let (sender, lines) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        let mut console = BufReader::new(console);
        let mut bytes = Vec::new();
        while console.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if sender.send(text).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(text) => line(&text),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("killed after {} s", limit.as_secs()));
            }
        }
    }
    // It closed its console, so it ends now.
    child.0.wait().map_err(|error| format!("{command:?}: {error}"))
}
