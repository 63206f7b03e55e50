//! Settings by name, so that a new one needs no new symbol.

#![expect(unsafe_code, reason = "pointers come from C")]

use std::ffi::c_char;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bywash::{ChargeMode, Codec, Error, Result, SyncPolicy};

use crate::call;
use crate::error::bywash_error;
use crate::fork::ForkMark;
use crate::handle::{self, Opaque};
use crate::input;

/// Settings for contexts and shuffles. What is not set has its default.
#[derive(Debug)]
pub struct bywash_options(());

impl Opaque for bywash_options {
    type Value = Mutex<Settings>;
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) capacity: u64,
    pub(crate) host_slack: u64,
    pub(crate) patience: Duration,
    pub(crate) spill_dirs: Vec<PathBuf>,
    pub(crate) spill_quota_total: Option<u64>,
    pub(crate) spill_quota_per_dir: Option<u64>,
    pub(crate) spill_memory_backed: SpillMemory,
    pub(crate) spill_named: bool,
    pub(crate) output_sync: SyncPolicy,
    pub(crate) codec: Codec,
    pub(crate) validate: bool,
    pub(crate) charge: ChargeMode,
}

/// What becomes of spill directories in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpillMemory {
    Refuse,
    /// Files there are charged to a task of their own, with that many bytes promised.
    Charge {
        promised: u64,
    },
    Unaccounted,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: u64::MAX,
            host_slack: 1 << 20,
            patience: Duration::ZERO,
            spill_dirs: Vec::new(),
            spill_quota_total: None,
            spill_quota_per_dir: None,
            spill_memory_backed: SpillMemory::Refuse,
            spill_named: false,
            output_sync: SyncPolicy::default(),
            codec: Codec::default(),
            validate: false,
            charge: ChargeMode::Ledger,
        }
    }
}

impl bywash_options {
    /// The settings; the defaults for NULL.
    ///
    /// # Safety
    /// `options` is NULL or a live handle of this library.
    pub(crate) unsafe fn settings(options: *const Self) -> Result<Settings> {
        if options.is_null() {
            return Ok(Settings::default());
        }
        // SAFETY: the caller's promise.
        let handle = unsafe { handle::get(options) }?;
        Ok(handle.value().lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Makes options with every setting at its default. Free them with `bywash_options_free`.
///
/// # Safety
/// `out` points to a place for a pointer; `error_out` too, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_options_new(
    out: *mut *mut bywash_options,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(out, std::ptr::null_mut());
        call::free_standing(error_out, || {
            let out = out.present()?;
            let mark = Arc::new(ForkMark::try_new()?);
            out.set(handle::into_raw(Mutex::new(Settings::default()), &mark));
            Ok(())
        })
    }
}

/// Sets one setting from its text. Any thread.
///
/// For a context:
/// - `memory.capacity`: bytes; default: no limit of its own.
/// - `memory.host_slack`: bytes lent by the host that may lie idle; default 1MiB.
/// - `memory.patience_ms`: how long a request for memory may wait; default 0.
/// - `spill.dirs`: paths separated by `:`; writers need one.
/// - `spill.quota_total`, `spill.quota_per_dir`: bytes; default: no limit.
/// - `spill.memory_backed`: what becomes of directories whose files are memory (tmpfs): `refuse`
///   (default); `charge:BYTES`, every page is charged, with BYTES promised to them; `unaccounted`: the
///   budget holds no longer.
/// - `spill.named`: whether spills keep their names while they are open, `yes` or `no` (default).
/// - `output.sync`: `never` or `on_commit`.
/// - `reader.charge`: who pays for batches that were read: `ledger` (default) until they are released;
///   `host`, whose `release` is called when they are; `detached`: nobody.
///
/// For a shuffle:
/// - `codec`: `none`, `lz4`, `zstd` or `zstd:LEVEL`.
/// - `validate`: of arrays handed in, `none` (default: lengths and offsets at the ends only) or `full`.
///
/// Bytes may end in KiB, MiB, GiB or TiB.
///
/// Errors: `INVALID_ARGUMENT` for a name that is not known or a value that does not fit it.
///
/// # Safety
/// `options` is a live handle; `key` and `value` are NUL-terminated; `error_out` is NULL or points to
/// a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_options_set(
    options: *mut bywash_options,
    key: *const c_char,
    value: *const c_char,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        call::on(options, error_out, |handle| {
            let (key, value) = (input::text(key, "key")?, input::text(value, "value")?);
            let mut settings = handle.value().lock().unwrap_or_else(PoisonError::into_inner);
            settings.set(key, value)
        })
    }
}

/// Frees options; NULL is fine. What was made with them keeps what it needs.
///
/// # Safety
/// `options` is NULL or a live handle that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_options_free(options: *mut bywash_options) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(options) }
}

impl Settings {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let wrong = |expected: &str| {
            Error::invalid("a setting has a value that does not fit it")
                .with_detail(format!("{key} = {value:?}; expected {expected}"))
        };
        let bytes = || parse_bytes(value).ok_or_else(|| wrong("bytes, such as 1048576 or 64MiB"));
        match key {
            "memory.capacity" => self.capacity = bytes()?,
            "memory.host_slack" => self.host_slack = bytes()?,
            "memory.patience_ms" => {
                let millis = u64::from_str(value).map_err(|_| wrong("milliseconds"))?;
                self.patience = Duration::from_millis(millis);
            }
            "spill.dirs" => {
                self.spill_dirs =
                    value.split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from).collect();
            }
            "spill.quota_total" => self.spill_quota_total = Some(bytes()?),
            "spill.quota_per_dir" => self.spill_quota_per_dir = Some(bytes()?),
            "spill.memory_backed" => {
                let charged = value.strip_prefix("charge:").and_then(parse_bytes);
                self.spill_memory_backed = match (value, charged) {
                    ("refuse", _) => SpillMemory::Refuse,
                    ("unaccounted", _) => SpillMemory::Unaccounted,
                    (_, Some(promised)) => SpillMemory::Charge { promised },
                    _ => return Err(wrong("refuse, charge:BYTES or unaccounted")),
                }
            }
            "spill.named" => {
                self.spill_named = match value {
                    "no" => false,
                    "yes" => true,
                    _ => return Err(wrong("yes or no")),
                }
            }
            "output.sync" => {
                self.output_sync = match value {
                    "never" => SyncPolicy::Never,
                    "on_commit" => SyncPolicy::OnCommit,
                    _ => return Err(wrong("never or on_commit")),
                }
            }
            "codec" => self.codec = Codec::from_str(value)?,
            "reader.charge" => {
                self.charge = match value {
                    "ledger" => ChargeMode::Ledger,
                    "host" => ChargeMode::Host,
                    "detached" => ChargeMode::Detached,
                    _ => return Err(wrong("ledger, host or detached")),
                }
            }
            "validate" => {
                self.validate = match value {
                    "none" => false,
                    "full" => true,
                    _ => return Err(wrong("none or full")),
                }
            }
            _ => {
                return Err(Error::invalid("there is no such setting").with_detail(format!(
                    "{key:?}; there are memory.capacity, memory.host_slack, memory.patience_ms, \
                     spill.dirs, spill.quota_total, spill.quota_per_dir, spill.memory_backed, \
                     spill.named, output.sync, reader.charge, codec, validate"
                )));
            }
        }
        Ok(())
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let (digits, shift) = units
        .iter()
        .find_map(|(unit, shift)| text.strip_suffix(unit).map(|digits| (digits, *shift)))
        .unwrap_or((text, 0));
    let value = u64::from_str(digits.trim()).ok()?;
    value.checked_mul(1 << shift)
}
