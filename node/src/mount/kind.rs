//! Filesystems by the number that statfs gives.

/// A family of filesystems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FilesystemKind {
    /// tmpfs, and devtmpfs, which is one: files are shared memory.
    Tmpfs,
    /// ramfs: files are page cache that is never written out, without a limit.
    Ramfs,
    /// hugetlbfs: files are huge pages; they can be mapped, not written.
    Hugetlbfs,
    /// overlay: a container's layers; new files go to its upper directory.
    Overlay,
    /// ext2, ext3 and ext4, which share a number.
    Ext,
    /// xfs.
    Xfs,
    /// btrfs.
    Btrfs,
    /// zfs.
    Zfs,
    /// f2fs.
    F2fs,
    /// bcachefs.
    Bcachefs,
    /// NFS of any version.
    Nfs,
    /// SMB: cifs, smb2 and later.
    Smb,
    /// Ceph.
    Ceph,
    /// Lustre.
    Lustre,
    /// Storage Scale, once GPFS.
    Gpfs,
    /// AFS.
    Afs,
    /// 9p: a directory of a virtual machine's host.
    Plan9,
    /// FUSE: a program of somebody's; virtiofs too.
    Fuse,
    /// Another one.
    Other,
}

impl FilesystemKind {
    /// The kind that statfs means by `magic`.
    pub fn from_magic(magic: u32) -> Self {
        MAGICS
            .iter()
            .find(|(number, _, _)| *number == magic)
            .map_or(Self::Other, |(_, kind, _)| *kind)
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        MAGICS
            .iter()
            .find(|(_, kind, _)| *kind == self)
            .map_or("an unknown filesystem", |(_, _, name)| name)
    }

    /// Whether its files are memory and nothing else.
    pub const fn is_memory(self) -> bool {
        matches!(self, Self::Tmpfs | Self::Ramfs | Self::Hugetlbfs)
    }

    /// Whether its bytes go to another machine.
    pub const fn is_network(self) -> bool {
        matches!(
            self,
            Self::Nfs
                | Self::Smb
                | Self::Ceph
                | Self::Lustre
                | Self::Gpfs
                | Self::Afs
                | Self::Plan9
        )
    }
}

/// From the kernel's linux/magic.h and the modules of those that are not in it.
const MAGICS: &[(u32, FilesystemKind, &str)] = &[
    (0x0102_1994, FilesystemKind::Tmpfs, "tmpfs"),
    (0x8584_58f6, FilesystemKind::Ramfs, "ramfs"),
    (0x9584_58f6, FilesystemKind::Hugetlbfs, "hugetlbfs"),
    (0x794c_7630, FilesystemKind::Overlay, "overlay"),
    (0x0000_ef53, FilesystemKind::Ext, "ext4"),
    (0x5846_5342, FilesystemKind::Xfs, "xfs"),
    (0x9123_683e, FilesystemKind::Btrfs, "btrfs"),
    (0x2fc1_2fc1, FilesystemKind::Zfs, "zfs"),
    (0xf2f5_2010, FilesystemKind::F2fs, "f2fs"),
    (0xca45_1a4e, FilesystemKind::Bcachefs, "bcachefs"),
    (0x0000_6969, FilesystemKind::Nfs, "nfs"),
    (0xfe53_4d42, FilesystemKind::Smb, "smb"),
    (0xff53_4d42, FilesystemKind::Smb, "cifs"),
    (0x0000_517b, FilesystemKind::Smb, "smbfs"),
    (0x00c3_6400, FilesystemKind::Ceph, "ceph"),
    (0x0bd0_0bd0, FilesystemKind::Lustre, "lustre"),
    (0x4750_4653, FilesystemKind::Gpfs, "gpfs"),
    (0x5346_414f, FilesystemKind::Afs, "afs"),
    (0x0102_1997, FilesystemKind::Plan9, "9p"),
    (0x6573_5546, FilesystemKind::Fuse, "fuse"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_kind_and_only_three_are_memory() {
        for (magic, kind, _) in MAGICS {
            assert_eq!(FilesystemKind::from_magic(*magic), *kind);
            assert!(!(kind.is_memory() && kind.is_network()));
        }
        let memory: Vec<&str> = MAGICS
            .iter()
            .filter(|(_, kind, _)| kind.is_memory())
            .map(|(_, _, name)| *name)
            .collect();
        assert_eq!(memory, ["tmpfs", "ramfs", "hugetlbfs"]);
        assert_eq!(FilesystemKind::from_magic(7), FilesystemKind::Other);
    }
}
