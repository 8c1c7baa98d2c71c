//! Faulty decoders, simulated by shell scripts.

use super::process::Complaints;
use super::*;
use crate::error::ErrorKind;

/// A decoder whose `ffmpeg` is a script.
fn decoder(script: &str) -> Decoder<'static> {
    Decoder::new(Path::new("video.mkv"), |watch| Process::start_watched("sh", ["-c", script], watch)).unwrap()
}

/// Decodes all frames, and returns them with the outcome.
fn decode(mut decoder: Decoder<'_>) -> (Vec<Vec<u8>>, Result<Outcome>) {
    let mut frames = Vec::new();
    loop {
        match decoder.next() {
            Ok(Some(frame)) => frames.push(frame.bytes.to_vec()),
            Ok(None) => return (frames, decoder.finish()),
            Err(error) => return (frames, Err(error)),
        }
    }
}

const FRAME: &str = r"printf 'P6\n2 1\n255\nabcdef'; ";

#[test]
fn a_rate_is_a_fraction_that_may_vary_or_be_unknown() {
    for (average, finest, wanted, varies) in [
        (Some("30000/1001"), Some("30000/1001"), Some(30000.0 / 1001.0), false),
        // Containers with times in milliseconds round.
        (Some("2997/100"), Some("30/1"), Some(29.97), false),
        (Some("125/12"), Some("25/1"), Some(125.0 / 12.0), true),
        (Some("0/0"), Some("25/1"), Some(25.0), false),
        (Some("0/0"), Some("0/0"), None, false),
        (Some("25"), None, None, false),
        (Some("-25/1"), Some("x/y"), None, false),
    ] {
        let rate = Rate::new(average, finest);
        assert_eq!((rate.average, rate.varies), (wanted, varies), "{average:?} {finest:?}");
    }
}

#[test]
fn whole_frames_are_frames() {
    // The bytes of a picture may look like a header.
    let (frames, outcome) = decode(decoder(&format!("{FRAME} printf 'P6\\n1 2\\n255\\nP6\\n2 1'")));
    assert_eq!(frames, [b"abcdef", b"P6\n2 1"]);
    let outcome = outcome.unwrap();
    assert!(outcome.frames == 2 && outcome.ended && !outcome.suspicious && outcome.cut_off.is_none());
    let (_, outcome) = decode(decoder(&format!("{FRAME} echo 'a little noise' >&2")));
    let outcome = outcome.unwrap();
    assert!(outcome.frames == 1 && !outcome.suspicious, "a complaint alone is not a failure");
    assert_eq!(outcome.complaints.lines(), ["a little noise"]);
}

#[test]
fn what_hints_at_damage_is_noticed() {
    let cases = [
        ("[h264 @ 0x1] [error] error while decoding MB 6 2", true, false),
        ("[warning] a.mp4: corrupt decoded frame in stream 0", true, false),
        ("[h264 @ 0x1] [info] concealing 54 DC, 54 AC, 54 MV errors in P frame", true, false),
        ("[mjpeg @ 0x1] [warning] EOI missing, emulating", true, false),
        ("[mpegts @ 0x1] [warning] Packet corrupt (stream = 0, dts = 1)", false, false),
        ("[swscaler @ 0x1] [warning] deprecated pixel format used", false, false),
        ("[matroska,webm @ 0x1] [error] File ended prematurely", true, true),
        ("[graph 0 input @ 0x1] [verbose] w:2 h:1 pixfmt:rgb24", false, false),
        ("[graph 0 input @ 0x1] [verbose] w:4 h:1 pixfmt:rgb24", true, false),
    ];
    for (line, suspicious, cut_off) in cases {
        let first = "echo '[graph 0 input @ 0x1] [verbose] w:2 h:1 pixfmt:rgb24' >&2; ";
        let outcome = decode(decoder(&format!("{first}{FRAME}echo '{line}' >&2"))).1.unwrap();
        assert_eq!((outcome.suspicious, outcome.cut_off.is_some()), (suspicious, cut_off), "{line}");
        // Also without waiting for the end.
        let mut decoder = decoder(&format!("{first}echo '{line}' >&2; {FRAME}exec sleep 1000"));
        assert!(decoder.next().unwrap().is_some());
        assert_eq!(decoder.stop().suspicious, suspicious, "{line}");
    }
}

