//! Removes temporary files when a signal ends the program.
//!
//! Unnamed temporary files disappear with the process. Named ones exist only where the file system has no unnamed
//! files.

/// Starts a thread that removes the temporary files when a signal arrives, and then ends the program by that signal.
#[cfg(unix)]
pub fn remove_temporary_files_on_signals() {
    use resnet3d_wgpu::low_level::atomic_file::remove_unfinished;
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    // A parent such as nohup may have told the program to ignore a signal, which stays so.
    let handled = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|&signal| !is_ignored(signal));
    let Ok(mut signals) = Signals::new(handled) else { return };
    let cleaner = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            remove_unfinished();
            let _ = emulate_default_handler(signal);
        }
    });
    if let Err(error) = cleaner {
        log::debug!("a signal may leave a temporary file: {error}");
    }
}

/// Whether this process ignores a signal.
#[cfg(target_os = "linux")]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Other systems do not expose the mask. SIGHUP counts as ignored, because of nohup.
#[cfg(all(unix, not(target_os = "linux")))]
fn is_ignored(signal: i32) -> bool {
    signal == signal_hook::consts::SIGHUP
}

/// Windows has no signals.
#[cfg(not(unix))]
pub fn remove_temporary_files_on_signals() {}
