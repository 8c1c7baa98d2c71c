//! Reads videos of any common container, which the programs `ffmpeg` and `ffprobe` decode.
//!
//! `ffprobe` tells whether the file has a video, and how many frames to expect. `ffmpeg` then writes the frames into a
//! pipe, each as a PPM picture: a header with the size, and raw red, green and blue bytes. So the size is always that
//! of the decoded frame, after the rotation that a viewer also applies, and nothing is written to disk.
//!
//! If `ffmpeg` reports a problem, a survey finds the damaged frames: it decodes the video again, with one thread and
//! without keeping the frames. Intact videos are decoded once.
//!
//! A video may come from anywhere, so `ffmpeg` may open only the file itself: no other protocol than `file`, and no
//! container that refers to further files, as playlists do.

mod decoder;
mod log;
mod process;
mod survey;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use std::ffi::OsString;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use self::decoder::{Decoder, Outcome, SECOND, Threads};
use self::log::{Event, Line, Subject};
use self::process::{Complaints, End, Process, joined};
use self::survey::{Findings, MOST_REORDERED, Survey};
use super::damage::{Damage, DamagePolicy, describe, gone, unread};
use super::gather::{Gathering, MOST_PIXELS, Picture};
use super::picks::Picks;
use crate::clip::preprocess::ChannelOrder;
use crate::error::{Error, ErrorRepr, Result};

/// The containers that may be opened, by the names of `ffmpeg`'s readers. They all contain their frames. Some are for
/// sound, so that the error for a sound file says that it has no video.
const CONTAINERS: &str = "aac,ac3,aiff,amr,apng,asf,av1,avi,avs2,avs3,caf,cavsvideo,cine,dhav,dirac,dnxhd,dv,flac,\
                          flv,gif,gxf,h261,h263,h264,hevc,ingenient,ipu,ivf,kux,lxf,m4v,matroska,mjpeg,mjpeg_2000,mlv,\
                          moflex,mov,mp3,mpeg,mpegts,mpegvideo,mxf,mxg,nsv,nut,nuv,obu,ogg,pva,r3d,rm,roq,ser,smjpeg,\
                          swf,ty,vc1,vc1test,vivo,vvc,w64,wav,webm,wtv,yuv4mpegpipe";

/// Reads the selected frames of a video. The programs open `file`; messages name `path`.
///
/// All frames up to the last selected one are decoded: a seek by time is not exact, and then the frame numbers in
/// messages would not be exact either.
pub(super) fn read(path: &Path, file: &Path, into: &mut Gathering<'_>) -> Result<()> {
    let name = path.display().to_string();
    let probed = probe(path, file, into.samples())?;
    if into.options().sampling.is_some_and(|sampling| sampling.fps.is_some()) {
        probed.rate.report(&name);
    }
    // A file that states no number of frames and has no packets counts as empty.
    let mut there = probed.frames.or(probed.packets).or(into.samples().then_some(0));
    loop {
        let picks = into.begin(&name, there, probed.rate.average)?;
        match read_picked(path, file, &probed, &picks, into)? {
            // The file has fewer frames than it states, or some are left out. The choice of frames depends on their
            // number, so it is made again.
            Some(counted) if counted > 0 && picks.lacks(counted) => {
                into.forget();
                there = Some(counted);
            }
            _ => return Ok(()),
        }
    }
}

