//! Each figure of each machine in `fixtures`, as a container on it sees them.

use crate::machine::Machine;
use bywash_node::{Container, GroupEvents, GroupMemory, Stall, StallReport, StallScope, Version};

const MIB: u64 = 1 << 20;

/// The limits of all groups, own first, in MiB.
fn limits(container: &mut Container) -> Vec<Option<u64>> {
    let seen = container.observe().unwrap();
    seen.groups.iter().map(|group| group.limit.map(|limit| limit / MIB)).collect()
}

fn open(name: &str) -> (Machine, Container) {
    let machine = Machine::new(name);
    let container = Container::find(machine.root()).unwrap();
    (machine, container)
}

#[test]
fn v2_without_a_limit_shows_its_own_figures() {
    let (_machine, mut container) = open("v2-unlimited");
    assert_eq!(container.version(), Some(Version::V2));
    assert!(container.sees_own_group());
    assert_eq!(limits(&mut container), [None, None, None]);
    let seen = container.observe().unwrap();
    let (group, memory) = seen.own_memory().unwrap();
    assert_eq!(&*group.path, "/sys/fs/cgroup/system.slice/etl.service");
    assert_eq!(
        *memory,
        GroupMemory {
            usage: 1000 * MIB,
            anon: 320 * MIB,
            shmem: 8 * MIB,
            file: 592 * MIB,
            inactive_file: 400 * MIB,
            kernel: 80 * MIB,
            kernel_reclaimable: 60 * MIB,
            peak: Some(1500 * MIB),
        }
    );
    assert_eq!(memory.working_set(), 600 * MIB);
    assert_eq!(memory.unreclaimable(), (320 + 8 + 20) * MIB);
    assert_eq!((seen.node.total, seen.node.available), (16384 * MIB, Some(12288 * MIB)));
    assert_eq!(seen.process.unwrap().anon, 300 * MIB);
    assert_eq!(seen.process.unwrap().shmem, 4 * MIB);
    let stall = Stall { some_avg10: 12, full_avg10: 3, some_total_us: 777, full_total_us: 111 };
    assert_eq!(seen.stall, Some(StallReport { scope: StallScope::Group, stall }));
}

#[test]
fn v2_namespace_counts_sockets_and_limit_hits() {
    let (_machine, mut container) = open("v2-namespace");
    let seen = container.observe().unwrap();
    let (group, memory) = seen.own_memory().unwrap();
    assert_eq!((&*group.path, group.limit), ("/sys/fs/cgroup", Some(2048 * MIB)));
    assert_eq!(group.events, GroupEvents { max: 812, ..GroupEvents::default() });
    assert_eq!(memory.kernel, 50 * MIB);
    assert_eq!(memory.file, 860 * MIB);
    // Its own pressure, not that of the node.
    assert_eq!(seen.stall.unwrap().stall.full_avg10, 302);
}

#[test]
fn v2_a_tighter_parent_and_a_group_without_memory_files() {
    let (_machine, mut container) = open("v2-nested");
    assert_eq!(limits(&mut container), [None, Some(4096), Some(1024), None]);
    let seen = container.observe().unwrap();
    let (tightest, limit) = seen.tightest_limit().unwrap();
    assert_eq!((&*tightest.path, limit), ("/sys/fs/cgroup/batch.slice", 1024 * MIB));
    // Only what met the slice's own limit, not its members'.
    assert_eq!(tightest.events, GroupEvents { max: 5, oom: 1, ..GroupEvents::default() });
    assert_eq!(tightest.memory.unwrap().anon, 500 * MIB);
    assert_eq!(seen.own_memory().unwrap().1.anon, 210 * MIB);
    assert_eq!(seen.stall, None);
}

#[test]
fn v2_a_pod_is_limited_by_itself_its_pod_and_the_node() {
    let (_machine, mut container) = open("v2-kubernetes");
    assert_eq!(limits(&mut container), [Some(2048), Some(3072), None, Some(60000), None]);
    let seen = container.observe().unwrap();
    assert_eq!(seen.groups[0].high, Some(1843 * MIB));
    assert_eq!(seen.groups[0].events.high, 4);
    // Another pod's kill, counted upwards by the kernel, is not ours.
    assert_eq!(seen.groups[3].events, GroupEvents::default());
    assert!(seen.groups[2].memory.is_none(), "no limit, not asked");
}

#[test]
fn v2_a_bind_mount_of_our_group_is_our_group() {
    let (_machine, mut container) = open("v2-bind");
    assert!(container.sees_own_group());
    assert_eq!(limits(&mut container), [Some(768)]);
}

#[test]
fn v2_paths_that_climb_out_of_the_namespace() {
    let (_machine, mut container) = open("v2-climbing");
    assert!(container.sees_own_group());
    assert_eq!(limits(&mut container), [Some(256), Some(1024)]);

    let (_machine, mut container) = open("v2-hidden");
    assert!(!container.sees_own_group());
    assert_eq!(limits(&mut container), [Some(512)]);
}