#[test]
fn anything_else_is_an_error() {
    // The output after one complete frame, and what the error mentions.
    let cases: [(&str, &[&str]); 12] = [
        (r"printf 'P6\n2 1\n255\nabc'; echo sorry >&2; exit 3", &["1 frames and a part", "status: 3", "sorry"]),
        (r"printf 'P6\n2 1\n255\nabc'", &["1 frames and a part", "nothing"]),
        (r"printf 'P6\n2 1\n255\nabc'; kill -9 $$", &["the program ffmpeg", "on video.mkv", "signal: 9"]),
        (r"printf 'P6\n2'", &["1 frames and a part"]),
        ("echo 'sorry' >&2; exit 1", &["a whole video", "1 frames, and then", "status: 1", "sorry"]),
        ("kill -11 $$", &["the program ffmpeg", "crashed", "signal: 11"]),
        ("echo 'libx.so: no such thing' >&2; exit 127", &["the program ffmpeg", "does not run", "libx.so"]),
        ("exec yes", &["not a picture"]),
        (r"printf 'P5\n2 1\n255\nab'; exec sleep 1000", &["not a picture"]),
        (r"printf 'P6\n2 1 1\n255\nabcdef'; exec sleep 1000", &["not a picture"]),
        (r"printf 'P6\n0 9\n255\n'; exec sleep 1000", &["frame 1 of video.mkv", "0x9 pixels"]),
        (r"printf 'P6\n99999 99999\n255\n'; exec cat /dev/zero", &["99999x99999 pixels"]),
    ];
    for (script, mentions) in cases {
        let decoder = decoder(&format!("{FRAME}{script}"));
        let id = decoder.process.id();
        let (frames, outcome) = decode(decoder);
        assert_eq!(frames, [b"abcdef"], "{script}");
        let error = outcome.err().unwrap().to_string();
        for mention in mentions {
            assert!(error.contains(mention), "{script}: {mention:?} is not in {error}");
        }
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "{script} still runs");
    }
}

#[test]
fn memory_grows_with_the_received_data() {
    let mut decoder = decoder(r"printf 'P6\n10000 10000\n255\n'; head -c 100000 /dev/zero");
    assert!(decoder.next().is_err());
    assert!(decoder.frame.capacity() < 1 << 20, "{}", decoder.frame.capacity());
}

#[test]
fn stopping_early_ends_a_running_program() {
    for rest in ["while true; do :; done", "exec sleep 1000", "exec cat /dev/zero"] {
        let mut decoder = decoder(&format!("{FRAME}{FRAME}{rest}"));
        let id = decoder.process.id();
        assert_eq!(decoder.next().unwrap().unwrap().index, 0);
        drop(decoder);
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "{rest}");
    }
}

#[test]
fn errors_name_forbidden_readers_and_broken_programs() {
    let ended = |code: u8, lines: &[&str]| {
        let status = Process::start("sh", ["-c", &format!("exit {code}")]).unwrap().0.finish().unwrap().status;
        refusal(Path::new("clip.mp4"), &End { status, complaints: Complaints::of(lines) })
    };
    let said = |lines: &[&str]| ended(1, lines);
    let error = said(&["[hls @ 0x55dd8] Format not on whitelist 'avi,mov'", "file:clip.mp4: Invalid argument"]);
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("\"hls\""), "{error}");
    let error = said(&["file:clip.mp4: Invalid data found"]).to_string();
    assert!(error.starts_with("clip.mp4: wanted a video that ffmpeg can open"), "{error}");
    assert!(error.ends_with("exit status: 1: Invalid data found"), "{error}");

    let cases: [(u8, &str, &str); 5] = [
        (127, "ffprobe: error while loading shared libraries: libopenh264.so.5", "does not run"),
        (126, "sh: ffprobe: Permission denied", "does not run"),
        (1, "Unrecognized option 'format_whitelist'.", "fails on clip.mp4"),
        (1, "Decoding requested, but no decoder found for: h264", "fails on clip.mp4"),
        (1, "file:clip.mp4: Permission denied", "may not open clip.mp4"),
    ];
    for (code, line, mention) in cases {
        let error = ended(code, &[line]);
        assert!(error.subject() == Some("ffprobe") && error.to_string().contains(mention), "{error}");
    }
}
