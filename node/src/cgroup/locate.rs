//! Where our groups are: the path of /proc/self/cgroup, seen through the mounts we have.
//!
//! A mount shows a part of a hierarchy: `root` in mountinfo says which. Our group's directory is the
//! mount point and what remains of our path after that root. Both are relative to our cgroup
//! namespace and may climb out of it (`/../..`); where names are missing for the way down, the mount
//! point itself is taken: it is a group above ours, whose limit holds for us, too.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bywash_core::Result;

use super::Version;
use crate::source::{Dir, LongLine, Source};
use crate::text::Odd;

/// What /proc/self/cgroup says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Membership {
    v1_memory: Option<Box<[u8]>>,
    v2: Option<Box<[u8]>>,
}

/// A group's directory relative to the root path, and how many steps it is below its mount point.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(super) version: Version,
    pub(super) dir: PathBuf,
    pub(super) depth: usize,
    pub(super) is_own: bool,
}

impl Membership {
    /// Reads it; both absent where there is no such file (no control groups).
    pub(crate) fn read(source: &Source) -> Result<Self> {
        let mut found = Self::default();
        each_membership(source, |version, path| match version {
            Version::V1 => found.v1_memory = Some(path.into()),
            Version::V2 => found.v2 = Some(path.into()),
        })?;
        Ok(found)
    }

    /// Whether it is still what `source` says. Allocates nothing.
    pub(crate) fn is_current(&self, source: &Source) -> Result<bool> {
        let (mut v1_memory, mut v2) = (self.v1_memory.is_none(), self.v2.is_none());
        let mut other = false;
        each_membership(source, |version, path| {
            let (known, seen) = match version {
                Version::V1 => (&self.v1_memory, &mut v1_memory),
                Version::V2 => (&self.v2, &mut v2),
            };
            *seen = true;
            other |= known.as_deref() != Some(path);
        })?;
        Ok(v1_memory && v2 && !other)
    }
}

/// The group that manages our memory; `None` if there is none or no mount shows it.
pub(crate) fn memory_group(
    root: &Path,
    mountinfo: &Source,
    membership: &Membership,
) -> Result<Option<Located>> {
    // A controller is in one hierarchy only: where v1 has memory, v2 has not.
    match (&membership.v1_memory, &membership.v2) {
        (Some(path), _) => locate(root, mountinfo, Version::V1, path),
        (None, Some(path)) => locate(root, mountinfo, Version::V2, path),
        (None, None) => Ok(None),
    }
}

/// Our group in the unified hierarchy, whatever controllers it has; pressure files are there.
pub(crate) fn unified_group(
    root: &Path,
    mountinfo: &Source,
    membership: &Membership,
) -> Result<Option<Located>> {
    let path = membership.v2.as_deref();
    path.map_or(Ok(None), |path| locate(root, mountinfo, Version::V2, path))
}

/// Lines are `id:controllers:path`; v2 has no controllers there.
fn each_membership(source: &Source, mut visit: impl FnMut(Version, &[u8])) -> Result<bool> {
    source.lines(|line| {
        let mut fields = line.splitn(3, |&byte| byte == b':');
        let (Some(id), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            return Err(Odd("a line of cgroup is not id:controllers:path"));
        };
        if !path.starts_with(b"/") {
            return Err(Odd("a control group's path does not start with /"));
        }
        if id == b"0" && controllers.is_empty() {
            visit(Version::V2, path);
        } else if controllers.split(|&byte| byte == b',').any(|name| name == b"memory") {
            visit(Version::V1, path);
        }
        Ok(())
    })
}

fn locate(
    root: &Path,
    mountinfo: &Source,
    version: Version,
    path: &[u8],
) -> Result<Option<Located>> {
    let mut mounts = Vec::new();
    mountinfo.lines_with(LongLine::Skipped, |line| {
        mounts.extend(Mount::parse(line, version)?);
        Ok(())
    })?;
    // The shortest root first: it shows the most groups above ours. Of equals the last mounted.
    mounts.reverse();
    mounts.sort_by_key(|mount| components(&mount.root).count());
    let below = mounts.iter().filter_map(|mount| Some((mount, mount.rest(path)?, true)));
    let above = mounts.iter().map(|mount| (mount, PathBuf::new(), false));
    for (mount, rest, is_own) in below.chain(above) {
        // Not `join`: with nothing to join it ends in a slash.
        let dir: PathBuf = mount.point.components().chain(rest.components()).collect();
        if Dir::open_if_there(&root.join(&dir))?.is_some() {
            let depth = rest.components().count();
            return Ok(Some(Located { version, dir, depth, is_own }));
        }
    }
    Ok(None)
}

/// One line of mountinfo that shows a part of the hierarchy looked for.
#[derive(Debug)]
struct Mount {
    root: Vec<u8>,
    /// Relative to the root path.
    point: PathBuf,
}

impl Mount {
    /// `id parent major:minor root point options [optional ..] - kind source super_options`.
    fn parse(line: &[u8], version: Version) -> Result<Option<Self>, Odd> {
        const ODD: Odd = Odd("a line of mountinfo lacks fields");
        let mut fields = line.split(|&byte| byte == b' ');
        let (root, point) = (fields.nth(3).ok_or(ODD)?, fields.next().ok_or(ODD)?);
        if !fields.by_ref().any(|field| field == b"-") {
            return Err(ODD);
        }
        let (kind, _source) = (fields.next().ok_or(ODD)?, fields.next().ok_or(ODD)?);
        let mut options = fields.next().ok_or(ODD)?.split(|&byte| byte == b',');
        let matches = match version {
            Version::V1 => kind == b"cgroup" && options.any(|option| option == b"memory"),
            Version::V2 => kind == b"cgroup2",
        };
        if !matches {
            return Ok(None);
        }
        let (root, point) = (unescaped(root)?, unescaped(point)?);
        let Some(point) = point.strip_prefix(b"/") else {
            return Err(Odd("a mount point does not start with /"));
        };
        if components(point).any(|name| name == b"..") {
            return Err(Odd("a mount point has .. in it"));
        }
        Ok(Some(Self { root, point: path_of(components(point)) }))
    }

    /// What is left of `path` below this mount's root, if it is below and the names are known.
    fn rest(&self, path: &[u8]) -> Option<PathBuf> {
        let mut path = components(path);
        for name in components(&self.root) {
            if path.next() != Some(name) {
                return None;
            }
        }
        let rest: Vec<&[u8]> = path.collect();
        (!rest.contains(&&b".."[..])).then(|| path_of(rest.into_iter()))
    }
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescaped(field: &[u8]) -> Result<Vec<u8>, Odd> {
    const ODD: Odd = Odd("an escape in mountinfo is not three octal digits");
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(3).ok_or(ODD)?;
        let value = digits.iter().try_fold(0u32, |value, digit| {
            (b'0'..=b'7').contains(digit).then(|| value * 8 + u32::from(digit - b'0'))
        });
        bytes.push(value.and_then(|value| u8::try_from(value).ok()).ok_or(ODD)?);
        rest = tail;
    }
    Ok(bytes)
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

fn path_of<'a>(names: impl Iterator<Item = &'a [u8]>) -> PathBuf {
    names.map(OsStr::from_bytes).collect()
}