/// Reads the frames `picks` of a video. Returns the number of frames in the video, if it was decoded to the end.
fn read_picked(
    path: &Path,
    file: &Path,
    probed: &Probed,
    picks: &Picks,
    into: &mut Gathering<'_>,
) -> Result<Option<usize>> {
    let (name, policy) = (path.display().to_string(), into.options().damaged);
    let mut outcome = decode(path, file, Threads::of(&probed.subject.codec), &[], picks, into)?;
    if !outcome.suspicious && outcome.cut_off.is_none() {
        return conclude(&name, probed, &outcome, outcome.frames, picks);
    }

    let drops = policy == DamagePolicy::Drop;
    let (mut findings, complaints) = survey(path, file, &probed.subject, picks.last(), drops)?;
    // With several threads, the last lines of the log vary from run to run. The lines of the survey do not.
    outcome.complaints = complaints;
    // If pictures are missing, odd ends of other pictures are damage rather than a property of the camera.
    if outcome.ended && probed.frames.is_some_and(|stated| stated > outcome.frames) {
        let doubtful = std::mem::take(&mut findings.doubtful);
        findings.damaged.extend(doubtful.into_iter().map(|index| index..index + 1));
        findings.damaged.sort_unstable_by_key(|range| range.start);
    }
    // Frames after the last needed one do not matter, and the number of them that were examined varies.
    let dropped = |range: &Range<usize>| if drops { range.len() } else { 0 };
    let mut unusable = findings.damaged.clone();
    if drops {
        unusable.extend(findings.doubtful.iter().map(|&index| index..index + 1));
        unusable.sort_unstable_by_key(|range| range.start);
    }
    let mut end = picks.last().map_or(usize::MAX, |last| last.saturating_add(1));
    for range in &unusable {
        if range.start < end {
            end = end.saturating_add(dropped(range));
        }
    }
    let end = end.min(findings.frames);
    let within = |ranges: &[Range<usize>]| -> Vec<Range<usize>> {
        ranges.iter().filter(|range| range.start < end).map(|range| range.start..range.end.min(end)).collect()
    };
    let (damaged, unusable) = (within(&findings.damaged), within(&unusable));
    let up_to_end = |places: &[usize]| -> Vec<usize> {
        places.iter().copied().filter(|&before| before < end || outcome.ended).collect()
    };
    let (lost, mut gaps) = (up_to_end(&findings.lost), up_to_end(&findings.gaps));
    let cut_off = outcome.cut_off.clone().filter(|_| outcome.ended);
    if cut_off.is_some() {
        gaps.retain(|&before| before < findings.frames);
    }

    if policy == DamagePolicy::Error {
        let taken = damaged.iter().any(|range| range.clone().any(|index| picks.takes(index)));
        // Pictures that are lost before the first used frame leave no hole in the clip. A recording that begins between
        // two key frames has such pictures, unless all of its pictures are key frames.
        let hole = |before: usize| before > picks.first() || before == 0 && findings.stand_alone;
        if taken || cut_off.is_some() || lost.iter().chain(&gaps).any(|&before| hole(before)) {
            let damage = Damaged { frames: end, damaged, lost, gaps, cut_off };
            return Err(damage.error(path, probed, &outcome));
        }
    }
    if !unusable.is_empty() {
        // Several threads may decode damaged data differently each time, so the frames are decoded again by one thread.
        into.restart();
        outcome = decode(path, file, Threads::One, if drops { &unusable } else { &[] }, picks, into)?;
        if outcome.ended && outcome.frames != findings.frames {
            let reason =
                format!("it decoded {} frames of {name} once, and {} another time", findings.frames, outcome.frames);
            return Err(ErrorRepr::Program { program: "ffmpeg", reason }.into());
        }
    }
    report(&name, &findings, end);
    let incomplete = !lost.is_empty() || !gaps.is_empty() || cut_off.is_some();
    if !damaged.is_empty() || incomplete || drops && !unusable.is_empty() {
        let frames = if drops { &unusable } else { &damaged };
        let damage = Damage {
            input: name.clone(),
            looked_at: end,
            frames: frames.iter().map(|range| [range.start, range.end - 1]).collect(),
            lost,
            gaps,
            cut_off: cut_off.is_some(),
            dropped: drops && !unusable.is_empty(),
        };
        ::log::warn!("{damage}");
        into.damage(damage);
    }
    let left_out: usize = unusable.iter().map(dropped).sum();
    conclude(&name, probed, &outcome, outcome.frames - left_out.min(outcome.frames), picks)
}

