//! A context: the memory account and the directories of one executor; and its tasks.

#![expect(unsafe_code, reason = "pointers come from C")]

use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;

use bywash::{
    Error, FsStore, LedgerOptions, MemoryBacked, MemoryLedger, MemoryParent, OutputDirs,
    OutputOptions, Result, SpillDirs, SpillOptions, Store, TaskMemory, waiting_ledger,
};

use crate::call;
use crate::error::{bywash_error, give_string};
use crate::fork::ForkMark;
use crate::handle::{self, Opaque};
use crate::host::{BYWASH_LOG_WARNING, Host, HostMemory, bywash_host};
use crate::json;
use crate::options::{Settings, SpillMemory, bywash_options};

/// The memory account and spill directories of one executor. All functions on it may be called from
/// any thread at any time.
#[derive(Debug)]
pub struct bywash_context(());

impl Opaque for bywash_context {
    type Value = Arc<Context>;
}

/// What a context's handles share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) ledger: MemoryLedger,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) spill_dirs: Option<Arc<SpillDirs>>,
    /// Open for the writers to come: opening one reads all of its names.
    pub(crate) output_dirs: OutputDirs,
    pub(crate) settings: Settings,
    /// Told of the end when all that keeps the context is gone, also where it lends nothing.
    _host: Option<Arc<Host>>,
}

/// A task's part of a context's memory. Writers and readers keep it alive.
#[derive(Debug)]
pub struct bywash_task(());

impl Opaque for bywash_task {
    type Value = Task;
}

#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) memory: TaskMemory,
    pub(crate) context: Arc<Context>,
}

/// Makes a context. `options` may be NULL (defaults); with a `host` that lends, all memory is lent by it.
/// Opens and sweeps the spill directories: blocks on the disk.
///
/// Errors: `INVALID_ARGUMENT`; what opening the directories fails with.
///
/// # Safety
/// `options` is NULL or a live handle; `host` is NULL or points to a table; `out` points to a place for
/// a pointer; `error_out` too, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_context_new(
    options: *const bywash_options,
    host: *const bywash_host,
    out: *mut *mut bywash_context,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(out, ptr::null_mut());
        call::free_standing(error_out, || {
            let out = out.present()?;
            let settings = bywash_options::settings(options)?;
            let mark = Arc::new(ForkMark::try_new()?);
            let host = if host.is_null() { None } else { Some(Host::read(host, &mark)?) };
            let host = host.map(Arc::new);
            let context = Context::open(settings, host.as_ref())?;
            out.set(handle::into_raw(Arc::new(context), &mark));
            if let Some(host) = host {
                host.own();
            }
            Ok(())
        })
    }
}

/// Frees a context; NULL is fine. What was made of it keeps what it needs, in any order.
///
/// # Safety
/// `context` is NULL or a live handle that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_context_free(context: *mut bywash_context) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(context) }
}

/// Takes memory back: idle memory first, then by spilling what is idle, on this thread (blocks on the
/// disk); what is busy spills at its own next step. `freed_out` receives the bytes that came back before
/// this returned: with a host, what its `release` was called with.
///
/// May be called from any thread at any time, also inside the host's `acquire`.
///
/// # Safety
/// `context` is a live handle; `freed_out` points to a place for a number; `error_out` is NULL or points
/// to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_reclaim(
    context: *const bywash_context,
    bytes: u64,
    freed_out: *mut u64,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let freed = call::output(freed_out, 0);
        call::on(context, error_out, |handle| {
            let freed = freed.present()?;
            freed.set(handle.value().ledger.reclaim(bytes));
            Ok(())
        })
    }
}

/// Lets the capacity rise or fall. Below what is granted it is a target: nothing more is granted until
/// enough came back. `over_out`, which may be NULL, receives the bytes granted above it.
///
/// # Safety
/// `context` is a live handle; `over_out` is NULL or points to a place for a number; `error_out` is NULL
/// or points to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_set_capacity(
    context: *const bywash_context,
    bytes: u64,
    over_out: *mut u64,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(over_out, 0);
        call::on(context, error_out, |handle| {
            let over = handle.value().ledger.set_capacity(bytes);
            if let Some(out) = out.if_wanted() {
                out.set(over);
            }
            Ok(())
        })
    }
}

