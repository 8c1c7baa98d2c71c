//! Which frames of a video are damaged.
//!
//! `ffmpeg` says which packets it reads, which frames the decoder gives, and where something is wrong. A picture is
//! damaged if the decoder had to mend it, or if it is predicted from one that was mended or lost. Which ones those are is
//! not said, so all count that are decoded after the damage and shown before the next key frame. Key frames are taken for
//! points from which decoding can start.
//!
//! Not seen is damage that the decoder does not notice: single bits that still make sense, and much of what happens to
//! HEVC, VP9, AV1 and the like, whose data have hardly any redundancy.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::log::Event;

/// How far apart a picture is shown and decoded, at most, in pictures.
pub(super) const MOST_REORDERED: usize = 32;

/// Codecs whose decoder marks every picture that it had to mend, so that other complaints of it may be passed over.
const MARKING: [&str; 12] = [
    "h264",
    "mpeg1video",
    "mpeg2video",
    "mpeg4",
    "h263",
    "flv1",
    "msmpeg4v1",
    "msmpeg4v2",
    "msmpeg4v3",
    "wmv1",
    "wmv2",
    "vc1",
];

/// Codecs in which no picture is predicted from a bidirectional one.
const PLAIN_BIDIRECTIONAL: [&str; 4] = ["mpeg1video", "mpeg2video", "mpeg4", "vc1"];

/// What happens in a video, as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct Survey {
    codec: String,
    /// Whether the lines about packets and those about frames are in the order of the events.
    in_order: bool,
    packets: Vec<Packet>,
    frames: Vec<Frame>,
    /// Packets by time that no frame has come from yet.
    waiting: HashMap<i64, usize>,
    /// The packets before or behind which something is missing.
    faults: Vec<Fault>,
    lost: Vec<Lost>,
    /// The frame that was awaited when the decoder complained, and the packet read last.
    complaints: Vec<(usize, usize)>,
    /// From which frame on frames have which size.
    sizes: Vec<(usize, [usize; 2])>,
    // What was said since the last packet or frame.
    read: Option<i64>,
    incomplete: Option<i64>,
    mended: bool,
    doubted: bool,
    complained: Option<usize>,
}

#[derive(Debug)]
struct Packet {
    /// When it is to be decoded, as the file has it.
    decoded: Option<i64>,
    /// When it is to be shown, as the decoder has it.
    time: Option<i64>,
    /// What it became, where its time tells.
    frame: Option<usize>,
}

#[derive(Debug)]
struct Frame {
    key: bool,
    bidirectional: bool,
    /// The packet that it was made of, where its time tells.
    packet: Option<usize>,
    mended: bool,
    doubted: bool,
}

/// What is missing around the packet that was read next. A reader that takes packets apart may be one ahead.
#[derive(Debug)]
enum Fault {
    /// Part of the packet with this time, or something behind it.
    Incomplete { next: usize, decoded: Option<i64> },
    /// Something before or behind the packet.
    Gap { next: usize },
}

/// A packet that became no picture.
#[derive(Debug)]
struct Lost {
    /// The frame that was awaited.
    frame: usize,
    /// The packet read last.
    packet: usize,
}

/// What a survey has found. Frames are counted from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// How many frames there are.
    pub(super) frames: usize,
    /// The runs of damaged frames.
    pub(super) damaged: Vec<Range<usize>>,
    /// Frames that may be damaged.
    pub(super) doubtful: Vec<usize>,
    /// Before which frames pictures were lost.
    pub(super) lost: Vec<usize>,
    /// From which frame on frames have another size than the first, and which.
    pub(super) sizes: Vec<(usize, [usize; 2])>,
}

impl Survey {
    pub(super) fn of(codec: &str) -> Self {
        Self { codec: codec.to_owned(), ..Self::default() }
    }

