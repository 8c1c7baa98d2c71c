//! Mesa on a system without a display.
//!
//! To find the GPU that drives the display, Mesa's layer for Vulkan connects to Wayland. Where `XDG_RUNTIME_DIR` is not
//! set, Wayland's library prints `error: XDG_RUNTIME_DIR is invalid or not set in the environment.`, twice for each
//! run, which looks like an error of this program. The variable keeps it quiet, and has to be there before the library is
//! loaded. A process cannot safely change its own variables, so it starts itself anew, in its own place.

/// Starts the program anew with the variable, where it lacks it; returns where that is not needed, or cannot be done.
#[cfg(target_os = "linux")]
pub fn quieten() {
    use std::os::unix::process::CommandExt as _;
    const VARIABLE: &str = "XDG_RUNTIME_DIR";
    // Nothing can be connected to below this.
    const NOWHERE: &str = "/dev/null";
    let is_set = std::env::var_os(VARIABLE).is_some_and(|value| value.as_encoded_bytes().starts_with(b"/"));
    let layer_is_off = std::env::var_os("NODEVICE_SELECT").is_some();
    let Ok(program) = std::env::current_exe() else { return };
    // Started by a loader of other libraries, or an emulator, the program that runs is that one.
    let is_this = program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"resnet3d"));
    if is_set || layer_is_off || !is_this {
        return;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    let error = std::process::Command::new(program).arg0(name).args(arguments).env(VARIABLE, NOWHERE).exec();
    log::debug!("the program cannot be started anew, so Mesa may complain: {error}");
}

/// Only Linux has Wayland.
#[cfg(not(target_os = "linux"))]
pub fn quieten() {}
