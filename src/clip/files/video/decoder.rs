//! Decodes the frames of a video one by one with `ffmpeg` through a pipe.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::log::{DOUBTS, Line};
use super::process::{Complaints, Process};
use super::survey::MARKING;
use super::{opening, plain, program_at_fault, told};
use crate::clip::files::gather::pixels;
use crate::error::{Error, ErrorRepr, Result};

/// Messages of `ffmpeg` for a file that ends too early, which it treats as a success.
const CUT_OFF: [&str; 3] = ["ended prematurely", "partial file", "truncat"];
/// Messages of `ffmpeg` about real or possible damage that it does not log as errors. With several decoding threads,
/// the first message depends on timing; the second does not.
const DAMAGE: [&str; 6] =
    ["corrupt decoded frame", "concealing", "corrupt input packet", DOUBTS[0], DOUBTS[1], DOUBTS[2]];

/// The message of `ffmpeg` for a file with several recordings of which it reads only the first.
pub(super) const SECOND: &str = "duplicated MOOV";

/// The number of decoding threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    /// The number that `ffmpeg` chooses. The result of decoding damaged data may then vary from run to run, and between
    /// machines with different numbers of cores.
    Any,
    /// One thread, so that the same file always gives the same frames.
    One,
}

impl Threads {
    /// The number of threads that always gives the same frames, even if the decoder of `codec` does not report damage.
    /// After a report, the frames are decoded again. For VP9 and AV1, any number of threads gave the same result for
    /// all damage. VP8, HEVC and FFV1 are known to differ.
    pub(super) fn of(codec: &str) -> Self {
        let any = MARKING.contains(&codec) || ["av1", "mjpeg", "vp9"].contains(&codec);
        if any { Self::Any } else { Self::One }
    }
}

/// A decoded frame.
pub(super) struct Frame<'a> {
    /// The number of the frame, counted from 0.
    pub(super) index: usize,
    pub(super) size: [usize; 2],
    /// The bytes: red, green, blue.
    pub(super) bytes: &'a [u8],
}

/// The outcome of decoding.
pub(super) struct Outcome {
    /// The number of decoded frames.
    pub(super) frames: usize,
    /// Whether the video has no more frames.
    pub(super) ended: bool,
    /// The message of `ffmpeg` for a file that ends too early.
    pub(super) cut_off: Option<String>,
    /// Whether `ffmpeg` reported damage or a change of the frame size.
    pub(super) suspicious: bool,
    /// Its other messages.
    pub(super) complaints: Complaints,
}

/// Decodes the frames of a video one by one.
pub(super) struct Decoder<'a> {
    path: &'a Path,
    pub(super) process: Process,
    output: BufReader<ChildStdout>,
    /// The current frame. Its memory grows with the received data, not with the size in the header.
    pub(super) frame: Vec<u8>,
    /// The number of decoded frames.
    count: usize,
    suspicious: Arc<AtomicBool>,
}

impl<'a> Decoder<'a> {
    /// Starts decoding `path`, which `ffmpeg` opens as `file`.
    pub(super) fn start(path: &'a Path, file: &Path, threads: Threads) -> Result<Self> {
        // Both options keep `ffmpeg` from doubling or dropping frames to maintain a rate. Versions from 5.1 on have the
        // first, versions before 8 the second.
        let mut decoder = Self::with_option(path, file, threads, "-fps_mode")?;
        if decoder.output.fill_buf().map_err(failed)?.is_empty()
            && decoder.process.finish()?.complaints.lines().iter().any(|line| line.contains("option 'fps_mode'"))
        {
            decoder = Self::with_option(path, file, threads, "-vsync")?;
        }
        Ok(decoder)
    }

    fn with_option(path: &'a Path, file: &Path, threads: Threads, rate_option: &str) -> Result<Self> {
        let mut arguments = vec!["-nostdin".into(), "-hide_banner".into(), "-nostats".into()];
        if threads == Threads::One {
            arguments.extend(["-threads", "1"].map(Into::into));
        }
        // Only the verbose log has the sizes of frames.
        arguments.extend(opening(file, "repeat+level+verbose"));
        for argument in ["-map", "0:V:0", rate_option, "passthrough", "-c:v", "ppm", "-pix_fmt", "rgb24"] {
            arguments.push(argument.into());
        }
        arguments.extend(["-f", "image2pipe", "pipe:1"].map(Into::into));
        Self::new(path, |watch| Process::start_watched("ffmpeg", arguments, watch))
    }

    /// A decoder with the process of `start`, which passes every line of standard error to the given watcher.
    pub(super) fn new(
        path: &'a Path,
        start: impl FnOnce(Box<dyn FnMut(&str) -> bool + Send>) -> Result<(Process, ChildStdout)>,
    ) -> Result<Self> {
        let suspicious = Arc::new(AtomicBool::new(false));
        let noticed = Arc::clone(&suspicious);
        let mut first_size = None;
        let watch = move |line: &str| {
            let line = Line::of(line);
            let other_size = line.size().is_some_and(|size| *first_size.get_or_insert(size) != size);
            if other_size || line.is_error() || DAMAGE.iter().any(|phrase| line.text.contains(phrase)) {
                noticed.store(true, Ordering::Relaxed);
            }
            is_kept(&line)
        };
        let (process, output) = start(Box::new(watch))?;
        let output = BufReader::with_capacity(1 << 16, output);
        Ok(Self { path, process, output, frame: Vec::new(), count: 0, suspicious })
    }

