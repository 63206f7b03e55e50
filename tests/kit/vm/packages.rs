//! qemu, a kernel and busybox out of Debian's packages, unpacked in a cache and not installed.
//!
//! What qemu needs beyond what is installed here comes with it, so nothing of the host changes and
//! root is not needed. The cache is complete or absent: it is unpacked beside and then renamed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{at, output_of, text_of};

/// Where the parts of a machine lie.
#[derive(Debug)]
pub struct Packages {
    root: PathBuf,
    qemu: PathBuf,
}

impl Packages {
    /// Those cached under `cache`, fetched first if they are not there: about 45 MB.
    ///
    /// # Errors
    ///
    /// What is missing and how to get it.
    pub fn obtain(cache: &Path) -> Result<Self, String> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err("the virtual machine is made for Linux on x86-64 only".to_owned());
        }
        let root = cache.join("packages");
        let unpacked = if root.is_dir() { Ok(()) } else { fetch(cache, &root) };
        let found = unpacked.and_then(|()| {
            let qemu = [root.join("usr/bin").join(QEMU)].into_iter().chain(in_path(QEMU));
            let qemu = qemu.into_iter().find(|path| path.is_file());
            let found =
                Self { qemu: qemu.ok_or_else(|| format!("no {QEMU}"))?, root: root.clone() };
            // A cache that lacks one is found out here and not in the machine.
            [Self::kernel, Self::modules, Self::busybox]
                .map(|part| part(&found))
                .into_iter()
                .collect::<Result<Vec<_>, _>>()?;
            Ok(found)
        });
        found.map_err(|why| {
            format!(
                "no virtual machine: {why}\nIt takes {QEMU} (in the PATH, or Debian's {QEMU_PACKAGE}), \
                 Debian's {KERNEL_PACKAGE} and {BUSYBOX_PACKAGE}, and mkfs.ext4 (e2fsprogs).\n\
                 They are got with apt-get download: on Debian, run `apt-get update` as root once \
                 where no package is found or one is gone; if {} is broken, remove it.",
                root.display()
            )
        })
    }

    /// A command that runs qemu with its libraries and firmware.
    pub fn qemu(&self) -> Command {
        let mut command = Command::new(&self.qemu);
        if self.qemu.starts_with(&self.root) {
            let libraries = ["usr/lib", "lib"].map(|lib| self.root.join(lib).join(MULTIARCH));
            // Paths of a build tree hold no colon, or nothing here would have been built.
            command.env("LD_LIBRARY_PATH", env::join_paths(libraries).unwrap_or_default());
            for firmware in ["qemu", "seabios"] {
                command.arg("-L").arg(self.root.join("usr/share").join(firmware));
            }
        }
        command
    }

    /// The compressed kernel.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn kernel(&self) -> Result<PathBuf, String> {
        let starts = |path: &Path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
        };
        let boot = self.root.join("boot");
        entries(&boot)?.into_iter().find(|path| starts(path)).ok_or_else(|| "no vmlinuz".to_owned())
    }

    /// The directory of the kernel's modules.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn modules(&self) -> Result<PathBuf, String> {
        let places = ["lib/modules", "usr/lib/modules"].map(|place| self.root.join(place));
        let place = places.iter().find(|place| place.is_dir()).ok_or("no modules")?;
        entries(place)?.pop().ok_or_else(|| "no modules".to_owned())
    }

    /// A busybox that needs no library.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn busybox(&self) -> Result<PathBuf, String> {
        let places = ["bin/busybox", "usr/bin/busybox"].map(|place| self.root.join(place));
        places.into_iter().find(|place| place.is_file()).ok_or_else(|| "no busybox".to_owned())
    }
}

/// The program that is the machine.
const QEMU: &str = "qemu-system-x86_64";
const QEMU_PACKAGE: &str = "qemu-system-x86";
/// The kernel for virtual machines: half the size, and ext4 may be built in.
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";
const BUSYBOX_PACKAGE: &str = "busybox-static";
const MULTIARCH: &str = "x86_64-linux-gnu";

/// Downloads and unpacks, into `root` once all of it is there.
fn fetch(cache: &Path, root: &Path) -> Result<(), String> {
    fs::create_dir_all(cache).map_err(at(cache))?;
    let mut names = vec![BUSYBOX_PACKAGE.to_owned(), kernel_package()?];
    if in_path(QEMU).next().is_none() {
        let install = ["-s", "install", "--no-install-recommends", QEMU_PACKAGE];
        let plan = text_of(apt("apt-get").args(install))?;
        // "Inst name (version ...)": it and what it needs that is not installed here.
        let inst = plan.lines().filter_map(|line| line.strip_prefix("Inst "));
        names.extend(inst.filter_map(|rest| Some(rest.split(' ').next()?.to_owned())));
    }
    println!("fetching {} packages of Debian into {}", names.len(), cache.display());
    let work = tempfile::tempdir_in(cache).map_err(at(cache))?;
    let (archives, unpacked) = (work.path().join("archives"), work.path().join("unpacked"));
    for dir in [&archives, &unpacked] {
        fs::create_dir(dir).map_err(at(dir))?;
    }
    output_of(apt("apt-get").arg("download").args(&names).current_dir(&archives))?;
    for archive in entries(&archives)? {
        output_of(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&unpacked))?;
    }
    fs::rename(&unpacked, root).map_err(at(root))
}

/// What the package of the newest kernel depends on: the kernel itself.
fn kernel_package() -> Result<String, String> {
    let depends = text_of(apt("apt-cache").args(["depends", KERNEL_PACKAGE]))?;
    let mut names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let name = names.find(|name| name.starts_with("linux-image-"));
    name.map(str::to_owned)
        .ok_or_else(|| format!("{KERNEL_PACKAGE} depends on no kernel:\n{depends}"))
}

fn apt(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C");
    command
}

/// The programs of that name in the PATH.
pub(super) fn in_path(program: &str) -> impl Iterator<Item = PathBuf> {
    let dirs: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    dirs.into_iter().map(move |dir| dir.join(program)).filter(|path| path.is_file())
}

/// The paths in `dir`, sorted.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let found = fs::read_dir(dir).map_err(at(dir))?;
    let mut paths = found
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(at(dir))?;
    paths.sort();
    Ok(paths)
}