/// Decodes the needed frames and hands out the selected ones. Frames of `left_out` are not counted.
fn decode(
    path: &Path,
    file: &Path,
    threads: Threads,
    left_out: &[Range<usize>],
    picks: &Picks,
    into: &mut Gathering<'_>,
) -> Result<Outcome> {
    let mut decoder = Decoder::start(path, file, threads)?;
    let mut counted = 0;
    let mut left_out = left_out.iter().peekable();
    while let Some(frame) = decoder.next()? {
        while left_out.next_if(|range| range.end <= frame.index).is_some() {}
        if left_out.peek().is_some_and(|range| range.contains(&frame.index)) {
            continue;
        }
        if picks.takes(counted) {
            let name = format_args!("frame {} of {}", frame.index, path.display());
            into.push(name, &Picture { size: frame.size, order: ChannelOrder::Rgb, bytes: frame.bytes })?;
        }
        if picks.last() == Some(counted) {
            return Ok(decoder.stop());
        }
        counted += 1;
    }
    decoder.finish()
}

/// Decodes a video to get the log of `ffmpeg`, up to frame `last` or to the end; with `drops`, until there are enough
/// undamaged frames.
fn survey(
    path: &Path,
    file: &Path,
    subject: &Subject,
    last: Option<usize>,
    drops: bool,
) -> Result<(Findings, Complaints)> {
    let mut enough = last.map(|last| last.saturating_add(1));
    loop {
        let (findings, complaints, ended) = survey_until(path, file, subject, enough)?;
        let Some((needed, until)) = last.map(|last| last.saturating_add(1)).zip(enough).filter(|_| drops && !ended)
        else {
            return Ok((findings, complaints));
        };
        let unusable = findings.damaged.iter().map(|range| range.start..range.end.min(until)).map(|range| range.len());
        let whole = until.saturating_sub(unusable.sum::<usize>() + findings.doubtful.len());
        if whole >= needed {
            return Ok((findings, complaints));
        }
        enough = Some(until.saturating_mul(2).max(needed));
    }
}

/// [`survey`] with a fixed number of frames. Also returns whether the video has no more frames.
fn survey_until(
    path: &Path,
    file: &Path,
    subject: &Subject,
    enough: Option<usize>,
) -> Result<(Findings, Complaints, bool)> {
    /// The capacity of the queue of events. The program waits if it is full.
    const AHEAD: usize = 1024;
    let mut arguments: Vec<OsString> =
        ["-nostdin", "-nostats", "-threads", "1", "-debug_ts"].into_iter().map(Into::into).collect();
    arguments.extend(opening(file, "repeat+level+verbose"));
    arguments.extend(["-map", "0:V:0", "-f", "null", "-"].map(Into::into));
    let (sender, events) = std::sync::mpsc::sync_channel(AHEAD);
    let about = subject.clone();
    let mut sender = Some(sender);
    let watch = move |line: &str| {
        let line = Line::of(line);
        if let Some(event) = Event::of(&line, &about)
            && sender.as_ref().is_some_and(|sender| sender.send(event).is_err())
        {
            // The receiver has enough.
            sender = None;
        }
        decoder::is_kept(&line)
    };
    let (mut process, _output) = Process::start_watched("ffmpeg", arguments, watch)?;
    let mut survey = Survey::of(&subject.codec);
    // Pictures may be decoded after pictures that are shown later, so more frames than needed are examined.
    let limit = enough.map_or(usize::MAX, |enough| enough.saturating_add(2 * MOST_REORDERED));
    let mut has_enough = false;
    for event in &events {
        survey.take(event);
        has_enough = survey.count() >= limit;
        if has_enough {
            break;
        }
    }
    // Unblocks the sender.
    drop(events);
    if has_enough {
        return Ok((survey.findings(), process.stop(), false));
    }
    // A program that was killed has not read everything.
    let end = process.finish()?;
    match program_at_fault("ffmpeg", path, &end) {
        Some(error) => Err(error),
        None => Ok((survey.findings(), end.complaints, true)),
    }
}