    /// How many frames there were so far.
    pub(super) fn count(&self) -> usize {
        self.frames.len()
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Version { major } => self.in_order = major < 6,
            Event::Read { decoded } => self.read = decoded,
            Event::Packet { time } => {
                if let Some(time) = time {
                    self.waiting.entry(time).or_insert(self.packets.len());
                }
                self.packets.push(Packet { decoded: self.read.take(), time, frame: None });
            }
            Event::Incomplete { decoded } => self.incomplete = decoded,
            Event::PacketCorrupt => {
                self.faults.push(Fault::Incomplete { next: self.packets.len(), decoded: self.incomplete.take() });
            }
            // Before the first packet the reader only looks what there is.
            Event::PassedOver if self.packets.is_empty() => {}
            Event::PassedOver => self.faults.push(Fault::Gap { next: self.packets.len() }),
            Event::Frame { time, key, bidirectional } => {
                let packet = time.and_then(|time| self.waiting.remove(&time));
                if let Some(packet) = packet {
                    self.packets[packet].frame = Some(self.frames.len());
                }
                if let Some(complained) = self.complained.take() {
                    self.complaints.push((self.frames.len(), complained));
                }
                let (mended, doubted) = (std::mem::take(&mut self.mended), std::mem::take(&mut self.doubted));
                self.frames.push(Frame { key, bidirectional, packet, mended, doubted });
            }
            Event::FrameCorrupt => self.mended = true,
            Event::Doubt => self.doubted = true,
            Event::Complaint if self.packets.is_empty() => {}
            Event::Complaint => self.complained = self.complained.or(Some(self.packets.len() - 1)),
            Event::Lost => {
                self.complained = None;
                self.doubted = false;
                self.lost.push(Lost { frame: self.frames.len(), packet: self.packets.len().saturating_sub(1) });
            }
            Event::Size(size) => {
                if self.sizes.last().is_none_or(|&(_, last)| last != size) {
                    self.sizes.push((self.frames.len().saturating_sub(1), size));
                }
            }
        }
    }

    /// What all that means.
    pub(super) fn findings(&self) -> Findings {
        let frames = self.frames.len();
        let mut next_key = vec![frames; frames + 1];
        for index in (0..frames).rev() {
            next_key[index] = if self.frames[index].key { index } else { next_key[index + 1] };
        }
        let mut marks = Marks { next_key, until_key: BTreeMap::new(), alone: Vec::new() };
        let every_frame_is_key = self.frames.iter().all(|frame| frame.key);
        self.mark_mended(every_frame_is_key, &mut marks);
        self.mark_after_faults(every_frame_is_key, &mut marks);
        if !every_frame_is_key {
            self.mark_after_lost(&mut marks);
        }
        if !MARKING.contains(&self.codec.as_str()) {
            self.mark_complaints(every_frame_is_key, &mut marks);
        }
        let damaged = marks.frames(&self.frames);
        // What all frames have is a habit of the program that wrote them.
        let habit = self.frames.first().is_some_and(|frame| frame.doubted);
        let doubtful = |&(index, frame): &(usize, &Frame)| frame.doubted && !habit && !damaged[index];
        Findings {
            frames,
            doubtful: self.frames.iter().enumerate().filter(doubtful).map(|(index, _)| index).collect(),
            lost: self.lost.iter().map(|lost| lost.frame).collect(),
            sizes: self.sizes.iter().skip(1).copied().collect(),
            damaged: runs(&damaged),
        }
    }

    /// How many frames at most are read ahead of the one that is shown, as far as can be told.
    fn delay(&self) -> usize {
        let by_packet = self.frames.iter().enumerate().filter_map(|(index, frame)| index.checked_sub(frame.packet?));
        let longest_run = self.frames.chunk_by(|a, b| a.bidirectional == b.bidirectional).map(<[_]>::len);
        let longest_run = longest_run.max().unwrap_or(0).min(MOST_REORDERED / 2);
        by_packet.max().unwrap_or(longest_run).min(MOST_REORDERED) + 1
    }

    /// Pictures that the decoder mended, and those predicted from them.
    fn mark_mended(&self, alone: bool, marks: &mut Marks) {
        let plain = PLAIN_BIDIRECTIONAL.contains(&self.codec.as_str());
        for (index, frame) in self.frames.iter().enumerate().filter(|(_, frame)| frame.mended) {
            marks.alone.push(index);
            if alone || plain && frame.bidirectional {
                continue;
            }
            // Bidirectional ones are shown before, and decoded after, what they are predicted from.
            let before = match frame.packet {
                Some(_) => index.min(MOST_REORDERED),
                None => self.frames[..index].iter().rev().take_while(|frame| frame.bidirectional).count(),
            };
            let from = index - before;
            marks.until_key(from, if frame.packet.is_some() { index } else { from }, index + 1, frame.packet);
        }
    }

    /// Pictures predicted from what is missing, or incomplete without the decoder's notice. Recordings behind one another
    /// are no fault: they begin with a key frame, and nothing is missing in between.
    fn mark_after_faults(&self, alone: bool, marks: &mut Marks) {
        let made_of = |packet: usize| self.packets.get(packet).and_then(|packet| packet.frame);
        let is_key = |packet| made_of(packet).is_some_and(|index| self.frames[index].key);
        let decoded = |packet: usize| self.packets.get(packet).and_then(|packet| packet.decoded);
        for fault in &self.faults {
            // The first packet that is touched, and the one from which on a key frame mends it.
            let (packet, behind) = match *fault {
                Fault::Incomplete { next, decoded: wanted } => {
                    let here = (next..next + 3).find(|&packet| wanted.is_some() && decoded(packet) == wanted);
                    let packet = here.unwrap_or(next);
                    if packet + 1 >= self.packets.len() {
                        // The last one of a file that was cut off. What became of it comes out last, if its time does not tell.
                        let last = made_of(packet).or_else(|| self.frames.len().checked_sub(1));
                        let became_none = self.lost.last().is_some_and(|lost| lost.packet >= packet);
                        marks.alone.extend(last.filter(|_| !became_none));
                        continue;
                    }
                    // A recording behind another one may begin here as well.
                    let anew = packet > 0 && is_key(packet) && decoded(packet) <= decoded(packet - 1);
                    (packet, if anew { packet } else { packet + 1 })
                }
                Fault::Gap { next } => {
                    let step = |packet: usize| decoded(packet)?.checked_sub(decoded(packet.checked_sub(1)?)?);
                    let gap = if step(next + 1) > step(next) { next + 1 } else { next };
                    (gap, gap)
                }
            };
            if alone || is_key(behind) {
                continue;
            }
            if let Some(index) = made_of(packet) {
                // What is missing is unknown, so only a key frame that was decoded later will do.
                let earlier = |frame: &Frame| !frame.key || frame.packet.is_none_or(|own| own <= packet);
                let key = index + self.frames[index..].iter().take_while(|frame| earlier(frame)).count();
                marks.until_key(index.saturating_sub(MOST_REORDERED), index, key, Some(packet));
            }
        }
    }

    /// Pictures predicted from those that became none.
    fn mark_after_lost(&self, marks: &mut Marks) {
        let frames = self.frames.len();
        let mut candidates: Vec<usize> = self.waiting.values().copied().collect();
        candidates.sort_unstable();
        for (before, lost) in self.lost.iter().enumerate() {
            let packet = if self.in_order {
                Some(lost.packet)
            } else {
                // The decoder was some packets behind, or the reader ahead: the first without a frame is the one.
                let near = lost.frame..=lost.frame + before + self.delay();
                candidates.iter().position(|packet| near.contains(packet)).map(|at| candidates.remove(at))
            };
            let time = packet.and_then(|packet| self.packets.get(packet)?.time);
            let shown = match (packet, time) {
                // The first frame that is shown after it.
                (Some(packet), Some(_)) => {
                    let later =
                        |frame: &Frame| frame.packet.is_some_and(|own| own > packet && self.packets[own].time >= time);
                    let rest = &self.frames[lost.frame.min(frames)..];
                    let at = rest.iter().take(2 * MOST_REORDERED).position(later);
                    at.map_or(frames, |at| lost.frame + at)
                }
                // The lost ones before it had no frame, so this one's place is taken by another.
                (Some(packet), None) => lost.frame.max(packet.saturating_sub(before)),
                (None, _) => lost.frame + self.delay(),
            };
            marks.until_key(lost.frame, lost.frame, shown, packet);
        }
    }

    /// Pictures that the decoder complained about without a mark, and those predicted from them.
    fn mark_complaints(&self, alone: bool, marks: &mut Marks) {
        for &(index, packet) in &self.complaints {
            if alone {
                marks.alone.push(index);
                continue;
            }
            let lost = self.lost.iter().filter(|lost| lost.packet < packet).count();
            let behind = if self.in_order { packet.saturating_sub(lost) } else { index + self.delay() };
            marks.until_key(index, index, index.max(behind) + 1, self.in_order.then_some(packet));
        }
    }
}

