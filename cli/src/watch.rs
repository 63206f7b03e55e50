//! A thread that looks at a running command: resident memory for the report, progress for people.
//!
//! The bar is drawn on standard error and only if that is a terminal; in a pipe nothing is written.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::process::ResidentPeak;

/// What the watched threads report and what the watching thread found.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    rows: AtomicU64,
    stop: AtomicBool,
    peak: ResidentPeak,
}

impl Watch {
    /// Counts rows done.
    pub(crate) fn advance(&self, rows: usize) {
        self.rows.fetch_add(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Tells the other threads to stop because one failed.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether a thread failed.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The resident memory seen.
    pub(crate) fn peak(&self) -> &ResidentPeak {
        &self.peak
    }

    /// Runs `work` while a second thread samples resident memory every five milliseconds and draws
    /// a bar up to `rows_total`.
    pub(crate) fn run<T>(
        &self,
        verb: &'static str,
        rows_total: u64,
        work: impl FnOnce() -> T,
    ) -> T {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let bar = progress_bar(verb, rows_total);
                while !done.load(Ordering::Acquire) {
                    self.peak.sample();
                    bar.set_position(self.rows.load(Ordering::Relaxed));
                    thread::park_timeout(SAMPLE_INTERVAL);
                }
                bar.finish_and_clear();
            });
            let result = work();
            self.peak.sample();
            done.store(true, Ordering::Release);
            watcher.thread().unpark();
            result
        })
    }
}

const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);

fn progress_bar(verb: &'static str, rows_total: u64) -> ProgressBar {
    let bar =
        ProgressBar::with_draw_target(Some(rows_total), ProgressDrawTarget::stderr_with_hz(5));
    let template = "{prefix:>10} [{bar:30}] {human_pos}/{human_len} rows, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(verb);
    bar
}
