//! A thread for which memory is out: every malloc, realloc and anonymous mapping fails.
#![expect(unsafe_code, reason = "raw writes and backtraces that must not allocate")]

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Once;

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refusals {
    /// How many calls.
    pub count: u64,
    /// Bytes the first one asked for.
    pub first_bytes: usize,
}

/// Runs `f` with every allocation of this thread refused; freeing is allowed.
///
/// The first refusals are printed on the standard error with their return addresses, as offsets in the
/// executable (`addr2line -f -e`), because the process may well abort right after.
pub fn refuse<R>(f: impl FnOnce() -> R) -> (R, Refusals) {
    // The first backtrace of a process loads and allocates its unwinder.
    let mut frames = [std::ptr::null_mut(); 4];
    // SAFETY: the array has room for that many frames.
    unsafe { libc::backtrace(frames.as_mut_ptr(), 4) };
    PANIC_HOOK.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            REFUSING.set(false);
            next(info);
        }));
    });

    SEEN.set(Refusals::default());
    REFUSING.set(true);
    let restore = Restore;
    let result = f();
    drop(restore);
    (result, SEEN.get())
}

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        REFUSING.set(false);
    }
}

/// Whether a request of `bytes` on this thread must fail; notes it if so.
pub(super) fn is_refused(bytes: usize) -> bool {
    if !REFUSING.get() {
        return false;
    }
    let mut seen = SEEN.get();
    seen.count += 1;
    if seen.count == 1 {
        seen.first_bytes = bytes;
    }
    if seen.count <= REPORTS_MAX {
        REFUSING.set(false); // Were the backtrace to allocate, it may.
        report(bytes);
        REFUSING.set(true);
    }
    SEEN.set(seen);
    true
}

/// Writes `message` and aborts: for the allocator's own limits.
pub(super) fn die(message: &[u8]) -> ! {
    write(message);
    std::process::abort();
}

fn report(bytes: usize) {
    let mut frames = [std::ptr::null_mut::<c_void>(); 48];
    // SAFETY: the array has room for 48 frames.
    let count = unsafe { libc::backtrace(frames.as_mut_ptr(), 48) };
    let base = (&raw const __executable_start).addr();
    write(b"REFUSED ");
    write_hex(bytes);
    write(b" bytes at");
    for frame in frames.iter().take(usize::try_from(count).unwrap_or(0)) {
        write(b" ");
        write_hex(frame.addr().wrapping_sub(base));
    }
    write(b"\n");
}

fn write_hex(value: usize) {
    let mut text = *b"0x0000000000000000";
    let mut rest = value;
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b"0123456789abcdef"[rest % 16];
        rest /= 16;
        if rest == 0 {
            break;
        }
    }
    write(b"0x");
    write(&text[at..]);
}

fn write(bytes: &[u8]) {
    // SAFETY: the range is that of the slice; a short write only loses diagnostics.
    unsafe { libc::write(2, bytes.as_ptr().cast(), bytes.len()) };
}

unsafe extern "C" {
    /// Where the linker put the executable; only its address is used.
    static __executable_start: u8;
}

/// Refusals that are printed; the last of them may be what a process died of.
const REPORTS_MAX: u64 = 6;

thread_local! {
    static REFUSING: Cell<bool> = const { Cell::new(false) };
    static SEEN: Cell<Refusals> = const { Cell::new(Refusals { count: 0, first_bytes: 0 }) };
}

/// A panic cannot be reported without memory (it hangs), so it ends the refusing.
static PANIC_HOOK: Once = Once::new();