/// Damage that is an error.
struct Damaged {
    /// The number of frames up to the last needed one.
    frames: usize,
    damaged: Vec<Range<usize>>,
    lost: Vec<usize>,
    gaps: Vec<usize>,
    cut_off: Option<String>,
}

impl Damaged {
    /// The error, which states the position of the damage and the number of undamaged frames.
    fn error(&self, path: &Path, probed: &Probed, outcome: &Outcome) -> Error {
        let mut given = format!("{} frames", self.frames);
        if !outcome.ended {
            given += " up to the last one that is needed";
        } else if let Some(stated) = probed.frames.filter(|&stated| stated > self.frames) {
            given += &format!(" of {stated} that the file states");
        }
        if let Some(first) = self.damaged.first() {
            let bad: usize = self.damaged.iter().map(Range::len).sum();
            given += &format!(
                ", {} of them whole: damaged {} {}, counted from 0, so the first {} are whole",
                self.frames - bad,
                if bad == 1 { "is" } else { "are" },
                describe(&self.damaged),
                first.start
            );
        } else {
            given += ", all of them whole";
        }
        if !self.lost.is_empty() {
            given += &format!("; {}", gone(&self.lost));
        }
        if !self.gaps.is_empty() {
            given += &format!("; {}", unread(&self.gaps));
        }
        if let Some(message) = &self.cut_off {
            given += &format!("; and then from ffmpeg: {message}");
        }
        ErrorRepr::Damaged { path: path.to_owned(), given }.into()
    }
}

/// Warns of irregularities that are not damage of a frame.
fn report(name: &str, findings: &Findings, end: usize) {
    let doubtful: Vec<Range<usize>> =
        findings.doubtful.iter().filter(|&&index| index < end).map(|&index| index..index + 1).collect();
    if !doubtful.is_empty() {
        ::log::warn!("{name}: {} may be damaged: their ends or tables are odd", describe(&doubtful));
    }
    for (index, [width, height]) in findings.sizes.iter().filter(|(index, _)| *index < end) {
        ::log::warn!(
            "{name}: from frame {index} on, frames have {width}x{height} pixels; they are scaled to the size of the \
             first"
        );
    }
}

/// Checks the number of frames against the requested and the stated number. `counted` is the number of frames that were
/// not left out. Returns `counted` if the video has no more frames.
fn conclude(name: &str, probed: &Probed, outcome: &Outcome, counted: usize, picks: &Picks) -> Result<Option<usize>> {
    if !outcome.ended {
        return Ok(None);
    }
    if let Some(stated) = probed.frames.filter(|&stated| stated > outcome.frames) {
        ::log::warn!(
            "{name}: {} of {stated} frames: the file states {stated}, but {} could be decoded",
            outcome.frames,
            outcome.frames
        );
    }
    if outcome.complaints.lines().iter().any(|line| line.contains(SECOND)) {
        ::log::warn!(
            "{name}: ignored the data after the first recording: ffmpeg reads only one recording of an MP4 or MOV file"
        );
    }
    let complaints = plain(&outcome.complaints.to_string());
    if !complaints.is_empty() {
        ::log::warn!("ffmpeg reports for {name}: {complaints}");
    }
    picks.check(name, counted)?;
    Ok(Some(counted))
}

/// The answer of `ffprobe`. Unknown values are absent.
#[derive(serde::Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(serde::Deserialize)]
struct Stream {
    index: Option<usize>,
    codec_name: Option<String>,
    /// A number as a string.
    nb_frames: Option<String>,
    /// A number as a string, if packets were counted.
    nb_read_packets: Option<String>,
    /// Fractions: the average frame rate, and the lowest rate that can represent the time of every frame.
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
}

#[derive(Default, serde::Deserialize)]
struct Format {
    format_name: Option<String>,
}

/// The properties of the first video of a file.
struct Probed {
    /// The number of frames that the file states.
    frames: Option<usize>,
    /// The number of packets, if they had to be counted; usually equal to the number of frames.
    packets: Option<usize>,
    rate: Rate,
    subject: Subject,
}

