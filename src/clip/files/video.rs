//! Videos of any common container, decoded by the programs `ffmpeg` and `ffprobe`.
//!
//! `ffprobe` says whether there is a video in the file, and how many frames to expect. `ffmpeg` then writes the frames
//! into a pipe, one PPM picture each: raw red, green and blue bytes behind a line with the size. So the size is always
//! what `ffmpeg` really made, after the rotation that a viewer would apply too, and nothing is written to disk.
//!
//! Where `ffmpeg` says that something is wrong, a survey tells which frames are damaged: the video is decoded again, by one
//! thread and without its frames. Whole videos are decoded once.
//!
//! A video may come from anywhere, so `ffmpeg` may open nothing but the file itself: no other protocol than `file`, and
//! no container that names further files, as playlists do.

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
use super::damage::{Damage, DamagePolicy, gone, runs, unread};
use super::gather::{Gathering, MOST_PIXELS, Picture};
use super::picks::Picks;
use crate::clip::preprocess::ChannelOrder;
use crate::error::{Error, ErrorRepr, Result};

/// The containers, as `ffmpeg` calls its readers of them, that may be opened: those that hold their own frames. Some
/// for sound are among them, so that such a file is told to have no video.
const CONTAINERS: &str = "aac,ac3,aiff,amr,apng,asf,av1,avi,avs2,avs3,caf,cavsvideo,cine,dhav,dirac,dnxhd,dv,flac,\
                          flv,gif,gxf,h261,h263,h264,hevc,ingenient,ipu,ivf,kux,lxf,m4v,matroska,mjpeg,mjpeg_2000,mlv,\
                          moflex,mov,mp3,mpeg,mpegts,mpegvideo,mxf,mxg,nsv,nut,nuv,obu,ogg,pva,r3d,rm,roq,ser,smjpeg,\
                          swf,ty,vc1,vc1test,vivo,vvc,w64,wav,webm,wtv,yuv4mpegpipe";

/// Reads the selected frames of a video. `file` is what the programs open, `path` what it is called.
///
/// All frames up to the last selected one are decoded: finding a frame by its time is not exact, and this way the
/// number of frames in a message is the true one.
pub(super) fn read(path: &Path, file: &Path, into: &mut Gathering<'_>) -> Result<()> {
    let name = path.display().to_string();
    let probed = probe(path, file, into.samples())?;
    if into.options().sampling.is_some_and(|sampling| sampling.fps.is_some()) {
        probed.rate.report(&name);
    }
    // Nobody knows of any where a file says nothing and has no packets.
    let mut there = probed.frames.or(probed.packets).or(into.samples().then_some(0));
    loop {
        let picks = into.begin(&name, there, probed.rate.average)?;
        match read_picked(path, file, &probed, &picks, into)? {
            // There are fewer than the file says, or some are left out: which are taken depends on how many there are.
            Some(counted) if counted > 0 && picks.lacks(counted) => {
                into.forget();
                there = Some(counted);
            }
            _ => return Ok(()),
        }
    }
}

/// Reads these frames of a video. How many there are, if all of them were seen.
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
    // Which lines several threads write last is chance.
    outcome.complaints = complaints;
    // Where pictures are missing, odd ends of others are no habit of a camera.
    if outcome.ended && probed.frames.is_some_and(|said| said > outcome.frames) {
        let doubtful = std::mem::take(&mut findings.doubtful);
        findings.damaged.extend(doubtful.into_iter().map(|index| index..index + 1));
        findings.damaged.sort_unstable_by_key(|range| range.start);
    }
    // Frames behind the last one that is needed are of no interest, and how many of them were looked at is chance.
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
        // What is gone before the first frame taken leaves no hole in the clip. A recording that begins between two key
        // frames has such pictures; one whose pictures stand alone has not.
        let hole = |before: usize| before > picks.first() || before == 0 && findings.stand_alone;
        if taken || cut_off.is_some() || lost.iter().chain(&gaps).any(|&before| hole(before)) {
            let damage = Damaged { frames: end, damaged, lost, gaps, cut_off };
            return Err(damage.error(path, probed, &outcome));
        }
    }
    if !unusable.is_empty() {
        // Several threads may have made other pictures of it than they would the next time.
        into.restart();
        outcome = decode(path, file, Threads::One, if drops { &unusable } else { &[] }, picks, into)?;
        if outcome.ended && outcome.frames != findings.frames {
            let reason =
                format!("it made {} frames of {name} once, and {} another time", findings.frames, outcome.frames);
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

/// Decodes the frames that are needed and hands out those selected. `left_out` are not counted.
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

/// Decodes a video for what `ffmpeg` says about it: as far as frame `last`, or to the end. With `drops`, as far as there
/// are enough frames that are whole.
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

/// [`survey`] with a fixed number of frames. Also whether that is all of them.
fn survey_until(
    path: &Path,
    file: &Path,
    subject: &Subject,
    enough: Option<usize>,
) -> Result<(Findings, Complaints, bool)> {
    /// Events that the program may be ahead; it has to wait then.
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
            // Nobody wants to know any more.
            sender = None;
        }
        decoder::is_kept(&line)
    };
    let (mut process, _output) = Process::start_watched("ffmpeg", arguments, watch)?;
    let mut survey = Survey::of(&subject.codec);
    // What is shown before is decoded after, so some more are looked at than are needed.
    let most = enough.map_or(usize::MAX, |enough| enough.saturating_add(2 * MOST_REORDERED));
    let mut has_enough = false;
    for event in &events {
        survey.take(event);
        has_enough = survey.count() >= most;
        if has_enough {
            break;
        }
    }
    // Who waits to send more is not to wait for ever.
    drop(events);
    if has_enough {
        return Ok((survey.findings(), process.stop(), false));
    }
    // One that was killed has not seen all.
    let end = process.finish()?;
    match program_at_fault("ffmpeg", path, &end) {
        Some(error) => Err(error),
        None => Ok((survey.findings(), end.complaints, true)),
    }
}

