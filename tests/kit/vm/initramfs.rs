//! The first root of a machine: busybox, the modules that find the disk, and a script that mounts it.
//!
//! Debian's packages come without `modules.dep`, so each module's own list of what it depends on is
//! read. The archive is cpio "newc": a header of 8-digit hexadecimal fields, a name, the bytes, each
//! padded to 4.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages::{Packages, entries};
use super::{at, output_of};

/// The archive: it loads `modules` and what they need, mounts /dev/vda and runs `start` there.
///
/// # Errors
///
/// A module is neither a file nor built in, or something cannot be read.
pub fn archive(packages: &Packages, modules: &[&str], start: &str) -> Result<Vec<u8>, String> {
    let modules = in_order(&packages.modules()?, modules)?;
    // A shell that ends is a panic of the kernel, and that ends the machine.
    let mut init = "mount -t devtmpfs dev /dev || exit 1\n".to_owned();
    for (name, _) in &modules {
        writeln!(init, "insmod /modules/{name}.ko || exit 1").expect("a string takes text");
    }
    writeln!(
        init,
        "mount -t ext4 /dev/vda /root || exit 1\nmount -o move /dev /root/dev || exit 1\n\
         exec switch_root -c /dev/console /root {start}"
    )
    .expect("a string takes text");
    with_init(packages, &init, &modules)
}

/// An archive that prints `line` and ends the machine.
///
/// # Errors
///
/// Something cannot be read.
pub fn that_says(packages: &Packages, line: &str) -> Result<Vec<u8>, String> {
    with_init(packages, &format!("echo '{line}'\nreboot -f\n"), &[])
}

fn with_init(
    packages: &Packages,
    script: &str,
    modules: &[(String, Vec<u8>)],
) -> Result<Vec<u8>, String> {
    let busybox = packages.busybox()?;
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "modules", "root"] {
        archive.entry(dir, DIRECTORY, &[]);
    }
    archive.entry("bin/busybox", EXECUTABLE, &fs::read(&busybox).map_err(at(&busybox))?);
    for (name, bytes) in modules {
        archive.entry(&format!("modules/{name}.ko"), EXECUTABLE, bytes);
    }
    let install = "#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin\n";
    archive.entry("init", EXECUTABLE, format!("{install}{script}").as_bytes());
    Ok(archive.finish())
}

/// The modules of `wanted` and all they need, each after what it needs; those built in left out.
fn in_order(dir: &Path, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut files = HashMap::new();
    find(&dir.join("kernel"), &mut files)?;
    let list = dir.join("modules.builtin");
    let built_in = fs::read_to_string(&list).map_err(at(&list))?;
    let built_in: Vec<String> =
        built_in.lines().filter_map(|line| module_name(Path::new(line))).collect();
    let mut loaded: Vec<(String, Vec<u8>)> = Vec::new();
    let mut open: Vec<String> = wanted.iter().rev().map(|&name| name.to_owned()).collect();
    while let Some(name) = open.pop() {
        if loaded.iter().any(|(other, _)| *other == name) || built_in.contains(&name) {
            continue;
        }
        let path = files.get(&name).ok_or_else(|| format!("the kernel has no module {name}"))?;
        let bytes = read(path)?;
        let missing: Vec<String> = depends(&bytes)
            .into_iter()
            .filter(|need| loaded.iter().all(|(other, _)| other != need))
            .filter(|need| !built_in.contains(need))
            .collect();
        if missing.is_empty() {
            loaded.push((name, bytes));
        } else {
            // Again, after them. Modules do not depend in circles: depmod refuses that.
            open.push(name);
            open.extend(missing);
        }
    }
    Ok(loaded)
}

fn find(dir: &Path, files: &mut HashMap<String, PathBuf>) -> Result<(), String> {
    for path in entries(dir)? {
        if path.is_dir() {
            find(&path, files)?;
        } else if let Some(name) = module_name(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// The name that modules know each other by: a dash of the file is an underscore.
fn module_name(path: &Path) -> Option<String> {
    let (name, _) = path.file_name()?.to_str()?.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    if path.extension().is_some_and(|extension| extension == "xz") {
        return output_of(Command::new("xz").arg("-dc").arg(path));
    }
    fs::read(path).map_err(at(path))
}

/// What a module's `depends=` says, among the NUL-ended strings of its `.modinfo`.
fn depends(module: &[u8]) -> Vec<String> {
    let mut strings = module.split(|&byte| byte == 0);
    let names = strings.find_map(|text| text.strip_prefix(b"depends=")).unwrap_or_default();
    let names = String::from_utf8_lossy(names);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: usize,
}

impl Archive {
    fn entry(&mut self, name: &str, mode: usize, data: &[u8]) {
        self.entries += 1;
        let name_size = name.len() + 1;
        // Number, mode, user, group, links, time, size, device and its own, name's size, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

const DIRECTORY: usize = 0o040_755;
const EXECUTABLE: usize = 0o100_755;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_headers_of_110_bytes_and_padded_data() {
        let mut archive = Archive::default();
        archive.entry("init", EXECUTABLE, b"#!sh\n");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("07070100000001000081ed"), "{text}");
        // 110 and 5 of the name are padded to 116, 5 bytes to 8.
        assert_eq!(&bytes[110..124], b"init\0\0#!sh\n\0\0\0");
        assert_eq!(&bytes[124..130], b"070701");
        assert_eq!(bytes.len(), 124 + 124);
    }

    #[test]
    fn modules_come_after_what_they_need() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = dir.path().join("kernel/fs");
        fs::create_dir_all(&kernel).unwrap();
        fs::write(dir.path().join("modules.builtin"), "kernel/lib/crc16.ko\n").unwrap();
        for (name, needs) in [("ext4", "jbd2,crc16,mb-cache"), ("jbd2", ""), ("mb-cache", "jbd2")] {
            let text = format!("x\0license=GPL\0depends={needs}\0name={name}\0");
            fs::write(kernel.join(format!("{name}.ko")), text).unwrap();
        }
        let names = |wanted: &[&str]| -> Result<Vec<String>, String> {
            Ok(in_order(dir.path(), wanted)?.into_iter().map(|(name, _)| name).collect())
        };
        assert_eq!(names(&["ext4", "jbd2", "crc16"]).unwrap(), ["jbd2", "mb_cache", "ext4"]);
        assert!(names(&["9p"]).unwrap_err().contains("9p"));
    }
}
