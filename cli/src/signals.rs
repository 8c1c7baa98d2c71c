//! Signals that end the program while it writes.
//!
//! Files without a name go with the process, so there is something to do only where the file system has none.

/// From here on, signals that end the program take its temporary files with it. It ends by the signal all the same.
#[cfg(unix)]
pub fn leave_nothing_behind() {
    use resnet3d_wgpu::low_level::atomic_file::remove_unfinished;
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    // Who started the program may have told it not to hear some, as nohup does, and is to be obeyed.
    let heard = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|&signal| !is_ignored(signal));
    let Ok(mut signals) = Signals::new(heard) else { return };
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

/// Whether this process does not hear a signal.
#[cfg(target_os = "linux")]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Other systems do not say it; of nohup one knows.
#[cfg(all(unix, not(target_os = "linux")))]
fn is_ignored(signal: i32) -> bool {
    signal == signal_hook::consts::SIGHUP
}

/// Windows has no signals.
#[cfg(not(unix))]
pub fn leave_nothing_behind() {}
