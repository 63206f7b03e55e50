//! Gives the shared library its SONAME, so that programs linked with one build find another that serves
//! the same interface, and no other. tests/install.rs compares the number with the interface's.

/// The interface's major version.
const ABI_MAJOR: u32 = 1;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let elf = ["linux", "android", "freebsd", "netbsd", "openbsd", "dragonfly"];
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if elf.contains(&target.as_str()) {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libbywash_ffi.so.{ABI_MAJOR}");
    }
}
