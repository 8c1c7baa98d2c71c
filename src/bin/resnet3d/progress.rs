//! Progress on standard error: a spinner or a bar on a terminal, at most one plain line elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

/// What takes less than this is not worth a line.
const PATIENCE: Duration = Duration::from_secs(1);

/// A piece of work under way; dropping it ends the display.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// Dropping it keeps the line for a pipe or file from being printed.
    _notice: Option<mpsc::Sender<()>>,
}

impl Progress {
    /// Work of unknown length.
    pub fn start(what: &'static str) -> Self {
        Self::show(what, || {
            let bar = ProgressBar::new_spinner().with_message(what);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        })
    }

    /// Work of `steps` steps.
    pub fn steps(what: &'static str, steps: u64) -> Self {
        Self::show(what, || {
            let bar = ProgressBar::new(steps).with_message(what);
            bar.set_style(style("{msg} {bar:32} {pos}/{len} ({eta} left)"));
            bar.tick();
            bar
        })
    }

    /// Work that counts up to what is known only on the way, or never: see [`Progress::at`].
    pub fn counting(what: &'static str) -> Self {
        Self::show(what, || {
            let bar = ProgressBar::no_length().with_message(what);
            bar.set_style(style("{msg} {pos}"));
            bar.tick();
            bar
        })
    }

    fn show(what: &'static str, bar: impl FnOnce() -> ProgressBar) -> Self {
        if std::io::stderr().is_terminal() {
            return Self { bar: bar(), _notice: None };
        }
        let (sender, receiver) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if receiver.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = writeln!(std::io::stderr(), "{what} ...");
            }
        });
        Self { bar: ProgressBar::hidden(), _notice: Some(sender) }
    }

    /// `done` of `total` steps are done.
    pub fn at(&self, done: usize, total: Option<usize>) {
        if let Some(total) = total {
            if self.bar.length().is_none() {
                self.bar.set_style(style("{msg} {bar:32} {pos}/{len}"));
            }
            // What was promised may have been too little.
            self.bar.set_length(total.max(done) as u64);
        }
        self.bar.set_position(done as u64);
    }

    /// One step is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The look of a bar; a template that is none leaves the usual one.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
