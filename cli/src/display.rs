//! Silences Mesa on a system without a display.
//!
//! To find the GPU that drives the display, Mesa's Vulkan layer connects to Wayland. If `XDG_RUNTIME_DIR` is not set,
//! Wayland's library prints `error: XDG_RUNTIME_DIR is invalid or not set in the environment.` twice in each run, which
//! looks like an error of this program. The variable silences it, and has to be set before the library is loaded. A
//! process cannot safely change its environment, so the program replaces itself with a new instance of itself.

/// Restarts the program with the variable if it is missing. Returns if that is unnecessary or impossible.
#[cfg(target_os = "linux")]
pub fn silence_mesa() {
    use std::os::unix::process::CommandExt as _;
    const VARIABLE: &str = "XDG_RUNTIME_DIR";
    // There is no socket to connect to below this path.
    const NOWHERE: &str = "/dev/null";
    let is_set = std::env::var_os(VARIABLE).is_some_and(|value| value.as_encoded_bytes().starts_with(b"/"));
    let layer_is_off = std::env::var_os("NODEVICE_SELECT").is_some();
    let Ok(program) = std::env::current_exe() else { return };
    // Under a custom loader or an emulator, the current executable is the loader or the emulator.
    let is_this = program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"resnet3d"));
    if is_set || layer_is_off || !is_this {
        return;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    let error = std::process::Command::new(program).arg0(name).args(arguments).env(VARIABLE, NOWHERE).exec();
    log::debug!("the program cannot restart itself, so Mesa may print an error: {error}");
}

/// Only Linux has Wayland.
#[cfg(not(target_os = "linux"))]
pub fn silence_mesa() {}