    /// The next frame; `None` at the end of the output.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>> {
        if self.output.fill_buf().map_err(failed)?.is_empty() {
            return Ok(None);
        }
        let Some([height, width]) = self.size().map_err(failed)? else {
            return Err(self.broken_off());
        };
        let frame = format_args!("frame {} of {}", self.count, self.path.display());
        let wanted = pixels(frame, [height, width])? * 3;
        self.frame.clear();
        (&mut self.output).take(wanted as u64).read_to_end(&mut self.frame).map_err(failed)?;
        if self.frame.len() < wanted {
            return Err(self.broken_off());
        }
        self.count += 1;
        Ok(Some(Frame { index: self.count - 1, size: [height, width], bytes: &self.frame }))
    }

    /// Height and width from the header of a PPM, which has three lines: `P6`, width and height, the maximum value.
    /// `None` without such a header.
    fn size(&mut self) -> std::io::Result<Option<[usize; 2]>> {
        /// More than the length of any header line.
        const LONGEST_LINE: u64 = 64;
        let mut lines = [const { String::new() }; 3];
        for line in &mut lines {
            let mut bytes = Vec::new();
            (&mut self.output).take(LONGEST_LINE).read_until(b'\n', &mut bytes)?;
            *line = String::from_utf8_lossy(&bytes).into_owned();
        }
        let [kind, size, largest] = &lines;
        let mut sides = size.trim_end().split(' ').map(|side| side.parse().ok());
        Ok(match (kind.as_str(), sides.next(), sides.next(), sides.next(), largest.as_str()) {
            ("P6\n", Some(Some(width)), Some(Some(height)), None, "255\n") => Some([height, width]),
            _ => None,
        })
    }

    /// The error for an incomplete frame.
    fn broken_off(&mut self) -> Error {
        let count = self.count;
        match self.output.fill_buf() {
            Ok([]) => match self.process.finish() {
                Ok(end) => program_at_fault("ffmpeg", self.path, &end).unwrap_or_else(|| {
                    let told = told(self.path, &end);
                    let given = format!("{count} frames and a part of one, and then from ffmpeg: {told}");
                    Error::format(self.path, "a whole video", given)
                }),
                Err(error) => error,
            },
            Ok(_) => ErrorRepr::Program {
                program: "ffmpeg",
                reason: format!("its output after {count} frames of {} is not a picture", self.path.display()),
            }
            .into(),
            Err(error) => failed(error),
        }
    }

    /// Stops decoding, because no more frames are needed.
    pub(super) fn stop(mut self) -> Outcome {
        let complaints = self.process.stop();
        self.outcome(false, None, complaints)
    }

    /// Finishes decoding, after the output has ended between two frames.
    pub(super) fn finish(mut self) -> Result<Outcome> {
        /// The exit status of `ffmpeg` if it could not decode most of a file.
        const MOSTLY_ERRORS: i32 = 69;
        let (path, count) = (self.path, self.count);
        let end = self.process.finish()?;
        if let Some(error) = program_at_fault("ffmpeg", path, &end) {
            return Err(error);
        }
        let told = told(path, &end);
        if count == 0 && (!end.status.success() || end.complaints.lines().iter().any(|line| Line::of(line).is_error()))
        {
            return Err(Error::format(path, "a video that ffmpeg can decode", told));
        }
        if count == 0 {
            return Err(Error::format(path, "a video with at least one frame", "none"));
        }
        if !end.status.success() && end.status.code() != Some(MOSTLY_ERRORS) {
            return Err(Error::format(path, "a whole video", format!("{count} frames, and then from ffmpeg: {told}")));
        }
        // The name of the file may contain such a word.
        let words = |line: &String| line.replace(&*path.to_string_lossy(), "").to_lowercase();
        let cut_off = |line: &String| CUT_OFF.iter().any(|phrase| words(line).contains(phrase));
        let cut_off = end.complaints.lines().iter().find(|line| cut_off(line)).map(|line| plain(line));
        Ok(self.outcome(true, cut_off, end.complaints))
    }

    fn outcome(&self, ended: bool, cut_off: Option<String>, complaints: Complaints) -> Outcome {
        let suspicious = self.suspicious.load(Ordering::Relaxed);
        Outcome { frames: self.count, ended, cut_off, suspicious, complaints }
    }
}

/// Whether to keep a line of `ffmpeg` for messages.
pub(super) fn is_kept(line: &Line<'_>) -> bool {
    line.is_complaint() || line.text.contains(SECOND)
}

/// The error for a failed read from the pipe.
fn failed(error: std::io::Error) -> Error {
    ErrorRepr::Program { program: "ffmpeg", reason: format!("its output cannot be read: {error}") }.into()
}
