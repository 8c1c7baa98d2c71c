//! Parses the lines that `ffmpeg` writes to standard error when their levels are enabled.
//!
//! With `-debug_ts`, `ffmpeg` also logs the packets that it reads and the frames that it decodes. From version 6 on,
//! different threads read and decode, so the order of a packet's line and a frame's line means nothing.

/// Messages of the JPEG decoder for pictures that end too early or have odd tables. Some cameras write no end marker,
/// or one in the wrong place.
pub(super) const DOUBTS: [&str; 3] = ["EOI missing", "overread", "dqt: 0 quant value"];

/// A line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The component that logs, for example the name of a reader or a decoder.
    pub(super) component: Option<&'a str>,
    /// `error`, `warning`, …, if it is stated.
    pub(super) level: Option<&'a str>,
    pub(super) text: &'a str,
}

impl<'a> Line<'a> {
    /// Parses `[component @ 0x123] [level] text`. There may be no component, or several, of which the last counts.
    pub(super) fn of(line: &'a str) -> Self {
        let (mut rest, mut component) = (line, None);
        while let Some((inner, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            if let "panic" | "fatal" | "error" | "warning" | "info" | "verbose" | "debug" | "trace" = inner {
                return Self { component, level: Some(inner), text: behind.strip_prefix(' ').unwrap_or(behind) };
            }
            let Some((name, _)) = inner.split_once(" @ ") else { break };
            component = Some(name);
            rest = behind.trim_start();
        }
        // A continuation line, or a line of another program.
        Self { component: None, level: None, text: line }
    }

    /// Whether `ffmpeg` logs the line as an error. Times that go back, as in a file with several recordings, do not
    /// count: they are harmless, because the writer numbers the frames.
    pub(super) fn is_error(&self) -> bool {
        matches!(self.level, Some("panic" | "fatal" | "error"))
            && !self.text.contains("non monotonically increasing dts")
    }

    /// Whether to keep the line for messages.
    pub(super) fn is_complaint(&self) -> bool {
        self.is_error() || self.level.is_none()
    }

    /// The value of `name` in a line of `name:value` pairs.
    fn field(&self, name: &str) -> Option<&'a str> {
        self.text.split_whitespace().find_map(|pair| pair.strip_prefix(name)?.strip_prefix(':'))
    }

    /// Width and height of the following frames, if this line describes the input of the filters.
    pub(super) fn size(&self) -> Option<[usize; 2]> {
        self.field("pixfmt")?;
        Some([self.field("w")?.parse().ok()?, self.field("h")?.parse().ok()?])
    }
}

/// The video that a log is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The name of the reader of the container.
    pub(super) container: String,
    /// The codec.
    pub(super) codec: String,
    /// The number of the stream in the file.
    pub(super) stream: usize,
}

/// An event while a video is read and decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The version of the program.
    Version { major: usize },
    /// A packet of the video was read, with its decoding time in the file.
    Read { decoded: Option<i64> },
    /// The packet is passed to the decoder, with its presentation time for the decoder.
    Packet { time: Option<i64> },
    /// A part of the packet with this decoding time is missing, or something after it.
    Incomplete { decoded: Option<i64> },
    /// The incomplete packet follows soon.
    PacketCorrupt,
    /// The reader skipped something before the next packet.
    PassedOver,
    /// The decoder returned a frame.
    Frame { time: Option<i64>, key: bool, bidirectional: bool },
    /// The decoder concealed errors in the next frame.
    FrameCorrupt,
    /// The decoder complained.
    Complaint,
    /// The decoder complained about something that also occurs in intact files.
    Doubt,
    /// The decoder could not decode a packet.
    Lost,
    /// The following frames have this width and height.
    Size([usize; 2]),
}