/// Damage, put together.
struct Marks {
    /// For every frame, and the place behind the last, the first key frame from there on, or how many frames there are.
    next_key: Vec<usize>,
    /// By the key frame that ends it.
    until_key: BTreeMap<usize, Mark>,
    /// Frames by themselves.
    alone: Vec<usize>,
}

/// Frames that damage may have reached before a key frame.
struct Mark {
    /// The first that may be.
    from: usize,
    /// The first that is, if it is not known when it was decoded.
    surely: usize,
    /// The first packet decoded that may be; `None` where that does not tell.
    packet: Option<usize>,
}

impl Marks {
    /// Marks the frames shown from `from` to the first key frame from `key` on that were decoded from `packet` on. A frame
    /// of which that is not known is marked from `surely` on.
    fn until_key(&mut self, from: usize, surely: usize, key: usize, packet: Option<usize>) {
        let end = self.next_key[key.min(self.next_key.len() - 1)];
        let mark = self.until_key.entry(end).or_insert(Mark { from, surely, packet });
        mark.packet = if let (Some(one), Some(other)) = (mark.packet, packet) { Some(one.min(other)) } else { None };
        (mark.from, mark.surely) = (mark.from.min(from), mark.surely.min(surely));
    }

    /// Whether each of `frames` is damaged.
    fn frames(&self, frames: &[Frame]) -> Vec<bool> {
        let mut damaged = vec![false; frames.len()];
        for (&end, mark) in &self.until_key {
            let shown = mark.from.min(end)..end;
            for (index, frame) in shown.clone().zip(&frames[shown]) {
                damaged[index] |= match (mark.packet, frame.packet) {
                    (Some(from), Some(own)) => own >= from,
                    _ => index >= mark.surely,
                };
            }
        }
        for &index in &self.alone {
            damaged[index] = true;
        }
        damaged
    }
}

