//! The root of a machine: files gathered in a directory, then written into an ext4 image at once.
//!
//! Programs lie where they lie here, since paths are compiled into tests, and bring the shared
//! libraries they need. mkfs fills the image itself, so nothing is mounted and root is not needed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::packages::in_path;
use super::{at, output_of, text_of};

/// The root being gathered; gone with this value, its image too.
#[derive(Debug)]
pub struct Disk {
    work: TempDir,
}

impl Disk {
    /// An empty root, gathered in `cache`: files of that filesystem are linked and not copied.
    ///
    /// # Errors
    ///
    /// The directory cannot be written.
    pub fn new(cache: &Path) -> Result<Self, String> {
        let disk = Self { work: tempfile::tempdir_in(cache).map_err(at(cache))? };
        for place in ["bin", "dev", "proc", "sys", "tmp", "run", "var/tmp"] {
            disk.dir(&Path::new("/").join(place))?;
        }
        Ok(disk)
    }

    /// Makes the directory `path`.
    ///
    /// # Errors
    ///
    /// It cannot be made here.
    pub fn dir(&self, path: &Path) -> Result<(), String> {
        let here = self.here(path);
        fs::create_dir_all(&here).map_err(at(&here))
    }

    /// Puts the file `from` at `path`.
    ///
    /// # Errors
    ///
    /// It cannot be read here.
    pub fn file(&self, path: &Path, from: &Path) -> Result<(), String> {
        let here = self.here(path);
        if here.exists() {
            return Ok(());
        }
        self.dir(path.parent().unwrap_or(path))?;
        // A link to a symbolic link would be one again.
        let from = from.canonicalize().map_err(at(from))?;
        fs::hard_link(&from, &here).or_else(|_| fs::copy(&from, &here).map(drop)).map_err(at(&from))
    }

    /// Puts a program and the shared libraries it needs where they lie here.
    ///
    /// # Errors
    ///
    /// A library is missing, or cannot be read.
    pub fn program(&self, path: &Path) -> Result<(), String> {
        self.file(path, path)?;
        self.libraries(path)
    }

    /// Puts this machine's tool `name` in /usr/bin, with its libraries.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be read.
    pub fn tool(&self, name: &str) -> Result<(), String> {
        let path = tool(name).ok_or_else(|| format!("no {name} in the PATH or /usr/sbin"))?;
        self.file(&Path::new("/usr/bin").join(name), &path)?;
        self.libraries(&path)
    }

    /// Puts an executable script at `path`.
    ///
    /// # Errors
    ///
    /// It cannot be written here.
    pub fn script(&self, path: &Path, text: &str) -> Result<(), String> {
        let here = self.here(path);
        fs::write(&here, text).map_err(at(&here))?;
        fs::set_permissions(&here, Permissions::from_mode(0o755)).map_err(at(&here))
    }

    /// Writes the image, a sparse file of `bytes`.
    ///
    /// # Errors
    ///
    /// There is no mkfs.ext4, or the files do not fit.
    pub fn image(&self, bytes: u64) -> Result<PathBuf, String> {
        let image = self.work.path().join("disk.ext4");
        File::create(&image).and_then(|file| file.set_len(bytes)).map_err(at(&image))?;
        let mkfs = tool("mkfs.ext4").unwrap_or_else(|| "mkfs.ext4".into());
        let mut command = Command::new(mkfs);
        command.args(["-q", "-F", "-d"]).arg(self.here(Path::new("/"))).arg(&image);
        output_of(&mut command)?;
        Ok(image)
    }

    fn libraries(&self, path: &Path) -> Result<(), String> {
        let libraries = text_of(Command::new("ldd").arg(path))?;
        // "name => /path (address)" or "/path (address)"; the kernel's own has no path.
        let words = libraries.split_whitespace().filter(|word| word.starts_with('/'));
        words.map(Path::new).try_for_each(|library| self.file(library, library))
    }

    /// Where a path of the machine is gathered.
    fn here(&self, path: &Path) -> PathBuf {
        self.work.path().join("root").join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// Where a tool lies here; those of the administrator are often not in the PATH of who is not root.
fn tool(name: &str) -> Option<PathBuf> {
    let mut places = in_path(name).chain([Path::new("/usr/sbin").join(name)]);
    places.find(|path| path.is_file())
}
