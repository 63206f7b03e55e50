//! A panic at every place that can be made to panic: every exported function, inside streams and
//! around the callbacks that the library makes. Contained, that handle poisoned, the others and the
//! process fine.
//!
//! `cargo test -p bywash-ffi --features panic-injection --test panics`, with a `CARGO_TARGET_DIR` of
//! its own: the libraries in it have one more symbol.

#![expect(unsafe_code, clippy::unwrap_used, reason = "a test of the C interface, from Rust")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what panicked, with --nocapture")]

mod session;

use std::collections::BTreeSet;
use std::panic;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use session::run;

unsafe extern "C" {
    fn bywash_inject_panic(places: i64);
}

static PANICS: AtomicUsize = AtomicUsize::new(0);
static PLACES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Where, besides the functions of symbols.txt.
const OTHER_PLACES: [&str; 15] = [
    "acquire",
    "release",
    "destroy",
    "log",
    "write of a sink",
    "get_schema of a stream handed in",
    "get_next of a stream handed in",
    "get_schema of a stream",
    "get_next of a stream",
    "get_last_error of a stream",
    "release of a stream",
    "release of a batch",
    "release of a schema",
    "the text of an error",
    "the text of a stream",
];

/// Runs a whole session again and again, each time with the next place panicking, until none is left
/// to panic; after each, a session without a panic.
#[test]
fn a_panic_anywhere_is_contained() {
    panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        match text.split_once("a panic was injected at ") {
            Some((_, place)) => drop(PLACES.lock().unwrap().insert(short(place))),
            None => eprintln!("{text}"),
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
    println!("{} panics failed a call, {swallowed} were where nothing can fail", failed_in.len());
    check_places();
}

/// Every exported function had its panic, and so had everything else that was to have one.
fn check_places() {
    let mut reached = PLACES.lock().unwrap().clone();
    // They return a constant: nothing in them could panic.
    reached.extend(["bywash_abi_version", "bywash_version_string"].map(str::to_owned));
    let symbols = include_str!("../../symbols.txt").lines();
    let expected: BTreeSet<String> = symbols.chain(OTHER_PLACES).map(str::to_owned).collect();
    let missing: Vec<_> = expected.difference(&reached).collect();
    let unknown: Vec<_> = reached.difference(&expected).collect();
    assert!(missing.is_empty(), "no panic was injected in {missing:?}");
    assert!(unknown.is_empty(), "places that nobody expects, list them: {unknown:?}");
}

/// The function that a closure's type is named after; a free's place is named after its handle.
fn short(place: &str) -> String {
    let path = place.strip_suffix("::{{closure}}").unwrap_or(place);
    let name = path.rsplit("::").next().unwrap_or(path);
    let is_handle = path == place && path.contains("::");
    if is_handle { format!("{name}_free") } else { name.to_owned() }
}