/// Damage that is an error.
struct Damaged {
    /// How many frames there are, up to the last one that is needed.
    frames: usize,
    damaged: Vec<Range<usize>>,
    lost: Vec<usize>,
    gaps: Vec<usize>,
    cut_off: Option<String>,
}

impl Damaged {
    /// The error, which says where the damage is and how many frames are whole.
    fn error(&self, path: &Path, probed: &Probed, outcome: &Outcome) -> Error {
        let mut given = format!("{} frames", self.frames);
        if !outcome.ended {
            given += " up to the last one that is needed";
        } else if let Some(said) = probed.frames.filter(|&said| said > self.frames) {
            given += &format!(" of {said} that the file says it has");
        }
        if let Some(first) = self.damaged.first() {
            let bad: usize = self.damaged.iter().map(Range::len).sum();
            given += &format!(
                ", {} of them whole: damaged {} {}, counted from 0, so the first {} are whole",
                self.frames - bad,
                if bad == 1 { "is" } else { "are" },
                runs(&self.damaged),
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
        if let Some(told) = &self.cut_off {
            given += &format!("; and then from ffmpeg: {told}");
        }
        ErrorRepr::Damaged { path: path.to_owned(), given }.into()
    }
}

/// Warns of what is no damage of a frame.
fn report(name: &str, findings: &Findings, end: usize) {
    let doubtful: Vec<Range<usize>> =
        findings.doubtful.iter().filter(|&&index| index < end).map(|&index| index..index + 1).collect();
    if !doubtful.is_empty() {
        ::log::warn!("{name}: {} may be damaged: their ends or tables are odd", runs(&doubtful));
    }
    for (index, [width, height]) in findings.sizes.iter().filter(|(index, _)| *index < end) {
        ::log::warn!(
            "{name}: from frame {index} on, frames have {width}x{height} pixels; they are scaled to the size of the first"
        );
    }
}

/// Checks that the frames are as many as are asked for and as the file says. `counted` are those that were not left out; they
/// are returned where there are no more.
fn conclude(name: &str, probed: &Probed, outcome: &Outcome, counted: usize, picks: &Picks) -> Result<Option<usize>> {
    if !outcome.ended {
        return Ok(None);
    }
    if let Some(said) = probed.frames.filter(|&said| said > outcome.frames) {
        ::log::warn!(
            "{name}: {} of {said} frames: the file says that it has {said}, and {} came out of it",
            outcome.frames,
            outcome.frames
        );
    }
    if outcome.complaints.lines().iter().any(|line| line.contains(SECOND)) {
        ::log::warn!(
            "{name}: passed over what is behind the first recording: of an MP4 or MOV file ffmpeg reads one only"
        );
    }
    let complaints = plain(&outcome.complaints.to_string());
    if !complaints.is_empty() {
        ::log::warn!("ffmpeg says of {name}: {complaints}");
    }
    picks.check(name, counted)?;
    Ok(Some(counted))
}

/// What is said to be in a file; absent where nobody knows.
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
    /// A number in quotes.
    nb_frames: Option<String>,
    /// Another, where packets were counted.
    nb_read_packets: Option<String>,
    /// Fractions: the frames over the time that they take, and the finest rate that has a place for each.
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
}

#[derive(Default, serde::Deserialize)]
struct Format {
    format_name: Option<String>,
}

/// What a file says about its first video.
struct Probed {
    /// How many frames it has.
    frames: Option<usize>,
    /// How many packets, where they had to be counted: mostly as many as frames.
    packets: Option<usize>,
    rate: Rate,
    subject: Subject,
}

/// How many frames a second a video has.
struct Rate {
    /// On average, where it is known.
    average: Option<f64>,
    /// Whether it is another at other times, as far as the file says.
    varies: bool,
}

impl Rate {
    /// From what `ffprobe` says.
    fn new(average: Option<&str>, finest: Option<&str>) -> Self {
        let number = |text: Option<&str>| -> Option<f64> {
            let (over, under) = text?.split_once('/')?;
            let (over, under): (f64, f64) = (over.parse().ok()?, under.parse().ok()?);
            Some(over / under).filter(|rate| rate.is_finite() && *rate > 0.0)
        };
        let (average, finest) = (number(average), number(finest));
        // Rates that are rounded in a container differ a little.
        let varies = average.zip(finest).is_some_and(|(average, finest)| (average / finest - 1.0).abs() > 0.02);
        Self { average: average.or(finest), varies }
    }