/// Where the memory is, who held the most, and why the last spills were, as a JSON object. Free the
/// string with `bywash_string_free`.
///
/// # Safety
/// `context` is a live handle; `json_out` points to a place for a pointer; `error_out` too, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_explain(
    context: *const bywash_context,
    json_out: *mut *mut c_char,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(json_out, ptr::null_mut());
        call::on(context, error_out, |handle| {
            let out = out.present()?;
            out.set(give_string(&json::explanation(handle.value())));
            Ok(())
        })
    }
}

/// Begins a task that is promised `minimum` bytes (see `bywash_shuffle_minimum_budget`); 0 promises
/// nothing. Waits for its turn up to `memory.patience_ms`.
///
/// Errors: `MEMORY_LIMIT` if the promise does not fit beside those of other tasks.
///
/// # Safety
/// `context` is a live handle; `out` points to a place for a pointer; `error_out` too, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_task_new(
    context: *const bywash_context,
    minimum: u64,
    out: *mut *mut bywash_task,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(out, ptr::null_mut());
        call::on(context, error_out, |handle| {
            let out = out.present()?;
            let context = handle.value();
            let admitted = context.ledger.admit_or_wait(1, minimum, &|| false)?.pop();
            let memory = admitted.ok_or(Error::internal("no task was admitted"))?;
            let task = Task { memory, context: Arc::clone(context) };
            out.set(handle::into_raw(task, handle.mark()));
            Ok(())
        })
    }
}

/// Ends a task as far as the caller is concerned; NULL is fine. It lasts, with what it was promised, until the
/// last writer, output and stream made in it is freed; batches and schemas that were read do not keep it.
///
/// # Safety
/// `task` is NULL or a live handle that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_task_free(task: *mut bywash_task) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(task) }
}

impl Context {
    fn open(settings: Settings, host: Option<&Arc<Host>>) -> Result<Self> {
        let parent = host.and_then(HostMemory::of);
        let parent = parent.map(|parent| -> Arc<dyn MemoryParent> { Arc::new(parent) });
        let ledger = MemoryLedger::with_options(LedgerOptions {
            parent,
            parent_slack: settings.host_slack,
            ..waiting_ledger(settings.capacity, settings.patience)
        });
        let store: Arc<dyn Store> = Arc::new(FsStore::new());
        let options = OutputOptions { sync: settings.output_sync, ..OutputOptions::default() };
        let output_dirs = OutputDirs::new(Arc::clone(&store), options);
        let kept = host.cloned();
        let mut context =
            Self { ledger, store, spill_dirs: None, output_dirs, settings, _host: kept };
        if !context.settings.spill_dirs.is_empty() {
            let dirs = context.open_spill_dirs()?;
            for unused in dirs.unused() {
                let (path, error) = (unused.path.display(), &unused.error);
                let line = format!("a spill directory is not used: {path}: {error}");
                host.inspect(|host| host.log(BYWASH_LOG_WARNING, &line));
            }
            context.spill_dirs = Some(dirs);
        }
        Ok(context)
    }

    fn open_spill_dirs(&self) -> Result<Arc<SpillDirs>> {
        let settings = &self.settings;
        let memory_backed = match settings.spill_memory_backed {
            SpillMemory::Refuse => MemoryBacked::Refuse,
            SpillMemory::Unaccounted => MemoryBacked::Unaccounted,
            SpillMemory::Charge { promised } => {
                let task = self.ledger.admit(1, promised)?.pop();
                let task = task.ok_or(Error::internal("no task was admitted"))?;
                MemoryBacked::Charge(task.consumer("spill-files"))
            }
        };
        let options = SpillOptions {
            named: settings.spill_named,
            quota_per_dir: settings.spill_quota_per_dir,
            quota_total: settings.spill_quota_total,
            memory_backed,
            ..SpillOptions::default()
        };
        SpillDirs::open(Arc::clone(&self.store), &settings.spill_dirs, options)
    }

    pub(crate) fn spill_dirs(&self) -> Result<&Arc<SpillDirs>> {
        self.spill_dirs.as_ref().ok_or(Error::invalid(
            "this context has no spill directory; set spill.dirs before it is made",
        ))
    }
}
