//! /proc/self/mountinfo: one line per mount, written by whoever mounted.
//!
//! `ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS [OPTIONAL...] - TYPE SOURCE SUPER_OPTIONS`, with
//! blanks, newlines and backslashes in a field as three octal digits after a backslash.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A mount as its own line describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    point: PathBuf,
    kind: Box<str>,
    source: PathBuf,
    /// As in the file, escapes and all: a value may hold a comma.
    super_options: Box<[u8]>,
}

/// Which line is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The mount of this number.
    Id(u64),
    /// The last mount of this device, by major and minor number.
    Device(u32, u32),
}

impl Mount {
    /// Where it is mounted.
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// The type it was mounted as, such as `ext4` or `fuse.sshfs`.
    pub const fn kind(&self) -> &str {
        &self.kind
    }

    /// What is mounted: a device, a server's path or any word.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The value of an option of the filesystem, such as `size` or `upperdir`.
    pub fn option(&self, name: &str) -> Option<PathBuf> {
        self.super_options.split(|byte| *byte == b',').find_map(|option| {
            let (key, value) = split_once(option, b'=')?;
            (key == name.as_bytes()).then(|| unescaped(value))
        })
    }

    /// The most bytes it may hold by its option `size=`.
    pub fn size_bytes(&self) -> Option<u64> {
        let text = self.option("size")?;
        let text = text.to_str()?;
        let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
        let unit = match text.get(digits.len()..)? {
            "" => 1,
            "k" | "K" => 1 << 10,
            "m" | "M" => 1 << 20,
            "g" | "G" => 1 << 30,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(unit)
    }

    fn parse(line: &[u8]) -> Option<(u64, (u32, u32), Self)> {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = number(fields.next()?)?;
        let (major, minor) = split_once(fields.nth(1)?, b':')?;
        let device = (number(major)?, number(minor)?);
        let point = unescaped(fields.nth(1)?);
        let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
        let kind = unescaped(fields.next()?);
        let source = unescaped(fields.next()?);
        let super_options = fields.next().unwrap_or_default().into();
        let kind = kind.to_string_lossy().into();
        Some((id, device, Self { point, kind, source, super_options }))
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mounted at {}", Printable(&self.point))?;
        match self.option("size") {
            Some(size) => write!(f, " with size={}", Printable(&size)),
            None => Ok(()),
        }
    }
}

/// Text of others on one line: without what steers a terminal.
pub(super) struct Printable<'a>(pub(super) &'a Path);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for character in self.0.to_string_lossy().chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// The wanted mount among the lines of `table`; lines that are none are passed over.
pub(super) fn find(table: &mut dyn BufRead, wanted: Wanted) -> Option<Mount> {
    let mut found = None;
    let mut line = Vec::new();
    for _ in 0..LINES_MAX {
        line.clear();
        // What is longer comes in pieces, of which none is a whole line.
        let read = table.take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if !read.is_ok_and(|bytes| bytes > 0) {
            break;
        }
        let Some((id, device, mount)) = Mount::parse(line.strip_suffix(b"\n").unwrap_or(&line))
        else {
            continue;
        };
        match wanted {
            Wanted::Id(number) if number == id => return Some(mount),
            Wanted::Device(major, minor) if device == (major, minor) => found = Some(mount),
            _ => {}
        }
    }
    found
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    Some((bytes.get(..position)?, bytes.get(position + 1..)?))
}

/// A field with its octal escapes undone.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        if let [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] = rest {
            bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

