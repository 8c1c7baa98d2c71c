//! Videos of any common container, decoded by the programs `ffmpeg` and `ffprobe`.
//!
//! `ffprobe` says whether there is a video in the file, and how many frames to expect. `ffmpeg` then writes the frames
//! into a pipe, one PPM picture each: raw red, green and blue bytes behind a line with the size. So the size is always
//! what `ffmpeg` really made, after the rotation that a viewer would apply too, and nothing is written to disk.
//!
//! A video may come from anywhere, so `ffmpeg` may open nothing but the file itself: no other protocol than `file`, and
//! no container that names further files, as playlists do.

mod process;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::ChildStdout;

use self::process::{End, Process, joined};
use super::gather::{Gathering, MOST_PIXELS, Picture, pixels};
use crate::clip::preprocess::ChannelOrder;
use crate::error::{Error, Result};

/// The containers, as `ffmpeg` calls its readers of them, that may be opened: those that hold their own frames. Some
/// for sound are among them, so that such a file is told to have no video.
const CONTAINERS: &str = "aac,ac3,aiff,amr,apng,asf,av1,avi,avs2,avs3,caf,cavsvideo,cine,dhav,dirac,dnxhd,dv,flac,\
                          flv,gif,gxf,h261,h263,h264,hevc,ingenient,ipu,ivf,kux,lxf,m4v,matroska,mjpeg,mjpeg_2000,mlv,\
                          moflex,mov,mp3,mpeg,mpegts,mpegvideo,mxf,mxg,nsv,nut,nuv,obu,ogg,pva,r3d,rm,roq,ser,smjpeg,\
                          swf,ty,vc1,vc1test,vivo,vvc,w64,wav,webm,wtv,yuv4mpegpipe";

/// What `ffmpeg` says of a file that ends too early. It takes that for the end, and counts it as a success.
const CUT_OFF: [&str; 3] = ["ended prematurely", "partial file", "truncat"];

/// Reads the selected frames of a video.
///
/// All frames up to the last selected one are decoded: finding a frame by its time is not exact, and this way the
/// number of frames in a message is the true one.
pub(super) fn read(path: &Path, into: &mut Gathering<'_>) -> Result<()> {
    let (name, selection) = (path.display().to_string(), into.options().selection);
    let expected = probe(path)?;
    into.begin(name.clone(), expected.map_or(selection.count, |there| Some(selection.taken_of(there))));
    let mut decoder = Decoder::start(path)?;
    while let Some(frame) = decoder.next()? {
        if selection.takes(frame.index) {
            let name = format_args!("frame {} of {name}", frame.index);
            into.push(name, &Picture { size: frame.size, order: ChannelOrder::Rgb, bytes: frame.bytes })?;
        }
        if selection.last() == Some(frame.index) {
            return Ok(());
        }
    }
    let frames = decoder.finish()?;
    if frames == 0 {
        return Err(Error::format(path, "a video with at least one frame", "none"));
    }
    selection.check(&name, frames)
}

/// What is said to be in a file; absent where nobody knows.
#[derive(serde::Deserialize)]
struct Probed {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(serde::Deserialize)]
struct Stream {
    /// A number in quotes.
    nb_frames: Option<String>,
}

#[derive(Default, serde::Deserialize)]
struct Format {
    format_name: Option<String>,
}

/// How many frames a file says its first video has, if it does.
fn probe(path: &Path) -> Result<Option<usize>> {
    /// More than this is no answer to what is asked.
    const LONGEST_ANSWER: u64 = 1 << 20;
    let mut arguments = opening(path);
    // Capital V leaves out pictures that are attached to sound.
    for argument in ["-select_streams", "V:0", "-show_entries", "stream=nb_frames:format=format_name", "-of", "json"] {
        arguments.push(argument.into());
    }
    let (mut process, stdout) = Process::start("ffprobe", arguments)?;
    let mut json = Vec::new();
    let unclear = |reason: String| Error::Program { program: "ffprobe", reason };
    stdout.take(LONGEST_ANSWER).read_to_end(&mut json).map_err(|error| unclear(error.to_string()))?;
    if json.len() as u64 == LONGEST_ANSWER {
        return Err(unclear("its answer is not understood: it does not end".to_owned()));
    }
    let end = process.finish()?;
    if !end.status.success() {
        return Err(refusal(path, &end));
    }
    let probed: Probed =
        serde_json::from_slice(&json).map_err(|error| unclear(format!("its answer is not understood: {error}")))?;
    match probed.streams.into_iter().next() {
        Some(stream) => Ok(stream.nb_frames.and_then(|count| count.parse().ok())),
        None => {
            let container = probed.format.format_name.unwrap_or_else(|| "an unknown container".to_owned());
            Err(Error::format(path, "a video", format!("{container} without a video stream")))
        }
    }
}

/// The arguments with which both programs open `path` and nothing else.
fn opening(path: &Path) -> Vec<std::ffi::OsString> {
    // The prefix keeps names that begin with a dash or have a colon from being taken for options or protocols.
    let file = joined("file:", path);
    let most_pixels = MOST_PIXELS.to_string();
    let options = ["-v", "error", "-protocol_whitelist", "file", "-format_whitelist", CONTAINERS];
    options.into_iter().chain(["-max_pixels", &most_pixels, "-i"]).map(Into::into).chain([file]).collect()
}

