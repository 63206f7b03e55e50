//! What this process takes from the system: the C heap's settings and the resident memory it reaches.
//!
//! Engine memory is mapped and given back by the engine itself. The rest of the program (Parquet
//! pages, batches, arguments) comes from the C heap, which by default keeps an arena per thread and
//! raises its own thresholds as blocks are freed, so that memory once used is never given back.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes the C heap give memory back: one arena, fixed thresholds. Call it before the first thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn settle_heap() {
    const ARENAS: libc::c_int = 1;
    const MAPPED_FROM: libc::c_int = 256 << 10;
    const KEPT_AT_TOP: libc::c_int = 1 << 20;
    for (parameter, value) in [
        (libc::M_ARENA_MAX, ARENAS),
        (libc::M_MMAP_THRESHOLD, MAPPED_FROM),
        (libc::M_TRIM_THRESHOLD, KEPT_AT_TOP),
    ] {
        #[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
        // SAFETY: mallopt takes two integers and no pointer; an unknown parameter only returns 0,
        // and no other thread runs yet.
        let _accepted = unsafe { libc::mallopt(parameter, value) };
    }
}

/// Other heaps keep their defaults.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle_heap() {}

/// The largest resident memory seen: anonymous by sampling, total by the kernel's own mark.
#[derive(Debug, Default)]
pub struct ResidentPeak {
    anonymous: AtomicU64,
}

impl ResidentPeak {
    /// Takes one sample of the anonymous resident memory.
    pub fn sample(&self) {
        if let Some(bytes) = status_bytes("RssAnon:") {
            self.anonymous.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// The largest anonymous resident memory at any sample, in bytes; 0 where the system does not say.
    pub fn anonymous(&self) -> u64 {
        self.anonymous.load(Ordering::Relaxed)
    }

    /// The kernel's high-water mark of all resident memory since the program started, file pages of
    /// the program itself included; 0 where the system does not say.
    pub fn total() -> u64 {
        status_bytes("VmHWM:").unwrap_or(0)
    }
}

fn status_bytes(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    let kib = line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn sees_memory_that_was_touched() {
        let peak = ResidentPeak::default();
        peak.sample();
        let before = peak.anonymous();
        assert!(before > 0);
        let touched = vec![1u8; 32 << 20];
        peak.sample();
        assert!(peak.anonymous() >= before + (31 << 20), "{before} {}", peak.anonymous());
        assert!(ResidentPeak::total() >= peak.anonymous());
        drop(touched);
    }
}
