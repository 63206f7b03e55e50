//! The counting and refusing allocator of the kit, held to its own promises.
#![expect(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    reason = "the C functions are called as C calls them"
)]

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bywash_tests::{alloc, child};

bywash_tests::install_counting_allocator!();

/// The counters are the process's, so these tests take turns.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn counts_requested_sizes_of_rust_and_c() {
    let _turn = TURN.lock();
    alloc::assert_installed();
    let before = alloc::counted();
    let mut vector: Vec<u8> = alloc::tracked(|| Vec::with_capacity(1001));
    assert_eq!(alloc::counted() - before, 1001);
    alloc::tracked(|| vector.reserve_exact(5000));
    assert_eq!(alloc::counted() - before, 5000);
    // Grown outside of a tracked scope it stays what it was made.
    vector.reserve_exact(6000);
    assert_eq!(alloc::counted() - before, 6000);
    drop(vector);
    assert_eq!(alloc::counted(), before);
    // SAFETY: plain calls, freed below.
    let blocks =
        alloc::tracked(|| std::hint::black_box(unsafe { [libc::malloc(0), libc::malloc(7)] }));
    // SAFETY: a plain call.
    let zeroed = alloc::tracked(|| unsafe { libc::calloc(3, 11) });
    assert_eq!(alloc::counted() - before, 7 + 33);
    for block in blocks.into_iter().chain([zeroed]) {
        // SAFETY: made above.
        unsafe { libc::free(block) };
    }
    assert_eq!(alloc::counted(), before);
}

#[test]
fn counts_reallocation_from_null_and_to_zero() {
    let _turn = TURN.lock();
    let before = alloc::counted();
    alloc::tracked(|| {
        // SAFETY: null is a fresh block.
        let block = std::hint::black_box(unsafe { libc::realloc(null_mut(), 100) });
        assert_eq!(alloc::counted() - before, 100);
        // SAFETY: made above.
        let block = std::hint::black_box(unsafe { libc::realloc(block, 40) });
        assert_eq!(alloc::counted() - before, 40);
        // SAFETY: made above; zero frees it.
        let gone = unsafe { libc::realloc(block, 0) };
        assert!(gone.is_null());
    });
    assert_eq!(alloc::counted(), before);
}