/// The frame rate of a video in frames a second.
struct Rate {
    /// The average, if it is known.
    average: Option<f64>,
    /// Whether the rate varies, as far as the file tells.
    varies: bool,
}

impl Rate {
    /// The rate from the answer of `ffprobe`.
    fn new(average: Option<&str>, finest: Option<&str>) -> Self {
        let number = |text: Option<&str>| -> Option<f64> {
            let (over, under) = text?.split_once('/')?;
            let (over, under): (f64, f64) = (over.parse().ok()?, under.parse().ok()?);
            Some(over / under).filter(|rate| rate.is_finite() && *rate > 0.0)
        };
        let (average, finest) = (number(average), number(finest));
        // Containers may round rates.
        let varies = average.zip(finest).is_some_and(|(average, finest)| (average / finest - 1.0).abs() > 0.02);
        Self { average: average.or(finest), varies }
    }

    /// Warns if a sampling by time is inaccurate.
    fn report(&self, name: &str) {
        match self.average {
            None => ::log::warn!("{name}: it has no frame rate, so steps between frames count frames"),
            Some(rate) if self.varies => ::log::warn!(
                "{name}: its frame rate varies; frames are chosen as if it always had its average, {rate:.2} a second"
            ),
            Some(_) => {}
        }
    }
}

/// Asks `ffprobe`. With `counts`, it also counts the packets if the file does not state the number of frames; for that
/// it reads the whole file, but decodes nothing.
fn probe(path: &Path, file: &Path, counts: bool) -> Result<Probed> {
    let mut probed = ask(path, file, false)?;
    if counts && probed.frames.is_none() {
        probed.packets = ask(path, file, true)?.packets;
    }
    Ok(probed)
}

fn ask(path: &Path, file: &Path, packets: bool) -> Result<Probed> {
    /// The maximum length of an answer in bytes.
    const LONGEST_ANSWER: u64 = 1 << 20;
    let mut arguments = opening(file, "error");
    // A capital V excludes pictures that are attached to sound.
    let wanted = "stream=index,codec_name,nb_frames,nb_read_packets,avg_frame_rate,r_frame_rate:format=format_name";
    if packets {
        arguments.push("-count_packets".into());
    }
    for argument in ["-select_streams", "V:0", "-show_entries", wanted, "-of", "json"] {
        arguments.push(argument.into());
    }
    let (mut process, stdout) = Process::start("ffprobe", arguments)?;
    let mut json = Vec::new();
    let unclear = |reason: String| ErrorRepr::Program { program: "ffprobe", reason }.into();
    stdout.take(LONGEST_ANSWER).read_to_end(&mut json).map_err(|error| unclear(error.to_string()))?;
    if json.len() as u64 == LONGEST_ANSWER {
        return Err(unclear("its answer is not understood: it does not end".to_owned()));
    }
    let end = process.finish()?;
    if !end.status.success() {
        return Err(refusal(path, &end));
    }
    let answer: Answer =
        serde_json::from_slice(&json).map_err(|error| unclear(format!("its answer is not understood: {error}")))?;
    let container = answer.format.format_name.unwrap_or_else(|| "an unknown container".to_owned());
    match answer.streams.into_iter().next() {
        Some(stream) => Ok(Probed {
            frames: stream.nb_frames.and_then(|count| count.parse().ok()).filter(|&count| count > 0),
            packets: stream.nb_read_packets.and_then(|count| count.parse().ok()),
            rate: Rate::new(stream.avg_frame_rate.as_deref(), stream.r_frame_rate.as_deref()),
            subject: Subject {
                container,
                codec: stream.codec_name.unwrap_or_default(),
                stream: stream.index.unwrap_or_default(),
            },
        }),
        None => Err(Error::format(path, "a video", format!("{container} without a video stream"))),
    }
}