/// The runs of `true`.
fn runs(marks: &[bool]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for index in marks.iter().enumerate().filter(|(_, mark)| **mark).map(|(index, _)| index) {
        match runs.last_mut() {
            Some(run) if run.end == index => run.end += 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // runs of frames
mod tests {
    use super::*;

    /// A packet of the video, and whether its picture is a key frame (`I`), predicted (`P`) or bidirectional (`B`). Packets
    /// are given in the order of decoding, with the place in which they are shown.
    type Picture = (usize, char);

    /// Two groups of six: shown I P B B P P, decoded I P P B B P.
    const ORDER: [Picture; 12] = [
        (0, 'I'),
        (1, 'P'),
        (4, 'P'),
        (2, 'B'),
        (3, 'B'),
        (5, 'P'),
        (6, 'I'),
        (7, 'P'),
        (10, 'P'),
        (8, 'B'),
        (9, 'B'),
        (11, 'P'),
    ];

    /// What is wrong with a packet.
    #[derive(Clone, Copy, PartialEq)]
    enum Wrong {
        /// The decoder mends its picture.
        Mended,
        /// The decoder makes nothing of it.
        Lost,
        /// The decoder complains.
        Complaint,
    }

    /// The events of a program that reads one packet at a time, as version 5 does, or all of them first, as later ones may.
    /// A decoder that is two packets behind.
    fn events(major: usize, times: bool, wrong: &[(usize, Wrong)]) -> Vec<Event> {
        let time = |place: usize| times.then(|| 100 + 10 * i64::try_from(place).unwrap());
        let is = |packet: usize, what: Wrong| wrong.contains(&(packet, what));
        let mut events = vec![Event::Version { major }];
        let packet = |number: usize| {
            [Event::Read { decoded: i64::try_from(number).ok() }, Event::Packet { time: time(ORDER[number].0) }]
        };
        if major > 5 {
            events.extend((0..ORDER.len()).flat_map(packet));
        }
        let shown = |events: &mut Vec<Event>, place: usize| {
            let number = ORDER.iter().position(|&(own, _)| own == place).unwrap();
            if is(number, Wrong::Lost) {
                return;
            }
            if is(number, Wrong::Mended) {
                events.push(Event::FrameCorrupt);
            }
            let kind = ORDER[number].1;
            events.push(Event::Frame { time: time(place), key: kind == 'I', bidirectional: kind == 'B' });
        };
        for number in 0..ORDER.len() {
            if major <= 5 {
                events.extend(packet(number));
            }
            if is(number, Wrong::Complaint) || is(number, Wrong::Mended) {
                events.push(Event::Complaint);
            }
            if is(number, Wrong::Lost) {
                events.extend([Event::Complaint, Event::Lost]);
            }
            if let Some(place) = number.checked_sub(2) {
                shown(&mut events, place);
            }
        }
        for place in ORDER.len() - 2..ORDER.len() {
            shown(&mut events, place);
        }
        events
    }

    fn found(codec: &str, events: impl IntoIterator<Item = Event>) -> Findings {
        let mut survey = Survey::of(codec);
        events.into_iter().for_each(|event| survey.take(event));
        survey.findings()
    }

    #[test]
    fn damage_reaches_what_is_decoded_after_it_up_to_the_next_key_frame() {
        type Case = (&'static str, Wrong, usize, &'static [Range<usize>]);
        let cases: [Case; 8] = [
            // Shown at 4; 2 and 3 are decoded after it.
            ("h264", Wrong::Mended, 2, &[2..6]),
            ("h264", Wrong::Mended, 3, &[2..4, 5..6]),
            // Nothing is predicted from a bidirectional picture.
            ("mpeg2video", Wrong::Mended, 3, &[2..3]),
            ("mpeg2video", Wrong::Mended, 2, &[2..6]),
            ("h264", Wrong::Mended, 6, &[6..12]),
            // The picture shown at 4 is gone, and those behind it move up.
            ("h264", Wrong::Lost, 2, &[2..5]),
            ("hevc", Wrong::Complaint, 7, &[7..12]),
            // The decoder marks what it mends.
            ("h264", Wrong::Complaint, 7, &[]),
        ];
        for (codec, wrong, packet, wanted) in cases {
            for major in [5, 7] {
                let findings = found(codec, events(major, true, &[(packet, wrong)]));
                let lost = usize::from(wrong == Wrong::Lost);
                assert_eq!((findings.frames, findings.lost.len()), (12 - lost, lost));
                let what = format!("{codec}, version {major}, packet {packet}: {findings:?}");
                if major == 5 || wrong != Wrong::Complaint {
                    assert_eq!(findings.damaged, wanted, "{what}");
                } else {
                    // Which packet it was is not known: what was shown before is whole.
                    let all = findings.damaged.iter().all(|run| run.start >= packet - 2);
                    assert!(
                        all && wanted
                            .iter()
                            .flat_map(Clone::clone)
                            .all(|i| findings.damaged.iter().any(|run| run.contains(&i))),
                        "{what}"
                    );
                }
            }
        }
        assert_eq!(found("h264", events(5, true, &[])), Findings { frames: 12, ..Findings::default() });
    }

    #[test]
    fn without_times_too_much_may_be_told_and_not_too_little() {
        for (packet, wanted) in [(2, 2..6), (3, 2..6), (7, 7..12)] {
            let findings = found("h264", events(5, false, &[(packet, Wrong::Mended)]));
            let covered = wanted.clone().all(|index| findings.damaged.iter().any(|run| run.contains(&index)));
            assert!(covered, "{packet}: {:?}", findings.damaged);
            assert!(findings.damaged.iter().all(|run| run.start >= wanted.start && run.end <= wanted.end));
        }
        for major in [5, 7] {
            let findings = found("h264", events(major, false, &[(2, Wrong::Lost)]));
            assert!(findings.damaged.iter().any(|run| run.start <= 2 && run.end >= 5), "{:?}", findings.damaged);
        }
    }

    #[test]
    fn a_gap_before_a_key_frame_is_none() {
        // Behind which packet something is missing, and what is damaged.
        for (packet, wanted) in [(5_i64, &[][..]), (2, &[2..6][..]), (11, &[11..12])] {
            let mut all = events(5, true, &[]);
            let at = all.iter().position(|event| *event == Event::Read { decoded: Some(packet) }).unwrap();
            // The reader is one packet ahead.
            let at = if packet < 11 { at - 3 } else { at };
            all.splice(at..at, [Event::Incomplete { decoded: Some(packet) }, Event::PacketCorrupt]);
            assert_eq!(found("mpeg2video", all).damaged, wanted, "{packet}");
        }
    }

    #[test]
    fn pictures_that_stand_alone_are_damaged_alone() {
        let frame = |time| {
            [
                Event::Read { decoded: Some(time) },
                Event::Packet { time: Some(time) },
                Event::Frame { time: Some(time), key: true, bidirectional: false },
            ]
        };
        let with = |event: Event, at: i64| {
            (0..6).flat_map(move |time| {
                let [read, packet, frame] = frame(time);
                let wrong = (time == at).then_some(event);
                let gone = time == at && event == Event::Lost;
                [Some(read), Some(packet), wrong, (!gone).then_some(frame)].into_iter().flatten()
            })
        };
        assert_eq!(found("mjpeg", with(Event::Complaint, 3)).damaged, [3..4]);
        assert_eq!(found("mjpeg", with(Event::FrameCorrupt, 3)).damaged, [3..4]);
        let lost = found("mjpeg", with(Event::Lost, 3));
        assert_eq!((lost.frames, lost.damaged, lost.lost), (5, vec![], vec![3]));
        let doubtful = found("mjpeg", with(Event::Doubt, 3));
        assert_eq!((doubtful.damaged, doubtful.doubtful), (vec![], vec![3]));
        // A camera that always does so.
        assert_eq!(found("mjpeg", with(Event::Doubt, 0)).doubtful, [0; 0]);
        assert!(found("mjpeg", with(Event::Size([6, 4]), 3)).sizes.is_empty());
    }
}
