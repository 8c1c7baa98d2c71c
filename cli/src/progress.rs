//! Progress on standard error: a spinner or a bar on a terminal, or at most one plain line otherwise.

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use resnet3d_wgpu::GpuContext;
use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

/// Work that takes less time prints no line.
const PATIENCE: Duration = Duration::from_secs(1);

/// The refresh interval of a display.
const TICK: Duration = Duration::from_millis(100);

const SPINNER: &str = "{spinner} {msg}{kernels}";
const BAR: &str = "{msg} {bar:32} {pos}/{len} ({eta} left){kernels}";
const BAR_WITHOUT_END: &str = "{msg} {bar:32} {pos}/{len}{kernels}";
const COUNT: &str = "{msg} {pos}{kernels}";

/// Work in progress. Dropping it ends the display.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// The context that may compile kernels for the work.
    gpu: Option<GpuContext>,
    /// Dropping the sender cancels the plain line.
    _notice: Option<mpsc::Sender<()>>,
}

impl Progress {
    /// Work of unknown length.
    pub fn start(what: &'static str) -> Self {
        Self::show(what, || {
            let bar = ProgressBar::new_spinner().with_message(what);
            bar.set_style(style(SPINNER, None));
            bar.enable_steady_tick(TICK);
            bar
        })
    }

    /// Work of `steps` steps.
    pub fn steps(what: &'static str, steps: u64) -> Self {
        Self::show(what, || {
            let bar = ProgressBar::new(steps).with_message(what);
            bar.set_style(style(BAR, None));
            bar.tick();
            bar
        })
    }

    /// Work whose length becomes known later or never, see [`Progress::at`].
    pub fn counting(what: &'static str) -> Self {
        Self::show(what, || {
            let bar = ProgressBar::no_length().with_message(what);
            bar.set_style(style(COUNT, None));
            bar.tick();
            bar
        })
    }

    fn show(what: &'static str, bar: impl FnOnce() -> ProgressBar) -> Self {
        if std::io::stderr().is_terminal() {
            return Self { bar: bar(), gpu: None, _notice: None };
        }
        let (sender, receiver) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if receiver.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = writeln!(std::io::stderr(), "{what} ...");
            }
        });
        Self { bar: ProgressBar::hidden(), gpu: None, _notice: Some(sender) }
    }

    /// Also shows how many kernels are compiled while `gpu` compiles kernels.
    pub fn with_kernels(mut self, gpu: &GpuContext) -> Self {
        self.bar.set_style(with_kernels(self.bar.style(), gpu));
        self.bar.enable_steady_tick(TICK);
        self.gpu = Some(gpu.clone());
        self
    }

    /// `done` of `total` steps are done.
    pub fn at(&self, done: usize, total: Option<usize>) {
        if let Some(total) = total {
            if self.bar.length().is_none() {
                self.bar.set_style(style(BAR_WITHOUT_END, self.gpu.as_ref()));
            }
            // The expected total may have been too low.
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

/// The style for a template, or the default if the template is invalid.
fn style(template: &str, gpu: Option<&GpuContext>) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    match gpu {
        Some(gpu) => with_kernels(style, gpu),
        None => style,
    }
}

/// Adds the value of `kernels` in templates to `style`.
fn with_kernels(style: ProgressStyle, gpu: &GpuContext) -> ProgressStyle {
    let gpu = gpu.clone();
    style.with_key("kernels", move |_: &ProgressState, text: &mut dyn std::fmt::Write| {
        if let Some(compilation) = gpu.compilation() {
            let _ = write!(text, ", kernels compiled: {} of {}", compilation.done, compilation.total);
        }
    })
}