#[test]
fn v2_of_an_old_kernel_sums_the_parts_of_kernel_memory() {
    let (_machine, mut container) = open("v2-old-kernel");
    let seen = container.observe().unwrap();
    assert_eq!(&*seen.groups[0].path, "/sys/fs/my groups\\here/app");
    let memory = seen.groups[0].memory.unwrap();
    assert_eq!((memory.kernel, memory.kernel_reclaimable), (40 * MIB, 24 * MIB));
    assert_eq!((memory.peak, seen.groups[0].events), (None, GroupEvents::default()));
}

#[test]
fn v1_docker_counts_all_below_it() {
    let (_machine, mut container) = open("v1-docker");
    assert_eq!(container.version(), Some(Version::V1));
    assert_eq!(limits(&mut container), [Some(512)]);
    let seen = container.observe().unwrap();
    let (group, memory) = seen.own_memory().unwrap();
    assert_eq!(&*group.path, "/sys/fs/cgroup/memory");
    assert_eq!(
        *memory,
        GroupMemory {
            usage: 480 * MIB,
            anon: 210 * MIB,
            shmem: 12 * MIB,
            file: 248 * MIB,
            inactive_file: 200 * MIB,
            kernel: 6 * MIB,
            kernel_reclaimable: 0,
            peak: Some(512 * MIB),
        }
    );
    assert_eq!(memory.working_set(), 280 * MIB);
    assert_eq!(group.events, GroupEvents { max: 37, oom_kill: 1, ..GroupEvents::default() });
}

#[test]
fn v1_the_limit_of_a_hidden_pod_is_in_memory_stat() {
    let (_machine, mut container) = open("v1-kubernetes");
    assert_eq!(limits(&mut container), [Some(1536)]);
    let (_machine, mut container) = open("v1-kubernetes-node");
    assert_eq!(limits(&mut container), [Some(1536), Some(1536), None, Some(60000), None]);
}

#[test]
fn v1_of_an_old_kernel_has_no_totals() {
    let (_machine, mut container) = open("v1-old-kernel");
    assert_eq!(limits(&mut container), [Some(1024), None]);
    let seen = container.observe().unwrap();
    let memory = seen.own_memory().unwrap().1;
    // Shmem is what of the cache is on no list of files.
    assert_eq!((memory.anon, memory.shmem, memory.file), (190 * MIB, 50 * MIB, 450 * MIB));
    assert_eq!((seen.process, seen.node.available), (None, None));
}

#[test]
fn hybrid_has_memory_on_v1_and_pressure_on_v2() {
    let (_machine, mut container) = open("hybrid");
    assert_eq!(container.version(), Some(Version::V1));
    assert_eq!(limits(&mut container), [Some(4096), Some(8192), None]);
    let seen = container.observe().unwrap();
    assert_eq!(seen.own_memory().unwrap().1.anon, 450 * MIB);
    let stall = seen.stall.unwrap();
    assert_eq!((stall.scope, stall.stall.some_avg10), (StallScope::Group, 150));
}

#[test]
fn without_groups_there_is_the_node() {
    let (_machine, mut container) = open("none");
    assert_eq!(container.version(), None);
    assert!(!container.sees_own_group());
    let seen = container.observe().unwrap();
    assert!(seen.groups.is_empty());
    assert_eq!(seen.node.available, Some(3000 * MIB));
}

#[test]
fn a_process_moved_to_another_group_is_noticed() {
    let (machine, mut container) = open("v2-climbing");
    assert_eq!(limits(&mut container), [Some(256), Some(1024)]);
    machine.write("proc/self/cgroup", b"0::/..\n");
    assert_eq!(limits(&mut container), [Some(1024)]);
    machine.write("sys/fs/cgroup/memory.max", b"max\n");
    assert_eq!(limits(&mut container), [None]);
}

/// What could not be found of the new group is looked for again, and the old one's limits are not
/// taken for the new one's meanwhile.
#[test]
fn a_process_moved_while_the_mounts_are_odd_is_not_taken_for_one_that_stayed() {
    let (machine, mut container) = open("v2-climbing");
    let mountinfo = machine.root().join("proc/self/mountinfo");
    let mounts = std::fs::read(&mountinfo).unwrap();
    machine.write("proc/self/cgroup", b"0::/..\n");
    machine.write("proc/self/mountinfo", b"odd\n");
    for _ in 0..2 {
        let error = container.observe().unwrap_err();
        assert!(error.to_string().contains("mountinfo"), "{error}");
    }
    machine.write("proc/self/mountinfo", &mounts);
    assert_eq!(limits(&mut container), [Some(1024)]);
}