/// Why a program would not open `path`.
fn refusal(path: &Path, end: &End) -> Error {
    let Some(line) = end.complaints.lines().iter().find(|line| line.contains("Format not on whitelist")) else {
        return Error::format(path, "a video that ffmpeg can open", told(path, end));
    };
    // The line begins with the reader's name and an address: `[hls @ 0x55dd80469680]`.
    let container = line.trim_start_matches('[').split([' ', ']']).next().unwrap_or_default();
    Error::Unsupported {
        what: format!("input {}", path.display()),
        reason: format!(
            "ffmpeg takes it for {container:?}, which is none of the containers that hold a whole video themselves; wanted \
             one of those, a directory of PNG, JPEG, WebP, BMP or TIFF frames, a .safetensors or a .npy file"
        ),
    }
}

/// How a program ended, and what it said.
fn told(path: &Path, end: &End) -> String {
    let complaints = end.complaints.to_string().replace(&format!("file:{}: ", path.display()), "");
    match (end.status.success(), complaints.is_empty()) {
        (true, true) => "nothing".to_owned(),
        (true, false) => complaints,
        (false, true) => format!("{}, without a word", end.status),
        (false, false) => format!("{}: {complaints}", end.status),
    }
}

/// Reading from the pipe failed.
fn failed(error: std::io::Error) -> Error {
    Error::Program { program: "ffmpeg", reason: format!("its output cannot be read: {error}") }
}

/// A decoded frame.
struct Frame<'a> {
    /// Its number, counted from 0.
    index: usize,
    size: [usize; 2],
    /// Red, green, blue.
    bytes: &'a [u8],
}

/// The frames of a video, one after another.
struct Decoder<'a> {
    path: &'a Path,
    process: Process,
    output: BufReader<ChildStdout>,
    /// The frame at hand; grows with what arrives, not with what is promised.
    frame: Vec<u8>,
    /// How many frames there were.
    count: usize,
}

impl<'a> Decoder<'a> {
    fn start(path: &'a Path) -> Result<Self> {
        // Both mean that no frame is doubled or dropped to keep a rate. The first is known from version 5.1 on, the second
        // until version 8.
        let mut decoder = Self::with_option(path, "-fps_mode")?;
        if decoder.output.fill_buf().map_err(failed)?.is_empty()
            && decoder.process.finish()?.complaints.lines().iter().any(|line| line.contains("option 'fps_mode'"))
        {
            decoder = Self::with_option(path, "-vsync")?;
        }
        Ok(decoder)
    }

    fn with_option(path: &'a Path, rate_option: &str) -> Result<Self> {
        let mut arguments = vec!["-nostdin".into(), "-xerror".into()];
        arguments.extend(opening(path));
        for argument in ["-map", "0:V:0", rate_option, "passthrough", "-c:v", "ppm", "-pix_fmt", "rgb24"] {
            arguments.push(argument.into());
        }
        arguments.extend(["-f", "image2pipe", "pipe:1"].map(Into::into));
        Ok(Self::new(path, Process::start("ffmpeg", arguments)?))
    }

    fn new(path: &'a Path, (process, output): (Process, ChildStdout)) -> Self {
        Self { path, process, output: BufReader::with_capacity(1 << 16, output), frame: Vec::new(), count: 0 }
    }

    /// The next frame; `None` where the output ends.
    fn next(&mut self) -> Result<Option<Frame<'_>>> {
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

    /// Height and width from the header of a PPM: `P6`, width and height, the largest value, each on its own line.
    /// `None` where there is no such header.
    fn size(&mut self) -> std::io::Result<Option<[usize; 2]>> {
        /// Longer than any line of a header can be.
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

    /// The error for what is no whole frame.
    fn broken_off(&mut self) -> Error {
        let count = self.count;
        match self.output.fill_buf() {
            Ok([]) => match self.process.finish() {
                Ok(end) => {
                    let told = told(self.path, &end);
                    let given = format!("{count} frames and a part of one, and then from ffmpeg: {told}");
                    Error::format(self.path, "a whole video", given)
                }
                Err(error) => error,
            },
            Ok(_) => Error::Program {
                program: "ffmpeg",
                reason: format!("its output after {count} frames of {} is no picture", self.path.display()),
            },
            Err(error) => failed(error),
        }
    }

    /// The output has ended between two frames: how many there were.
    fn finish(mut self) -> Result<usize> {
        let (path, count) = (self.path, self.count);
        let end = self.process.finish()?;
        let told = told(path, &end);
        if !end.status.success() && count == 0 {
            return Err(Error::format(path, "a video that ffmpeg can decode", told));
        }
        // The file's own name may have such a word in it.
        let words = |line: &String| line.replace(&*path.to_string_lossy(), "").to_lowercase();
        let cut_off = |line: &String| CUT_OFF.iter().any(|phrase| words(line).contains(phrase));
        if !end.status.success() || end.complaints.lines().iter().any(cut_off) {
            let given = format!(
                "{count} frames, and then from ffmpeg: {told} (to have the frames all the same, ask for no more of them)"
            );
            return Err(Error::format(path, "a whole video", given));
        }
        if !end.complaints.lines().is_empty() {
            log::warn!("ffmpeg says of {}: {told}", path.display());
        }
        Ok(count)
    }
}