#[test]
fn aligns_and_counts_aligned_blocks() {
    #[repr(align(4096))]
    struct Page(#[expect(dead_code, reason = "only its place matters")] [u8; 4096]);

    let _turn = TURN.lock();
    let before = alloc::counted();
    let page = alloc::tracked(|| std::hint::black_box(Box::new(Page([0; 4096]))));
    assert_eq!((&raw const *page).addr() % 4096, 0);
    assert_eq!(alloc::counted() - before, 4096);
    drop(page);
    let mut out = null_mut::<c_void>();
    let get = || {
        // SAFETY: room for one pointer.
        unsafe { libc::posix_memalign(&raw mut out, 256, 1000) }
    };
    assert_eq!(alloc::tracked(get), 0);
    assert_eq!((out.addr() % 256, alloc::counted() - before), (0, 1000));
    // SAFETY: made above.
    unsafe { libc::free(out) };
    assert_eq!(alloc::counted(), before);
}

#[test]
fn does_not_count_what_is_not_tracked() {
    let _turn = TURN.lock();
    let before = alloc::counted();
    let mine = std::hint::black_box(vec![1u8; 100_000]);
    let theirs = alloc::tracked(|| alloc::untracked(|| std::hint::black_box(vec![1u8; 70_000])));
    assert_eq!(alloc::counted(), before);
    // Freed in a tracked scope, they take nothing away.
    alloc::tracked(|| drop((mine, theirs)));
    assert_eq!(alloc::counted(), before);
}

#[test]
fn counts_across_threads() {
    let _turn = TURN.lock();
    let before = alloc::counted();
    let kept: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8usize)
            .map(|thread| {
                scope.spawn(move || {
                    let mut kept = Vec::with_capacity(500);
                    for step in 0..20_000 {
                        let block: Vec<u8> =
                            alloc::tracked(|| Vec::with_capacity(1 + (step * 37 + thread) % 900));
                        if step % 40 == 0 {
                            kept.push(block);
                        }
                    }
                    kept
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let sizes: usize = kept.iter().map(Vec::capacity).sum();
    assert_eq!(alloc::counted() - before, sizes as u64);
    drop(kept);
    assert_eq!(alloc::counted(), before);
}

#[test]
fn counts_anonymous_mappings_by_pages() {
    let _turn = TURN.lock();
    let (before, mapped_before) = (alloc::counted(), alloc::counted_mapped());
    let map = |length| {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping.
        let start = unsafe { libc::mmap(null_mut(), length, protection, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        start
    };
    let start = alloc::tracked(|| map(5 * 4096 - 100));
    assert_eq!(alloc::counted() - before, 5 * 4096);
    // A hole in the middle leaves both ends.
    // SAFETY: inside the mapping.
    unsafe { libc::munmap(start.byte_add(4096), 4096) };
    assert_eq!(alloc::counted_mapped() - mapped_before, 4 * 4096);
    // SAFETY: inside the mapping.
    let end = unsafe { start.byte_add(2 * 4096) };
    // SAFETY: the upper part of the mapping.
    let end = unsafe { libc::mremap(end, 3 * 4096, 9 * 4096, libc::MREMAP_MAYMOVE) };
    assert_ne!(end, libc::MAP_FAILED);
    assert_eq!(alloc::counted() - before, 10 * 4096);
    // SAFETY: as moved.
    unsafe { libc::munmap(end, 9 * 4096) };
    // Given away, it is the caller's; so is any part of a block.
    assert_eq!(given_away(start.cast_const().cast::<u8>().wrapping_add(9)), 4096);
    assert_eq!(alloc::counted(), before);
    // SAFETY: what is left of the mapping.
    unsafe { libc::munmap(start, 4096) };
    let block: Vec<u8> = alloc::tracked(|| Vec::with_capacity(100));
    assert_eq!(given_away(block.as_ptr().wrapping_add(60)), 100);
    drop(block);
    assert_eq!(alloc::counted(), before);
}

#[test]
fn the_hook_sees_every_event_and_pardons_the_one_in_progress() {
    static LEDGER: AtomicU64 = AtomicU64::new(0);
    static WORST: AtomicI64 = AtomicI64::new(0);
    let _turn = TURN.lock();
    let base = alloc::counted();
    LEDGER.store(base, Ordering::Relaxed);
    alloc::set_hook(|event| {
        drop(std::hint::black_box(vec![0u8; 10])); // A hook may allocate.
        let excursion = event.excursion(LEDGER.load(Ordering::Relaxed));
        WORST.fetch_max(excursion.abs(), Ordering::Relaxed);
    });
    let events = alloc::events();
    alloc::tracked(|| {
        LEDGER.fetch_add(100, Ordering::Relaxed); // Charged before it is made,
        let before: Vec<u8> = Vec::with_capacity(100);
        let after: Vec<u8> = Vec::with_capacity(1000); // after it is made,
        LEDGER.fetch_add(1000, Ordering::Relaxed);
        drop(before);
        LEDGER.fetch_sub(100, Ordering::Relaxed);
        drop(after);
        LEDGER.fetch_sub(1000, Ordering::Relaxed);
    });
    assert_eq!((alloc::events() - events, WORST.load(Ordering::Relaxed)), (4, 0));
    let free: Vec<u8> = alloc::tracked(|| Vec::with_capacity(77)); // or never.
    let next: Vec<u8> = alloc::tracked(|| Vec::with_capacity(1));
    assert_eq!(WORST.load(Ordering::Relaxed), 77);
    LEDGER.fetch_add(78, Ordering::Relaxed);
    drop((free, next));
}

#[test]
fn refuses_on_this_thread_only_and_names_the_place() {
    let ((), refusals) = alloc::refuse(|| {
        // SAFETY: plain calls that fail.
        let (block, zeroed) = unsafe { (libc::malloc(10), libc::calloc(1, 1)) };
        // Unless hidden, the compiler takes a block that is only compared to be there.
        let (block, zeroed) = std::hint::black_box((block, zeroed));
        assert!(block.is_null() && zeroed.is_null());
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping, refused.
        let start = unsafe { libc::mmap(null_mut(), 1, libc::PROT_READ, flags, -1, 0) };
        assert_eq!(start, libc::MAP_FAILED);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::ENOMEM));
        let mut vector: Vec<u8> = Vec::new();
        assert!(vector.try_reserve(1).is_err());
    });
    assert_eq!(refusals, alloc::Refusals { count: 4, first_bytes: 10 });
    drop(std::hint::black_box(vec![0u8; 100]));
    let block = vec![0u8; 10];
    let ((), refusals) = alloc::refuse(|| drop(block));
    assert_eq!(refusals.count, 0);
}

#[test]
fn names_the_function_that_was_refused() {
    const NAME: &str = "names_the_function_that_was_refused";
    if child::argument().is_some() {
        drop(alloc::refuse(|| asks_for_memory(1234)));
        return;
    }
    let output = child::command(NAME, "refused").output().unwrap();
    assert!(!output.status.success(), "the child lives on without memory");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("REFUSED 0x4d2 bytes"), "{err}");
    let names = child::named(&err);
    assert!(names.contains("asks_for_memory") || names.starts_with("addr2line:"), "{names}");
}

fn given_away(address: *const u8) -> usize {
    alloc::give_away(address).map_or(0, |given| given.len())
}

#[inline(never)]
fn asks_for_memory(bytes: usize) -> Vec<u8> {
    std::hint::black_box(vec![1; std::hint::black_box(bytes)])
}