/// Files on ramfs and locked pages are on no list of files: no pressure drops them.
#[test]
fn page_cache_that_cannot_be_dropped_counts() {
    for (name, stat, prefix) in [
        ("v2-unlimited", "sys/fs/cgroup/system.slice/etl.service/memory.stat", ""),
        ("v1-docker", "sys/fs/cgroup/memory/memory.stat", "total_"),
    ] {
        let (machine, mut container) = open(name);
        let before = *container.observe().unwrap().own_memory().unwrap().1;
        let text = std::fs::read_to_string(machine.root().join(stat)).unwrap();
        let key = if prefix.is_empty() { "file" } else { "total_cache" };
        let unevictable = format!("{prefix}unevictable");
        // On the list of what cannot be dropped there is anonymous memory, too.
        let ramfs = text.lines().map(|line| match line.split_once(' ').unwrap() {
            (name, bytes) if name == key => {
                format!("{name} {}\n", bytes.parse::<u64>().unwrap() + 40 * MIB)
            }
            (name, _) if name == unevictable => format!("{name} {}\n", 60 * MIB),
            _ => format!("{line}\n"),
        });
        machine.write(stat, ramfs.collect::<String>().as_bytes());
        let after = *container.observe().unwrap().own_memory().unwrap().1;
        let counted = after.unreclaimable() - before.unreclaimable();
        assert_eq!((counted, after.file), (40 * MIB, before.file), "{name}");
        // Locked anonymous memory alone is counted as that.
        let locked =
            text.replace(&format!("{unevictable} 0\n"), &format!("{unevictable} {}\n", 60 * MIB));
        machine.write(stat, locked.as_bytes());
        assert_eq!(*container.observe().unwrap().own_memory().unwrap().1, before, "{name}");
    }
}

/// The list of groups of a user can be longer than any line we keep.
#[test]
fn a_user_in_thousands_of_groups() {
    let (machine, mut container) = open("v2-unlimited");
    let status = machine.root().join("proc/self/status");
    let before = container.observe().unwrap().process.unwrap();
    let text = std::fs::read_to_string(status).unwrap();
    let groups = "100000 ".repeat(5000);
    machine.write("proc/self/status", format!("Groups:\t{groups}\n{text}").as_bytes());
    assert_eq!(container.observe().unwrap().process, Some(before));
}

/// Some containers may not look at pressure. The file here is one that nobody may read.
#[test]
fn pressure_that_may_not_be_read_is_no_figure() {
    let write_only = "/proc/sys/vm/compact_memory";
    let error = std::fs::read(write_only).unwrap_err();
    assert!(
        matches!(error.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::NotFound),
        "{error}"
    );
    let (machine, mut container) = open("none");
    let pressure = machine.root().join("proc/pressure");
    std::fs::create_dir_all(&pressure).unwrap();
    drop(std::fs::remove_file(pressure.join("memory")));
    std::os::unix::fs::symlink(write_only, pressure.join("memory")).unwrap();
    assert_eq!(container.observe().unwrap().stall, None);
}

/// Whatever stands in any file: an answer or an error that names the file, never a panic.
#[test]
fn odd_contents_are_errors_that_name_the_file() {
    const ODD: &[&[u8]] = &[
        b"\xff\xfe\0\0",
        b"-1\n",
        b"99999999999999999999999\n",
        b"anon x\nfile 1\nrss x\ncache 1\nmax x\nhigh -\noom_kill x\n",
        b"some avg10=1 total=1\n",
        b"some avg10=999.00 avg60=0.00 avg300=0.00 total=1\n",
        b"MemTotal: x kB\nMemAvailable: 1 kB\nRssAnon: x kB\n",
        b"x\ny\n",
        b"0::relative\n",
        b"35 23 0:29 / relative rw - cgroup2 cgroup2 rw\n",
        b"35 23 0:29 / /a\\777 rw - cgroup2 cgroup2 rw\n",
        b"35 23 0:29 / /../etc rw - cgroup2 cgroup2 rw,memory\n",
        b"35 23 0:29 / /sys\\04 rw - cgroup cgroup rw,memory\n",
    ];
    let (mut refused, mut tried) = (0, 0);
    for name in Machine::names() {
        let (machine, mut open) = open(&name);
        for file in machine.files() {
            let path = file.to_str().unwrap().to_owned();
            let before = std::fs::read(machine.root().join(&file)).unwrap();
            let long = vec![b'7'; 40 << 10];
            for odd in ODD.iter().copied().chain([&b""[..], &long]) {
                machine.write(&path, odd);
                tried += 1;
                let outcome = match &mut open {
                    // What is read once.
                    _ if path.starts_with("proc/self") => Container::find(machine.root())
                        .and_then(|mut found| found.observe().map(drop)),
                    open => open.observe().map(drop),
                };
                if let Err(error) = outcome {
                    assert!(error.to_string().contains(&path), "{name}: {path}: {error}");
                    refused += 1;
                }
            }
            machine.write(&path, &before);
        }
    }
    assert!(refused > tried / 8, "{refused} of {tried} refused");
}

/// A limit file that is no number is refused, not taken for no limit.
#[test]
fn an_odd_limit_is_never_no_limit() {
    for (name, file) in [
        ("v2-namespace", "sys/fs/cgroup/memory.max"),
        ("v1-docker", "sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ] {
        let (machine, mut container) = open(name);
        for odd in [&b"MAX\n"[..], b"", b"\n", b"1G\n", b"max max\n"] {
            machine.write(file, odd);
            let error = container.observe().unwrap_err();
            assert!(error.to_string().contains(file), "{error}");
        }
    }
}
