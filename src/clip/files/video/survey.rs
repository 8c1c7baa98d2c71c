//! Which frames of a video are damaged.
//!
//! `ffmpeg` says which packets it reads, which frames the decoder gives, and where something is wrong. A picture is
//! damaged if the decoder had to mend it, or if it is predicted from one that was mended or lost. Which ones those are is
//! not said, so all count that are decoded after the damage and shown before the next key frame. Key frames are taken for
//! points from which decoding can start.
//!
//! Not seen is damage that the decoder does not notice: single bits that still make sense, and much of what happens to
//! HEVC, VP9, AV1 and the like, whose data have hardly any redundancy.

mod marks;
#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // runs of frames
mod tests;

use std::collections::HashMap;
use std::ops::Range;

use self::marks::{Marks, runs};
use super::log::Event;

/// How far apart a picture is shown and decoded, at most, in pictures.
pub(super) const MOST_REORDERED: usize = 32;

/// Codecs whose decoder marks every picture that it had to mend, so that other complaints of it may be passed over.
pub(super) const MARKING: [&str; 12] = [
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
    /// Something before or behind the packet. Also the frame that was awaited.
    Gap { next: usize, awaited: usize },
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
    /// Before which frames, as far as can be told, the file could not be read.
    pub(super) gaps: Vec<usize>,
    /// Whether every frame is a key frame, so that none is predicted from another.
    pub(super) stand_alone: bool,
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
            Event::PassedOver => {
                self.faults.push(Fault::Gap { next: self.packets.len(), awaited: self.frames.len() });
            }
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
        let mut marks = Marks::of(&self.frames);
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
            frames: self.frames.len(),
            doubtful: self.frames.iter().enumerate().filter(doubtful).map(|(index, _)| index).collect(),
            lost: self.lost.iter().map(|lost| lost.frame).collect(),
            gaps: self.gaps(),
            stand_alone: every_frame_is_key,
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
            marks.alone(index);
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

    /// The frame that a packet became, where its time tells.
    fn made_of(&self, packet: usize) -> Option<usize> {
        self.packets.get(packet)?.frame
    }

    /// When a packet is to be decoded.
    fn decoded(&self, packet: usize) -> Option<i64> {
        self.packets.get(packet)?.decoded
    }

    /// The first packet behind a gap that was seen before packet `next`, or the one after it was read.
    fn behind_gap(&self, next: usize) -> usize {
        let step = |packet: usize| self.decoded(packet)?.checked_sub(self.decoded(packet.checked_sub(1)?)?);
        if step(next + 1) > step(next) { next + 1 } else { next }
    }

    /// Before which frames the file could not be read. How many pictures that has cost nobody knows.
    fn gaps(&self) -> Vec<usize> {
        let mut gaps = Vec::new();
        for fault in &self.faults {
            if let Fault::Gap { next, awaited } = *fault {
                let packet = self.behind_gap(next);
                let end = packet >= self.packets.len();
                gaps.push(if end { self.frames.len() } else { self.made_of(packet).unwrap_or(awaited) });
            }
        }
        gaps.sort_unstable();
        gaps.dedup();
        gaps
    }

    /// Pictures predicted from what is missing, or incomplete without the decoder's notice. Recordings behind one another
    /// are no fault: they begin with a key frame, and nothing is missing in between.
    fn mark_after_faults(&self, alone: bool, marks: &mut Marks) {
        let made_of = |packet| self.made_of(packet);
        let is_key = |packet| made_of(packet).is_some_and(|index| self.frames[index].key);
        let decoded = |packet| self.decoded(packet);
        let codec = self.codec.as_str();
        let silent = !MARKING.contains(&codec) && codec != "mjpeg";
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
                        if let Some(last) = last.filter(|_| !became_none) {
                            marks.alone(last);
                        }
                        continue;
                    }
                    // A recording behind another one may begin here as well.
                    let anew = packet > 0 && is_key(packet) && decoded(packet) <= decoded(packet - 1);
                    (packet, if anew { packet } else { packet + 1 })
                }
                Fault::Gap { next, .. } => {
                    let gap = self.behind_gap(next);
                    // What begins before a hole may end in it, and not every decoder would notice.
                    if silent && let Some(index) = gap.checked_sub(1).and_then(made_of) {
                        if alone {
                            marks.alone(index);
                        } else {
                            marks.until_key(index, index, index + 1, Some(gap - 1));
                        }
                    }
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
        let (frames, delay) = (self.frames.len(), self.delay());
        let mut candidates: Vec<usize> = self.waiting.values().copied().collect();
        candidates.sort_unstable();
        for (before, lost) in self.lost.iter().enumerate() {
            let packet = if self.in_order {
                Some(lost.packet)
            } else {
                // The decoder was some packets behind, or the reader ahead: the first without a frame is the one.
                let near = lost.frame..=lost.frame + before + delay;
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
                (None, _) => lost.frame + delay,
            };
            marks.until_key(lost.frame, lost.frame, shown, packet);
        }
    }

    /// Pictures that the decoder complained about without a mark, and those predicted from them.
    fn mark_complaints(&self, alone: bool, marks: &mut Marks) {
        let delay = self.delay();
        for &(index, packet) in &self.complaints {
            if alone {
                marks.alone(index);
                continue;
            }
            let lost = self.lost.partition_point(|lost| lost.packet < packet);
            let behind = if self.in_order { packet.saturating_sub(lost) } else { index + delay };
            marks.until_key(index, index, index.max(behind) + 1, self.in_order.then_some(packet));
        }
    }
}