const LINES_MAX: usize = 1 << 20;
/// A page of options, and each path up to its own four pages of escapes.
const LINE_BYTES_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(table: &str, wanted: Wanted) -> Option<Mount> {
        find(&mut table.as_bytes(), wanted)
    }

    #[test]
    fn a_line_is_found_by_number_and_by_device() {
        let table = "\
            22 27 0:21 / /proc rw,relatime - proc proc rw\n\
            25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw,size=24684092k\n\
            27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard\n\
            30 25 0:23 /deep /mnt/bound rw - tmpfs tmpfs rw,size=24684092k\n";
        let shm = found(table, Wanted::Id(25)).unwrap();
        assert_eq!((shm.point(), shm.kind()), (Path::new("/dev/shm"), "tmpfs"));
        assert_eq!(shm.size_bytes(), Some(24_684_092 << 10));
        assert_eq!(shm.to_string(), "mounted at /dev/shm with size=24684092k");
        let last = found(table, Wanted::Device(0, 23)).unwrap();
        assert_eq!(last.point(), Path::new("/mnt/bound"));
        let root = found(table, Wanted::Device(254, 0)).unwrap();
        assert_eq!((root.source(), root.option("discard")), (Path::new("/dev/vda"), None));
        assert_eq!(root.size_bytes(), None);
        assert_eq!(found(table, Wanted::Id(7)), None);
    }

    #[test]
    fn escapes_are_undone_after_splitting_and_never_reach_a_terminal() {
        let table = "9 1 0:5 / /a\\040b\\012c\\134 rw - overlay over\\054lay \
                     rw,lowerdir=/l,upperdir=/u\\054p\\075,workdir=/w\n";
        let mount = found(table, Wanted::Id(9)).unwrap();
        assert_eq!(mount.point(), Path::new("/a b\nc\\"));
        assert_eq!(mount.option("upperdir"), Some(PathBuf::from("/u,p=")));
        assert_eq!(mount.option("workdir"), Some(PathBuf::from("/w")));
        assert_eq!(mount.to_string(), "mounted at /a b\\nc\\");
        let odd = "9 1 0:5 / /a\\9\\04 rw - x \\777 rw\n";
        let mount = found(odd, Wanted::Id(9)).unwrap();
        assert_eq!((mount.point(), mount.source()), (Path::new("/a\\9\\04"), Path::new("\\777")));
    }

    #[test]
    fn hostile_tables_are_passed_over() {
        let long = format!("9 1 0:5 / /{} rw - tmpfs x rw\n", "a".repeat(1 << 20));
        let good = "9 1 0:5 / /good rw - tmpfs  rw\n";
        for bad in [
            "",
            "\n\n",
            "9\n",
            "9 1\n",
            "9 1 0:5 / /x rw\n",
            "x 1 0:5 / /x rw - t s o\n",
            "9 1 0:99999999999 / /x rw - t s o\n",
            "9 1 05 / /x rw - t s o\n",
            "9 1 0:5 / /x rw - t\n",
            &long,
        ] {
            assert_eq!(found(bad, Wanted::Id(9)), None, "{bad:.40}");
            let mount = found(&format!("{bad}{good}"), Wanted::Id(9)).unwrap();
            assert_eq!((mount.point(), mount.source()), (Path::new("/good"), Path::new("")));
        }
        for size in ["", "k", "10%", "99999999999999999999", "18446744073709551615k", "1q"] {
            let table = format!("9 1 0:5 / /x rw - tmpfs x rw,size={size}\n");
            assert_eq!(found(&table, Wanted::Id(9)).unwrap().size_bytes(), None, "{size}");
        }
    }

    /// Any bytes are a table: nothing panics, and a line that is whole is found whatever is before.
    #[test]
    fn random_tables_do_no_harm() {
        let good = b"27 1 254:0 / /a\\040b rw shared:1 - tmpfs none rw,size=1k,upperdir=/u\\054\n";
        let mut state = 0x000b_7ae5_4b1e_u64;
        let mut below = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % bound as u64).unwrap()
        };
        for _ in 0..20_000 {
            let mut table = good.to_vec();
            for _ in 0..=below(4) {
                let at = below(table.len());
                let bytes = b"\\ -:,=0123456789/\n\xff\0";
                table[at] = bytes[below(bytes.len())];
            }
            table.truncate(below(table.len() + 1));
            let wanted = [Wanted::Id(27), Wanted::Device(254, 0)][below(2)];
            if let Some(mount) = find(&mut &table[..], wanted) {
                drop((mount.to_string(), mount.size_bytes(), mount.option("upperdir")));
            }
            table.extend_from_slice(b"\n1 1 1:1 / /z rw - t s o\n");
            assert!(find(&mut &table[..], Wanted::Device(1, 1)).is_some());
        }
    }
}
