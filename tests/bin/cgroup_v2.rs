//! The suites about kernel memory limits, on cgroup v2 in a virtual machine.
//!
//! What this machine's own kernel offers does not matter: the machine boots Debian's with all of
//! cgroup v1 off. A test that says it was skipped has failed here, unless the
//! machine is known to lack what it needs.

use std::fs;
use std::time::Duration;

use bywash_tests::child;
use bywash_tests::vm::boot::{Acceleration, Machine};
use bywash_tests::vm::builds::Target;
use bywash_tests::vm::disk::Disk;
use bywash_tests::vm::guest::{self, Job, Place};
use bywash_tests::vm::packages::Packages;
use bywash_tests::vm::report::Report;
use bywash_tests::vm::{builds, initramfs};

/// What runs there: package, its test target, where. Another is another line. The first in the root
/// finds a hierarchy in which nothing is enabled yet.
const BINARIES: &[(&str, Target<'_>, Place)] = &[
    ("bywash-tests", Target::Test("kit_cgroup"), Place::Root),
    ("bywash-tests", Target::Test("kit_cgroup"), Place::Service),
    ("bywash-tests", Target::Test("container"), Place::Service),
    ("bywash-tests", Target::Test("container_job"), Place::Service),
    ("bywash-tests", Target::Test("container_program"), Place::Service),
    ("bywash-tests", Target::Test("memory_backed"), Place::Service),
    ("bywash-tests", Target::Test("kernel_limit"), Place::Service),
];

/// Why a test may be skipped: what the machine does not have.
const ABSENT: [&str; 1] = ["java does not start"];

/// What finds the disk and reads it (ext4 checks its metadata with CRC32C); what tests mount.
const MODULES: [&str; 6] =
    ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "loop", "overlay"];

/// What tests call, where busybox's own is too little.
const TOOLS: [&str; 4] = ["mount", "umount", "mkfs.ext4", "truncate"];

const MEMORY_MIB: u32 = 2048;
/// Sparse: what is not written costs nothing.
const DISK_BYTES: u64 = 8 << 30;
const TIME_LIMIT: Duration = Duration::from_secs(600);
/// Translation on a busy machine.
const TIME_LIMIT_TRANSLATED: Duration = Duration::from_secs(3600);

/// Runs all of it; whether it is good.
///
/// # Errors
///
/// There is no machine, and what it takes to have one.
pub(crate) fn run() -> Result<bool, String> {
    // This program is in target/PROFILE.
    let executable = child::executable();
    let target_dir = executable.ancestors().nth(2).ok_or("no target directory")?;
    let cache = target_dir.join("vm");
    let packages = Packages::obtain(&cache)?;
    let acceleration = Acceleration::best(&packages, &cache)?;
    println!("cgroup-v2: {acceleration:?} machine, {MEMORY_MIB} MiB, no network");

    let disk = Disk::new(&cache)?;
    disk.file("/bin/busybox".as_ref(), &packages.busybox()?)?;
    TOOLS.into_iter().try_for_each(|tool| disk.tool(tool))?;
    // CARGO_TARGET_TMPDIR, as compiled into the tests.
    disk.dir(&target_dir.join("tmp"))?;
    let program = builds::program("bywash-cli", "bywash")?.executable;
    disk.program(&program)?;
    let mut jobs = Vec::new();
    for &(package, target, place) in BINARIES {
        let built = builds::test(package, target)?;
        disk.program(&built.executable)?;
        disk.dir(&built.package_dir)?;
        let test = match target {
            Target::Library => package,
            Target::Test(name) => name,
        };
        let name = format!("{test}-{place:?}").to_lowercase();
        jobs.push(Job { name, built, place });
    }
    let mut time_limit = TIME_LIMIT;
    let mut variables = vec![("BYWASH_PROGRAM", program.to_str().ok_or("a path is not text")?)];
    if acceleration == Acceleration::Tcg {
        time_limit = TIME_LIMIT_TRANSLATED;
        variables.push(("BYWASH_SCALE_FACTOR", "0.05"));
    }
    disk.script("/start".as_ref(), &guest::script(&jobs, &variables, time_limit.as_secs()))?;
    let image = disk.image(DISK_BYTES)?;
    let first = image.with_file_name("initramfs.cpio");
    fs::write(&first, initramfs::archive(&packages, &MODULES, "/start")?)
        .map_err(|error| format!("{}: {error}", first.display()))?;

    let mut report = Report::default();
    let machine = Machine {
        packages: &packages,
        acceleration,
        memory_mib: MEMORY_MIB,
        initramfs: &first,
        disk: Some(&image),
    };
    let ended = machine.run(time_limit, &mut |line| {
        println!("{line}");
        report.line(line);
    });
    report.ran.iter().for_each(|ran| println!("cgroup-v2: {ran}"));
    if let Err(why) = &ended {
        println!("cgroup-v2: {why}");
    }
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    let good = ended.is_ok() && report.good(&names, &ABSENT);
    println!("cgroup-v2: {}", if good { "passed" } else { "FAILED" });
    Ok(good)
}
