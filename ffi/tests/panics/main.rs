//! A panic at every place that can be made to panic: every entry, every free, inside streams and the
//! callbacks that the library makes. Contained, that handle poisoned, the others and the process fine.
//!
//! `cargo test -p bywash-ffi --features panic-injection --test panics`, with a `CARGO_TARGET_DIR` of
//! its own: the libraries in it have one more symbol.

#![expect(unsafe_code, clippy::unwrap_used, reason = "a test of the C interface, from Rust")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what panicked, with --nocapture")]

mod session;

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};

use session::run;

unsafe extern "C" {
    fn bywash_inject_panic(places: i64);
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Runs a whole session again and again, each time with the next place panicking, until none is left
/// to panic; after each, a session without a panic.
#[test]
fn a_panic_anywhere_is_contained() {
    panic::set_hook(Box::new(|info| {
        if !info.to_string().contains("a panic was injected") {
            eprintln!("{info}");
        }
        PANICS.fetch_add(1, Ordering::SeqCst);
    }));
    let calm = || {
        // SAFETY: takes any number.
        unsafe { bywash_inject_panic(-1) };
        run(&mut Vec::new())
    };
    assert_eq!(calm(), Ok(()));
    let mut failed_in = Vec::new();
    let mut swallowed = 0;
    for place in 0.. {
        let before = PANICS.load(Ordering::SeqCst);
        // SAFETY: as above.
        unsafe { bywash_inject_panic(place) };
        let mut calls = Vec::new();
        let outcome = run(&mut calls);
        let panics = PANICS.load(Ordering::SeqCst) - before;
        match outcome {
            Ok(()) if panics == 0 => break,
            // Frees return nothing.
            Ok(()) => swallowed += 1,
            Err(failure) => {
                let call = *calls.last().unwrap();
                assert!(failure.contains("a panic was injected"), "{call}: {failure}");
                failed_in.push(call);
            }
        }
        assert!(panics <= 1, "place {place}: {panics} panics");
        assert_eq!(calm(), Ok(()), "after place {place}, {calls:?}");
    }
    let mut every = Vec::new();
    // SAFETY: as above.
    unsafe { bywash_inject_panic(-1) };
    run(&mut every).unwrap();
    for call in every {
        assert!(failed_in.contains(&call), "no panic came out of {call}: {failed_in:?}");
    }
    assert!(swallowed >= session::FREES, "{swallowed} panics in frees");
    println!("{} panics failed a call, {swallowed} were in frees", failed_in.len());
}
