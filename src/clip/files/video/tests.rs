//! What a decoder that is not what it should be does to us: a shell plays its part.

use super::process::Complaints;
use super::*;

/// A decoder whose `ffmpeg` is a script.
fn decoder(script: &str) -> Decoder<'static> {
    Decoder::new(Path::new("video.mkv"), Process::start("sh", ["-c", script]).unwrap())
}

/// All frames and the outcome.
fn decode(mut decoder: Decoder<'_>) -> (Vec<Vec<u8>>, Result<usize>) {
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
fn whole_frames_are_frames() {
    // The bytes of a picture may look like anything, a header included.
    let (frames, count) = decode(decoder(&format!("{FRAME} printf 'P6\\n1 2\\n255\\nP6\\n2 1'")));
    assert_eq!(frames, [b"abcdef", b"P6\n2 1"]);
    assert_eq!(count.unwrap(), 2);
    assert_eq!(decode(decoder("exit 0")).1.unwrap(), 0);
    let (_, count) = decode(decoder(&format!("{FRAME} echo 'a little noise' >&2")));
    assert_eq!(count.unwrap(), 1, "a complaint alone is no failure");
}

#[test]
fn anything_else_is_an_error() {
    // What comes after one whole frame, and what is said of it.
    let cases: [(&str, &[&str]); 12] = [
        (r"printf 'P6\n2 1\n255\nabc'; echo sorry >&2; exit 3", &["1 frames and a part", "status: 3", "sorry"]),
        (r"printf 'P6\n2 1\n255\nabc'", &["1 frames and a part", "nothing"]),
        (r"printf 'P6\n2 1\n255\nabc'; kill -9 $$", &["1 frames and a part", "signal: 9"]),
        (r"printf 'P6\n2'", &["1 frames and a part"]),
        ("echo 'sorry' >&2; exit 1", &["a whole video", "1 frames, and then", "status: 1", "sorry"]),
        ("kill -11 $$", &["1 frames, and then", "signal: 11"]),
        ("echo 'File ended prematurely' >&2", &["1 frames, and then", "prematurely"]),
        ("exec yes", &["no picture"]),
        (r"printf 'P5\n2 1\n255\nab'; exec sleep 1000", &["no picture"]),
        (r"printf 'P6\n2 1 1\n255\nabcdef'; exec sleep 1000", &["no picture"]),
        (r"printf 'P6\n0 9\n255\n'; exec sleep 1000", &["frame 1 of video.mkv", "0x9 pixels"]),
        (r"printf 'P6\n99999 99999\n255\n'; exec cat /dev/zero", &["99999x99999 pixels"]),
    ];
    for (script, mentions) in cases {
        let decoder = decoder(&format!("{FRAME}{script}"));
        let id = decoder.process.id();
        let (frames, outcome) = decode(decoder);
        assert_eq!(frames, [b"abcdef"], "{script}");
        let error = outcome.unwrap_err().to_string();
        for mention in mentions {
            assert!(error.contains(mention), "{script}: {mention:?} is not in {error}");
        }
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "{script} is still there");
    }
}

#[test]
fn memory_grows_with_what_arrives() {
    let mut decoder = decoder(r"printf 'P6\n10000 10000\n255\n'; head -c 100000 /dev/zero");
    assert!(decoder.next().is_err());
    assert!(decoder.frame.capacity() < 1 << 20, "{}", decoder.frame.capacity());
}

#[test]
fn stopping_early_ends_a_program_that_would_go_on() {
    for rest in ["while true; do :; done", "exec sleep 1000", "exec cat /dev/zero"] {
        let mut decoder = decoder(&format!("{FRAME}{FRAME}{rest}"));
        let id = decoder.process.id();
        assert_eq!(decoder.next().unwrap().unwrap().index, 0);
        drop(decoder);
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "{rest}");
    }
}

#[test]
fn readers_that_may_not_be_used_are_named() {
    let said = |lines: &[&str]| {
        let status = Process::start("sh", ["-c", "exit 1"]).unwrap().0.finish().unwrap().status;
        refusal(Path::new("clip.mp4"), &End { status, complaints: Complaints::of(lines) })
    };
    let error = said(&["[hls @ 0x55dd8] Format not on whitelist 'avi,mov'", "file:clip.mp4: Invalid argument"]);
    assert!(matches!(&error, Error::Unsupported { reason, .. } if reason.contains("\"hls\"")), "{error}");
    let error = said(&["file:clip.mp4: Invalid data found"]).to_string();
    assert!(error.starts_with("clip.mp4: wanted a video that ffmpeg can open"), "{error}");
    assert!(error.ends_with("exit status: 1: Invalid data found"), "{error}");
}
