//! Filesystems made for a test, unmounted at its end. They need root; where they cannot be made the
//! test says so and does not run.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::dirs::on_disk;

/// A mounted filesystem; its mount point is a fresh directory on a disk.
#[derive(Debug)]
pub struct Mounted {
    at: TempDir,
    /// Where its image is, if that is ours; removed after the unmounting.
    image: Option<TempDir>,
}

impl Mounted {
    /// `None`, with a loud line for `test`, where this machine does not let us.
    pub fn tmpfs(test: &str, size: &str) -> Option<Self> {
        Self::mount(test, &["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
    }

    /// As [`Mounted::tmpfs`], without a size.
    pub fn ramfs(test: &str) -> Option<Self> {
        Self::mount(test, &["-t", "ramfs", "none"])
    }

    /// As [`Mounted::tmpfs`], on a file on a disk.
    pub fn ext4(test: &str, size: &str) -> Option<Self> {
        let image = on_disk();
        let mut mounted = Self::ext4_in(test, size, image.path())?;
        mounted.image = Some(image);
        Some(mounted)
    }

    /// As [`Mounted::tmpfs`], on a file in `dir`, which lives longer.
    pub fn ext4_in(test: &str, size: &str, dir: &Path) -> Option<Self> {
        let image = dir.join("image");
        let made = run("truncate", &["-s", size, text(&image)])
            .and_then(|()| run("mkfs.ext4", &["-q", text(&image)]));
        if let Err(why) = made {
            crate::skipped(test, &format!("no ext4 could be made: {why}"));
            return None;
        }
        Self::mount(test, &["-o", "loop", text(&image)])
    }

    /// `source` again, at another place.
    pub fn bind(test: &str, source: &Path) -> Option<Self> {
        Self::mount(test, &["--bind", text(source)])
    }

    /// An overlay over an empty layer, new files going to a directory in `upper`.
    pub fn overlay(test: &str, upper: &Path) -> Option<Self> {
        let layers = ["lower", "up", "work"].map(|name| upper.join(name));
        for layer in &layers {
            std::fs::create_dir(layer).expect("a layer");
        }
        let [lower, up, work] = layers;
        let options =
            format!("lowerdir={},upperdir={},workdir={}", text(&lower), text(&up), text(&work));
        Self::mount(test, &["-t", "overlay", "-o", &options, "overlay"])
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.at.path()
    }

    fn mount(test: &str, what: &[&str]) -> Option<Self> {
        let at = on_disk();
        let arguments = [what, &[text(at.path())]].concat();
        match run("mount", &arguments) {
            Ok(()) => Some(Self { at, image: None }),
            Err(error) => {
                crate::skipped(test, &format!("mount {what:?} (needs root): {error}"));
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = run("umount", &["-l", text(self.at.path())]) {
            eprintln!("a test filesystem stays mounted: {error}");
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|why| why.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours is text")
}
