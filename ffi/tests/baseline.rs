//! The library runs on every processor of its architecture: nothing is built for the one at hand, and
//! instructions beyond the baseline are in functions that are only called where they were detected.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// No manifest, configuration, script or build file asks for a processor's own instructions.
#[test]
fn nothing_is_built_for_the_processor_at_hand() {
    // Put together, so that this file is not found.
    let wrong = ["cpu", "feature"].map(|what| format!("target-{what}"));
    let mut looked_at = 0;
    visit(&manifest().join(".."), &mut |path| {
        let is_document = path.extension().is_some_and(|extension| extension == "md");
        let Ok(text) = fs::read_to_string(path) else { return };
        looked_at += 1;
        for wrong in wrong.iter().map(String::as_str).chain([concat!("-mar", "ch="), "-mcpu="]) {
            let found = text.contains(wrong) && !is_document && !path.ends_with("baseline.rs");
            assert!(!found, "{} contains {wrong}", path.display());
        }
    });
    assert!(looked_at > 200, "only {looked_at} files were looked at");
}

/// In the shared library's code: AVX, AVX-512, BMI2, SSE4.2 and the like only where a detected kernel is.
#[test]
fn instructions_beyond_the_baseline_are_in_detected_kernels_only() {
    if cfg!(not(target_arch = "x86_64")) {
        say("SKIPPED: instructions_beyond_the_baseline...: it knows x86-64's only");
        return;
    }
    let library = std::env::current_exe().unwrap().with_file_name("libbywash_ffi.so");
    let objdump = Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(&library).output();
    let Ok(output) = objdump else {
        say("SKIPPED: instructions_beyond_the_baseline...: objdump is not installed");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let (mut function, mut lines, mut kernels) = ("", 0, Vec::new());
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            function = name.1;
            continue;
        }
        let Some(instruction) = line.split('\t').nth(1) else { continue };
        lines += 1;
        if is_beyond_baseline(instruction) {
            assert!(is_detected(function), "{instruction} in {function}");
            kernels.push(function);
        }
    }
    assert!(lines > 50_000, "only {lines} instructions were looked at");
    // The checksum's kernel is there, so names are what the list below takes them for.
    assert!(kernels.iter().any(|kernel| kernel.contains("hw_x86_64")), "{kernels:?}");
}

/// Whether an instruction is not in the first x86-64. `tzcnt` and `lzcnt` run everywhere, as other ones:
/// compilers use `tzcnt` where both give the same.
fn is_beyond_baseline(instruction: &str) -> bool {
    let (name, operands) = instruction.split_once(char::is_whitespace).unwrap_or((instruction, ""));
    let exact = [
        "shlx", "shrx", "sarx", "rorx", "mulx", "bzhi", "pext", "pdep", "andn", "bextr", "blsr",
        "popcnt", "pshufb", "palignr", "ptest", "pcmpeqq", "pcmpgtq", "pmulld", "pblendvb",
        "pabsd", "phaddd", "movbe", "adcx", "adox",
    ];
    let begins =
        ["crc32", "pclmul", "aes", "pextr", "pinsr", "sha1", "sha256", "pmovzx", "pmovsx", "round"];
    // Part of the baseline.
    let old = ["pinsrw", "pextrw"];
    let name = name.trim();
    (exact.contains(&name)
        || begins.iter().any(|start| name.starts_with(start))
        || operands.contains("%ymm")
        || operands.contains("%zmm")
        || (name.starts_with('v') && operands.contains("%xmm")))
        && !old.contains(&name)
}

/// Kernels that are only called after the processor was asked: CRC-32C (crc32c), Zstandard's of BMI2,
/// memchr's in texts, half's conversions. See docs/ABI.md.
fn is_detected(function: &str) -> bool {
    let zstandard = function.contains("_bmi2")
        || (function.starts_with("HUF_decompress4X") && function.contains("_fast"));
    let crc32c = function.contains("crc32c") && function.contains("hw_x86_64");
    let memchr = function.contains("memchr") && function.contains("avx2");
    let half = function.contains("half") && function.contains("x86");
    let own_detection = function.contains("std_detect");
    zstandard || crc32c || memchr || half || own_detection
}

/// Every file of the sources: not what was built, not git's own.
fn visit(dir: &Path, look: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(dir).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        let skipped = ["target", ".git", "corpus", "golden"];
        if path.is_dir() {
            if !skipped.iter().any(|skipped| name == *skipped) {
                visit(&path, look);
            }
        } else {
            look(&path);
        }
    }
}

/// Says it past the harness, which swallows what passing tests print.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap_or_else(|error| {
        panic!("standard error takes a line: {error}");
    });
}

fn manifest() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
