//! Runs another program as a child process. Its output is streamed, its complaints are kept, and the process is always
//! ended.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{ErrorRepr, Result};

/// The time that a program may take to end after its last output.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });
/// The maximum size of a program's kept complaints in bytes. The last ones are kept.
const COMPLAINTS_BYTES: usize = 4096;
/// The maximum length of a line. The rest is ignored.
const LINE_BYTES: usize = 2048;
/// The number of lines in a message.
const LINES_SHOWN: usize = 3;

/// A running program. Dropping it kills the program if necessary and waits for its end, so that no zombie is left.
pub(super) struct Process {
    program: &'static str,
    child: Child,
    complaints: Arc<Mutex<VecDeque<String>>>,
    /// Reads standard error, so that the program never blocks on that pipe.
    listener: Option<JoinHandle<()>>,
}

/// The end of a program.
pub(super) struct End {
    pub(super) status: ExitStatus,
    /// The last lines of its standard error.
    pub(super) complaints: Complaints,
}

/// The kept lines of standard error: without control characters, and none of them empty.
pub(super) struct Complaints(Vec<String>);

impl Complaints {
    /// Complaints for tests.
    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn of(lines: &[&str]) -> Self {
        Self(lines.iter().map(|&line| line.to_owned()).collect())
    }

    /// The lines.
    pub(super) fn lines(&self) -> &[String] {
        &self.0
    }
}

impl std::fmt::Display for Complaints {
    /// The last few lines, joined.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0[self.0.len().saturating_sub(LINES_SHOWN)..].join("; "))
    }
}

impl Process {
    /// Starts `program` without input. Every line of its standard error is kept as a complaint.
    ///
    /// # Errors
    /// [`ErrorKind::Program`](crate::ErrorKind::Program) if it does not exist or cannot be started.
    pub(super) fn start(
        program: &'static str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<(Self, ChildStdout)> {
        Self::start_watched(program, arguments, |_| true)
    }

