//! Noticing that this process is a forked child.
//!
//! A context has one page that the kernel empties in a child (`MADV_WIPEONFORK`, Linux 4.14). No
//! handler is installed and no system call is made to look. Where the advice is refused, the process
//! id is compared instead.

#![expect(unsafe_code, reason = "a page that the kernel changes is read through a raw pointer")]

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, Ordering};

use bywash::{Error, ErrorKind, Result};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use rustix::process::{Pid, getpid};

const PAGE: usize = 4096;
const ALIVE: u8 = 1;

/// Says whether this is still the process that made it.
#[derive(Debug)]
pub(crate) struct ForkMark {
    page: NonNull<AtomicU8>,
    /// Compared where the page is not emptied by the kernel.
    pid: Option<Pid>,
}

// SAFETY: the page is only accessed through an atomic, and unmapped by the owner alone.
unsafe impl Send for ForkMark {}
// SAFETY: as above.
unsafe impl Sync for ForkMark {}

impl ForkMark {
    pub(crate) fn try_new() -> Result<Self> {
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let mapped = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                PAGE,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        };
        let start = mapped.map_err(|errno| {
            Error::new(ErrorKind::MemoryLimit, "the system has no page for a context")
                .with_os_error(errno.raw_os_error())
        })?;
        // SAFETY: advice on the page mapped above, which nobody else knows.
        let wiped = unsafe { madvise(start, PAGE, Advice::LinuxWipeOnFork) }.is_ok();
        let page = NonNull::new(start.cast::<AtomicU8>())
            .ok_or(Error::internal("a mapping at address zero"))?;
        let mark = Self { page, pid: (!wiped).then(getpid) };
        mark.byte().store(ALIVE, Ordering::Relaxed);
        Ok(mark)
    }

    /// Whether this process was forked off after the mark was made.
    pub(crate) fn is_in_child(&self) -> bool {
        let emptied = self.byte().load(Ordering::Relaxed) != ALIVE;
        emptied || self.pid.is_some_and(|pid| pid != getpid())
    }

    fn byte(&self) -> &AtomicU8 {
        // SAFETY: the page stays mapped while self lives, and is only used as this atomic.
        unsafe { self.page.as_ref() }
    }
}

impl Drop for ForkMark {
    fn drop(&mut self) {
        // SAFETY: the owner of the page is going; nobody else refers to it.
        let outcome = unsafe { munmap(self.page.as_ptr().cast(), PAGE) };
        debug_assert!(outcome.is_ok(), "a page is unmapped once");
    }
}