    /// Says where frames by time are not what they seem.
    fn report(&self, name: &str) {
        match self.average {
            None => ::log::warn!("{name}: it has no frame rate, so that steps between frames count frames"),
            Some(rate) if self.varies => ::log::warn!(
                "{name}: its frame rate varies; frames are taken as if it had {rate:.2} a second, its average, all the time"
            ),
            Some(_) => {}
        }
    }
}

/// Asks `ffprobe`. With `counts`, how many packets there are where the file does not say how many frames: all of it is looked
/// through for that, and nothing decoded.
fn probe(path: &Path, file: &Path, counts: bool) -> Result<Probed> {
    let mut probed = ask(path, file, false)?;
    if counts && probed.frames.is_none() {
        probed.packets = ask(path, file, true)?.packets;
    }
    Ok(probed)
}

fn ask(path: &Path, file: &Path, packets: bool) -> Result<Probed> {
    /// More than this is no answer to what is asked.
    const LONGEST_ANSWER: u64 = 1 << 20;
    let mut arguments = opening(file, "error");
    // Capital V leaves out pictures that are attached to sound.
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

/// The arguments with which both programs open `file` and nothing else, and what they log.
fn opening(file: &Path, log: &str) -> Vec<OsString> {
    // The prefix keeps names that begin with a dash or have a colon from being taken for options or protocols.
    let file = joined("file:", file);
    let most_pixels = MOST_PIXELS.to_string();
    let options = ["-v", log, "-protocol_whitelist", "file", "-format_whitelist", CONTAINERS];
    options.into_iter().chain(["-max_pixels", &most_pixels, "-i"]).map(Into::into).chain([file]).collect()
}

/// Why a program would not open `path`.
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
            "ffmpeg takes it for {container:?}, which is none of the containers that hold a whole video themselves; wanted \
             one of those, a directory of PNG, JPEG, WebP, BMP or TIFF frames, a .safetensors or a .npy file"
        ),
    }.into()
}

/// The error if a program failed for a reason of its own, and not for what is in `path`.
fn program_at_fault(program: &'static str, path: &Path, end: &End) -> Option<Error> {
    /// What the loader, or the program itself, says where it is not what it should be.
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
    /// This process has opened the file, so it is the other one that may not.
    const KEPT_OUT: [&str; 3] = ["Permission denied", "Operation not permitted", "No such file or directory"];
    if end.status.success() {
        return None;
    }
    let says =
        |phrases: &[&str]| end.complaints.lines().iter().any(|line| phrases.iter().any(|phrase| line.contains(phrase)));
    let told = told(path, end);
    let reason = match end.status.code() {
        Some(126 | 127) => format!("it does not run: {told}"),
        // Windows ends programs that find no library, or that crash, with such numbers.
        Some(code) if cfg!(windows) && code < 0 => format!("it does not run, or crashes on {}: {told}", path.display()),
        None => format!("it was killed, or crashed, on {}: {told}", path.display()),
        Some(_) if says(&BROKEN) => format!("it fails on {}: {told}", path.display()),
        Some(_) if says(&KEPT_OUT) => {
            format!(
                "it may not open {}, which this program may: is it confined, as snaps are? It says: {told}",
                path.display()
            )
        }
        Some(_) => return None,
    };
    Some(ErrorRepr::Program { program, reason }.into())
}

/// How a program ended, and what it said.
fn told(path: &Path, end: &End) -> String {
    let complaints = plain(&end.complaints.to_string());
    let complaints = complaints.replace(&format!("file:{}: ", path.display()), "");
    match (end.status.success(), complaints.is_empty()) {
        (true, true) => "nothing".to_owned(),
        (true, false) => complaints,
        (false, true) => format!("{}, without a word", end.status),
        (false, false) => format!("{}: {complaints}", end.status),
    }
}

/// What was said, without the levels of the lines and the addresses of the speakers, which are others every time.
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