/// The arguments with which both programs open only `file`, with the log level `log`.
fn opening(file: &Path, log: &str) -> Vec<OsString> {
    // Without the prefix, a name with a leading dash or a colon would count as an option or a protocol.
    let file = joined("file:", file);
    let most_pixels = MOST_PIXELS.to_string();
    let options = ["-v", log, "-protocol_whitelist", "file", "-format_whitelist", CONTAINERS];
    options.into_iter().chain(["-max_pixels", &most_pixels, "-i"]).map(Into::into).chain([file]).collect()
}

/// The error for a program that does not open `path`.
fn refusal(path: &Path, end: &End) -> Error {
    if let Some(error) = program_at_fault("ffprobe", path, end) {
        return error;
    }
    let Some(line) = end.complaints.lines().iter().find(|line| line.contains("Format not on whitelist")) else {
        return Error::format(path, "a video that ffmpeg can open", told(path, end));
    };
    // The line begins with the reader's name and an address: `[hls @ 0x55dd80469680]`.
    let container = line.trim_start_matches('[').split([' ', ']']).next().unwrap_or_default();
    ErrorRepr::Unsupported {
        what: format!("input {}", path.display()),
        reason: format!(
            "ffmpeg takes it for {container:?}, which is not one of the containers that hold a whole video; wanted one \
             of those, a directory of PNG, JPEG, WebP, BMP or TIFF frames, a .safetensors or a .npy file"
        ),
    }
    .into()
}

/// The error if a program failed for another reason than the contents of `path`.
fn program_at_fault(program: &'static str, path: &Path, end: &End) -> Option<Error> {
    /// Messages of the loader or the program that show an unsuitable program.
    const BROKEN: [&str; 12] = [
        "error while loading shared libraries",
        "Library not loaded",
        "symbol lookup error",
        "Unrecognized option",
        "Option not found",
        "Unknown encoder",
        "Unknown decoder",
        "not found for input stream",
        "no decoder found for",
        "not a suitable output format",
        "Protocol not found",
        "Cannot allocate memory",
    ];
    /// This process has opened the file, so the other process lacks the permission.
    const KEPT_OUT: [&str; 3] = ["Permission denied", "Operation not permitted", "No such file or directory"];
    if end.status.success() {
        return None;
    }
    let says =
        |phrases: &[&str]| end.complaints.lines().iter().any(|line| phrases.iter().any(|phrase| line.contains(phrase)));
    let told = told(path, end);
    let reason = match end.status.code() {
        Some(126 | 127) => format!("it does not run: {told}"),
        // On Windows, programs that do not find a library, or that crash, end with a negative code.
        Some(code) if cfg!(windows) && code < 0 => format!("it does not run, or crashes on {}: {told}", path.display()),
        None => format!("it was killed, or crashed, on {}: {told}", path.display()),
        Some(_) if says(&BROKEN) => format!("it fails on {}: {told}", path.display()),
        Some(_) if says(&KEPT_OUT) => {
            format!(
                "it may not open {}, although this program may: is it confined, like a snap? It says: {told}",
                path.display()
            )
        }
        Some(_) => return None,
    };
    Some(ErrorRepr::Program { program, reason }.into())
}

/// The exit status of a program and its messages, as text.
fn told(path: &Path, end: &End) -> String {
    let complaints = plain(&end.complaints.to_string());
    let complaints = complaints.replace(&format!("file:{}: ", path.display()), "");
    match (end.status.success(), complaints.is_empty()) {
        (true, true) => "nothing".to_owned(),
        (true, false) => complaints,
        (false, true) => format!("{}, without a message", end.status),
        (false, false) => format!("{}: {complaints}", end.status),
    }
}

/// Removes the levels and the addresses from messages; addresses differ in every run.
fn plain(told: &str) -> String {
    let mut told = told.to_owned();
    for level in ["[panic] ", "[fatal] ", "[error] ", "[warning] "] {
        told = told.replace(level, "");
    }
    while let Some(at) = told.find(" @ 0x") {
        let rest = &told[at + " @ 0x".len()..];
        let behind = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        told.replace_range(at..told.len() - rest.len() + behind, "");
    }
    told
}
