//! The budget on each kind of machine, against sums done by hand.

use crate::machine::Machine;
use bywash_node::{Budget, Container, Declared, Signal};

const MIB: u64 = 1 << 20;

fn declared(heap: u64, margin: u64) -> Declared {
    Declared { heap: heap * MIB, margin: margin * MIB, ..Declared::default() }
}

/// Capacity in MiB, the tightest signal, and the group it is of.
fn budget(machine: &Machine, declared: Declared) -> (u64, Signal, String) {
    let mut container = Container::find(machine.root()).unwrap();
    let found = Budget::from_container(&mut container, declared).unwrap();
    let group = found.explanation.group.as_deref().unwrap_or_default().to_owned();
    (found.capacity / MIB, found.explanation.signal, group)
}

#[test]
fn of_a_container_is_its_limit_less_the_larger_of_declared_and_observed() {
    let machine = Machine::new("v2-namespace");
    let own = "/sys/fs/cgroup".to_owned();
    // Observed: anon 540, shmem 40, kernel and sockets 50, of which 30 can be had back; the 860 MiB
    // of page cache do not count.
    let observed = 540 + 40 + 50 - 30;
    for (heap, taken) in [(0, observed), (500, observed), (600, 600), (1000, 1000)] {
        assert_eq!(
            budget(&machine, declared(heap, 64)),
            (2048 - taken - 64, Signal::GroupLimit, own.clone())
        );
    }
}

#[test]
fn of_a_slice_that_is_tighter_counts_what_lies_beside_us() {
    let machine = Machine::new("v2-nested");
    let slice = "/sys/fs/cgroup/batch.slice".to_owned();
    let (ours, all) = (210 + 10 + 20 - 10, 500 + 50 + 50 - 20);
    assert_eq!(
        budget(&machine, declared(400, 24)),
        (1024 - all - (400 - ours) - 24, Signal::GroupLimit, slice)
    );
}

#[test]
fn of_a_pod_stays_below_the_throttling_limit() {
    let (capacity, signal, group) = budget(&Machine::new("v2-kubernetes"), declared(0, 64));
    assert_eq!((capacity, signal), (1843 - (1100 + 50 - 20) - 64, Signal::GroupHigh));
    assert!(group.contains("/cri-containerd-"), "{group}");
}

#[test]
fn without_a_limit_is_what_the_node_has_left() {
    let machine = Machine::new("v2-unlimited");
    let untouched = 1000 - (320 + 8 + 80 - 60);
    assert_eq!(
        budget(&machine, declared(1000, 64)),
        (12288 - untouched - 64, Signal::Node, String::new())
    );
    assert_eq!(
        budget(&Machine::new("none"), declared(100, 0)),
        (3000 - (100 - 52), Signal::Node, String::new())
    );
}

#[test]
fn with_a_limit_above_what_the_node_has_left_too() {
    let machine = Machine::new("v2-namespace");
    machine.write("sys/fs/cgroup/memory.max", b"64424509440\n");
    assert_eq!(budget(&machine, declared(0, 64)), (20480 - 64, Signal::Node, String::new()));
}

#[test]
fn on_v1_counts_kernel_memory_and_not_the_node_as_ours() {
    let machine = Machine::new("hybrid");
    let (capacity, signal, _) = budget(&machine, declared(0, 0));
    assert_eq!((capacity, signal), (4096 - (450 + 5 + 50), Signal::GroupLimit));
    // In the root group: what every process of the node uses is no sign of our heap being in use.
    machine.write("proc/self/cgroup", b"4:memory:/\n0::/\n");
    let (capacity, signal, _) = budget(&machine, declared(1000, 0));
    assert_eq!((capacity, signal), ((24_043_428 + 112) / 1024 - 1000, Signal::Node));
}

#[test]
fn of_a_group_above_ours_takes_neighbours_for_no_use_of_what_is_declared() {
    // Ours is hidden; what the one above it holds (200 anon, 10 kernel) is 90 ours and neighbours'.
    let (capacity, signal, _) = budget(&Machine::new("v2-hidden"), declared(150, 16));
    let held = 200 + 20 - 10;
    assert_eq!((capacity, signal), (512 - held - (150 - 90) - 16, Signal::GroupLimit));
}

#[test]
fn with_nothing_left_says_what_there_was_and_what_to_do() {
    let machine = Machine::new("v1-docker");
    let mut container = Container::find(machine.root()).unwrap();
    let error = Budget::from_container(&mut container, declared(480, 32)).unwrap_err().to_string();
    for part in ["raise the limit", "heap", "536870912", "/sys/fs/cgroup/memory", "working set"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let left = Budget::from_container(&mut container, declared(479, 32)).unwrap();
    assert_eq!(left.capacity, MIB);
    assert_eq!(
        left.explanation.to_string(),
        "at most 1048576 by the memory limit of /sys/fs/cgroup/memory: 536870912 - 239075328 held \
         by others - 263192576 declared and not yet used (of 502267904) - 33554432 margin; ours 0; \
         group: usage 503316480, working set 293601280, anon 220200960, shmem 12582912, file \
         260046848, kernel 6291456; node: total 17179869184, available 9437184000; process: anon \
         209715200, shmem 8388608"
    );
}