impl Event {
    /// The event of `line`, if any.
    pub(super) fn of(line: &Line<'_>, subject: &Subject) -> Option<Self> {
        const READ: &str = "demuxer -> ";
        const PACKET: &str = "demuxer+ffmpeg -> ";
        const FRAME: &str = "decoder -> ";
        /// The messages of versions up to 6, and of later ones.
        const LOST: [&str; 3] = ["Error while decoding stream", "Error submitting packet to decoder", "Decoding error"];
        let text = line.text;
        let time = |name| line.field(name).map(|number| number.parse().ok());
        if text.starts_with(READ) || text.starts_with(PACKET) {
            let index = line.field("ist_index")?.rsplit(':').next()?;
            let event = match text.starts_with(READ) {
                true => Self::Read { decoded: time("pkt_dts")? },
                false => Self::Packet { time: time("pkt_pts")? },
            };
            return (index.parse() == Ok(subject.stream)).then_some(event);
        }
        if text.starts_with(FRAME) {
            return Some(Self::Frame {
                time: time("frame_pts").or_else(|| time("pts"))?,
                key: line.field("keyframe")? == "1",
                bidirectional: line.field("frame_type")? == "3",
            });
        }
        if let Some(version) = text.strip_prefix("ffmpeg version ") {
            let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
            let major = digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
            return Some(Self::Version { major });
        }
        if let Some(size) = line.size() {
            return Some(Self::Size(size));
        }
        if text.contains("corrupt decoded frame") {
            return Some(Self::FrameCorrupt);
        }
        if let Some((_, packet)) = text.split_once("Packet corrupt (stream = ") {
            let (stream, rest) = packet.split_once(", dts = ")?;
            let decoded = rest.split(')').next()?.parse().ok();
            return (stream.parse() == Ok(subject.stream)).then_some(Self::Incomplete { decoded });
        }
        if let Some((_, stream)) = text.split_once("corrupt input packet in stream ") {
            return (stream.trim().parse() == Ok(subject.stream)).then_some(Self::PacketCorrupt);
        }
        if line.is_error() && LOST.iter().any(|phrase| text.contains(phrase)) {
            return Some(Self::Lost);
        }
        let component = line.component?;
        // In a raw stream, reader and decoder have the same name, and that reader logs little.
        if component == subject.container && component != subject.codec {
            let other = text.split_once("stream ").and_then(|(_, rest)| {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
                digits.parse::<usize>().ok()
            });
            let of_subject = other.is_none_or(|stream| stream == subject.stream);
            return (line.is_error() && of_subject).then_some(Self::PassedOver);
        }
        // External libraries have their names as components.
        if component != subject.codec && !component.starts_with("lib") {
            return None;
        }
        match line.is_error() {
            true => Some(Self::Complaint),
            false if DOUBTS.iter().any(|phrase| text.contains(phrase)) => Some(Self::Doubt),
            false => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed() {
        let cases = [
            ("[h264 @ 0x5566] [error] Reference 4 >= 2", (Some("h264"), Some("error"), "Reference 4 >= 2")),
            ("[warning] a.mp4: [x] y", (None, Some("warning"), "a.mp4: [x] y")),
            ("[vist#0:0/h264 @ 0x1] [dec:h264 @ 0x2] [error] x", (Some("dec:h264"), Some("error"), "x")),
            ("[hls @ 0x55dd8] Format not on whitelist", (None, None, "[hls @ 0x55dd8] Format not on whitelist")),
            ("a little noise", (None, None, "a little noise")),
            ("[", (None, None, "[")),
            ("", (None, None, "")),
        ];
        for (line, (component, level, text)) in cases {
            assert_eq!(Line::of(line), Line { component, level, text }, "{line}");
        }
    }

    #[test]
    fn times_that_go_back_are_not_errors() {
        let text = "Application provided invalid, non monotonically increasing dts to muxer in stream 0: 47 >= 45";
        for (line, error) in [(text, false), ("Error while opening encoder", true)] {
            let line = format!("[image2pipe @ 0x1] [error] {line}");
            assert_eq!((Line::of(&line).is_error(), Line::of(&line).is_complaint()), (error, error), "{line}");
        }
    }

    #[test]
    fn lines_of_all_versions_are_understood() {
        let subject = Subject { container: "mov,mp4,m4a,3gp,3g2,mj2".into(), codec: "h264".into(), stream: 1 };
        let cases = [
            ("[info] ffmpeg version 5.1.9-0+deb12u1 Copyright", Some(Event::Version { major: 5 })),
            ("[info] ffmpeg version n7.1 Copyright", Some(Event::Version { major: 7 })),
            (
                "[info] demuxer+ffmpeg -> ist_index:1 type:video pkt_pts:3072 pkt_pts_time:0.25 pkt_dts:-1024",
                Some(Event::Packet { time: Some(3072) }),
            ),
            (
                "[in#0/mov @ 0x1] [info] demuxer+ffmpeg -> ist_index:0:1 type:video pkt_pts:NOPTS pkt_dts:1",
                Some(Event::Packet { time: None }),
            ),
            ("[info] demuxer+ffmpeg -> ist_index:0 type:audio pkt_pts:3072", None),
            (
                "[info] demuxer -> ist_index:1 type:video next_dts:1 pkt_pts:1 pkt_pts_time:1 pkt_dts:-3 \
                 pkt_dts_time:1",
                Some(Event::Read { decoded: Some(-3) }),
            ),
            (
                "[mpegts @ 0x1] [warning] Packet corrupt (stream = 1, dts = 208500).",
                Some(Event::Incomplete { decoded: Some(208_500) }),
            ),
            ("[mpegts @ 0x1] [warning] Packet corrupt (stream = 0, dts = 208500).", None),
            (
                "[info] decoder -> ist_index:1 type:video frame_pts:-2 frame_pts_time:1 keyframe:1 frame_type:1 \
                 time_base:1/9",
                Some(Event::Frame { time: Some(-2), key: true, bidirectional: false }),
            ),
            (
                "[vist#0:1/h264 @ 0x1] [dec:h264 @ 0x2] [info] decoder -> pts:9 pts_time:1 pkt_dts:7 keyframe:0 \
                 frame_type:3",
                Some(Event::Frame { time: Some(9), key: false, bidirectional: true }),
            ),
            ("[warning] a.mp4: corrupt decoded frame in stream 1", Some(Event::FrameCorrupt)),
            ("[vist#0:1/h264 @ 0x1] [dec:h264 @ 0x2] [warning] corrupt decoded frame", Some(Event::FrameCorrupt)),
            ("[warning] a.mp4: corrupt input packet in stream 1", Some(Event::PacketCorrupt)),
            ("[warning] a.mp4: corrupt input packet in stream 0", None),
            ("[error] Error while decoding stream #0:1: Invalid data found", Some(Event::Lost)),
            ("[dec:h264 @ 0x2] [error] Error submitting packet to decoder: Invalid data", Some(Event::Lost)),
            ("[h264 @ 0x1] [error] Invalid NAL unit size (0 > 2659).", Some(Event::Complaint)),
            ("[h264 @ 0x1] [warning] Cannot use next picture in error concealment", None),
            ("[mjpeg @ 0x1] [warning] EOI missing, emulating", None),
            ("[NULL @ 0x1] [error] missing picture in access unit", None),
            ("[mov,mp4,m4a,3gp,3g2,mj2 @ 0x1] [error] stream 1, offset 0x3c07: partial file", Some(Event::PassedOver)),
            ("[mov,mp4,m4a,3gp,3g2,mj2 @ 0x1] [error] stream 0, offset 0x3c07: partial file", None),
            (
                "[graph 0 input from stream 0:0 @ 0x1] [verbose] w:96 h:80 pixfmt:yuv420p tb:1/90000",
                Some(Event::Size([96, 80])),
            ),
        ];
        for (line, wanted) in cases {
            assert_eq!(Event::of(&Line::of(line), &subject), wanted, "{line}");
        }
        let raw = Subject { container: "h264".into(), ..subject.clone() };
        let line = Line::of("[h264 @ 0x1] [error] Reference 4 >= 3");
        assert_eq!(Event::of(&line, &raw), Some(Event::Complaint));
        let subject = Subject { codec: "mjpeg".into(), ..subject };
        assert_eq!(
            Event::of(&Line::of("[mjpeg @ 0x1] [warning] EOI missing, emulating"), &subject),
            Some(Event::Doubt)
        );
    }
}
