//! Black-box tests of the program: output, files and exit codes.

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/caches.rs"]
mod caches;
#[path = "cli/classify.rs"]
mod classify;
#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "cli/converting.rs"]
mod converting;
#[path = "cli/environment.rs"]
mod environment;
#[cfg(target_os = "linux")]
#[path = "cli/footprint.rs"]
mod footprint;
#[path = "cli/foreign.rs"]
mod foreign;
#[path = "cli/harness.rs"]
mod harness;
#[cfg(target_os = "linux")]
#[path = "cli/mesa.rs"]
mod mesa;
#[path = "cli/outputs.rs"]
mod outputs;
#[path = "cli/reports.rs"]
mod reports;
#[path = "cli/running.rs"]
mod running;
#[path = "cli/video.rs"]
mod video;