    /// Starts `program` without input. `watch` gets every line of its standard error and tells whether to keep the line
    /// as a complaint.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub(super) fn start_watched(
        program: &'static str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        watch: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Result<(Self, ChildStdout)> {
        let fail = |reason: String| ErrorRepr::Program { program, reason }.into();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    fail("there is no such program on the PATH, but it is needed to decode videos".to_owned())
                }
                _ => fail(error.to_string()),
            })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let complaints = Arc::default();
        let mut process = Self { program, child, complaints, listener: None };
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(fail("its output cannot be read".to_owned()));
        };
        let complaints = Arc::clone(&process.complaints);
        let listener = std::thread::Builder::new().name(format!("{program} stderr"));
        process.listener =
            Some(listener.spawn(move || listen(stderr, watch, &complaints)).map_err(|error| fail(error.to_string()))?);
        Ok((process, stdout))
    }

    /// Waits for the program to end after its output has ended.
    ///
    /// # Errors
    /// [`ErrorKind::Program`](crate::ErrorKind::Program) if it does not end by itself. It is then killed.
    pub(super) fn finish(&mut self) -> Result<End> {
        let program = self.program;
        let fail = |reason: String| ErrorRepr::Program { program, reason }.into();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().map_err(|error| fail(error.to_string()))? {
                Some(status) => break status,
                None if Instant::now() >= deadline => {
                    return Err(fail(format!("it closed its output but did not end; it said: {}", self.complaints())));
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        self.wait_for_listener(deadline);
        Ok(End { status, complaints: self.complaints() })
    }

    /// Kills the program, which is no longer needed, and reads the rest of its standard error.
    pub(super) fn stop(&mut self) -> Complaints {
        // The program may have ended already.
        let _ = self.child.kill();
        self.wait_for_listener(Instant::now() + PATIENCE);
        self.complaints()
    }

    /// Waits for the end of standard error, which normally is immediate. A process that the program left behind may
    /// keep the pipe open; it is not waited for.
    fn wait_for_listener(&self, deadline: Instant) {
        while self.listener.as_ref().is_some_and(|listener| !listener.is_finished()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The kept lines of standard error so far.
    fn complaints(&self) -> Complaints {
        Complaints(lock(&self.complaints).iter().cloned().collect())
    }

    /// The process id.
    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The program may have ended already.
        let _ = self.child.kill();
        if let Err(error) = self.child.wait() {
            ::log::warn!("cannot wait for {}: {error}", self.program);
        }
    }
}

/// Reads `stderr` to its end line by line, and keeps the last of the lines that `watch` selects.
fn listen(stderr: impl Read, mut watch: impl FnMut(&str) -> bool, kept: &Mutex<VecDeque<String>>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut bytes = 0;
    // Some programs end progress lines with a carriage return. Progress is disabled here.
    while let Ok(ended) = read_line(&mut stderr, &mut line) {
        let text = String::from_utf8_lossy(&line);
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        let text = text.trim();
        if !text.is_empty() && watch(text) {
            let mut kept = lock(kept);
            bytes += text.len();
            kept.push_back(text.to_owned());
            while bytes > COMPLAINTS_BYTES && kept.len() > 1 {
                bytes -= kept.pop_front().map_or(0, |line| line.len());
            }
        }
        if ended {
            return;
        }
    }
}

/// Reads the next line, or the beginning of a long line, into `line`. Returns whether the input has ended.
fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    loop {
        let buffer = match from.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let room = LINE_BYTES - line.len();
        line.extend_from_slice(&buffer[..end.unwrap_or(buffer.len()).min(room)]);
        let (used, over) = (end.map_or(buffer.len(), |end| end + 1), buffer.is_empty());
        from.consume(used);
        if over || end.is_some() {
            return Ok(over);
        }
    }
}

/// Locks `kept`. The lines are valid even after a panic of another thread.
fn lock(kept: &Mutex<VecDeque<String>>) -> MutexGuard<'_, VecDeque<String>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Joins `text` and `path` into one argument. The path need not be valid Unicode.
pub(super) fn joined(text: &str, path: &std::path::Path) -> OsString {
    let mut argument = OsString::from(text);
    argument.push(path);
    argument
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Process, ChildStdout) {
        Process::start("sh", ["-c", script]).unwrap()
    }

    fn exists(id: u32) -> bool {
        std::path::Path::new(&format!("/proc/{id}")).exists()
    }

    #[test]
    fn an_absent_program_is_named() {
        let error = Process::start("resnet3d-no-such-program", [""]).err().unwrap().to_string();
        assert!(error.contains("resnet3d-no-such-program") && error.contains("PATH"), "{error}");
    }

    #[test]
    fn the_last_complaints_are_kept_and_many_complaints_do_not_block_the_program() {
        let (mut process, mut stdout) =
            shell("yes 'one more' | head -n 100000 >&2; printf 'last \\033[1mwords\\n' >&2; echo out; exit 3");
        let mut out = String::new();
        stdout.read_to_string(&mut out).unwrap();
        let end = process.finish().unwrap();
        assert_eq!((out.as_str(), end.status.code()), ("out\n", Some(3)));
        assert_eq!(end.complaints.to_string(), "one more; one more; last [1mwords");
        assert!(lock(&process.complaints).iter().map(String::len).sum::<usize>() <= COMPLAINTS_BYTES);
    }

    #[test]
    fn lines_are_watched_and_long_ones_are_truncated() {
        let (sender, lines) = std::sync::mpsc::channel();
        let watch = move |line: &str| {
            let _ = sender.send(line.to_owned());
            line.len() < 9
        };
        let script = "echo one >&2; head -c 5000 /dev/zero | tr '\\0' x >&2; printf '\\ntwo\\n\\nthree' >&2";
        let (mut process, _stdout) = Process::start_watched("sh", ["-c", script], watch).unwrap();
        assert_eq!(process.finish().unwrap().complaints.lines(), ["one", "two", "three"]);
        assert_eq!(lines.iter().map(|line| line.len()).collect::<Vec<_>>(), [3, LINE_BYTES, 3, 5]);
    }

    #[test]
    fn complaints_before_the_stop_are_kept() {
        let (mut process, mut stdout) = shell("echo warned >&2; echo ready; exec sleep 1000");
        stdout.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(process.stop().lines(), ["warned"]);
    }

    #[test]
    fn a_dropped_process_has_ended() {
        for script in ["exec sleep 1000", "exit 1", "exec yes", "exec yes >&2", "kill -9 $$"] {
            let (process, _stdout) = shell(script);
            let (id, started) = (process.id(), Instant::now());
            drop(process);
            assert!(!exists(id), "{script}");
            assert!(started.elapsed() < Duration::from_secs(5), "{script}");
        }
    }

    #[test]
    fn the_wait_for_the_end_is_limited() {
        let (mut process, stdout) = shell("echo 'still here' >&2; exec sleep 1000 >&-");
        drop(stdout);
        let id = process.id();
        let error = process.finish().err().unwrap().to_string();
        assert!(error.contains("did not end; it said: still here"), "{error}");
        drop(process);
        assert!(!exists(id));
    }

    #[test]
    fn a_process_that_the_program_leaves_behind_is_not_waited_for() {
        let (mut process, stdout) = shell("sleep 8 & echo 'gone first' >&2");
        drop(stdout);
        let started = Instant::now();
        let end = process.finish().unwrap();
        assert_eq!((end.status.code(), end.complaints.lines()), (Some(0), &["gone first".to_owned()][..]));
        assert!(started.elapsed() < Duration::from_secs(6));
    }
}
