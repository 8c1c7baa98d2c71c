//! Finds the damaged frames of a video.
//!
//! `ffmpeg` logs the packets that it reads, the frames that the decoder returns, and errors. A picture is damaged if
//! the decoder concealed errors in it, or if it is predicted from a picture that was concealed or lost. The log does
//! not show which picture is predicted from which, so every frame that is decoded after the damage and shown before the
//! next key frame counts as damaged. Decoding is assumed to be able to start at key frames.
//!
//! Damage that the decoder does not notice is not found: single bits that still decode, and much of the damage to HEVC,
//! VP9, AV1 and the like, whose data have hardly any redundancy.

mod marks;
#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // ranges of frames
mod tests;

use std::collections::HashMap;
use std::ops::Range;

use self::marks::{Marks, ranges};
use super::log::Event;

/// The maximum distance between the positions of a picture in decoding order and in display order.
pub(super) const MOST_REORDERED: usize = 32;

/// Codecs whose decoder marks every picture with concealed errors, so that its other complaints can be ignored.
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

/// The events of a video so far.
#[derive(Debug, Default)]
pub(super) struct Survey {
    codec: String,
    /// Whether the lines about packets and frames are in the order of the events.
    in_order: bool,
    packets: Vec<Packet>,
    frames: Vec<Frame>,
    /// Packets without a frame so far, by time.
    waiting: HashMap<i64, usize>,
    /// The packets before or after which something is missing.
    faults: Vec<Fault>,
    lost: Vec<Lost>,
    /// For each complaint of the decoder, the next frame and the last packet that was read.
    complaints: Vec<(usize, usize)>,
    /// The frames at which the size changes, with the size.
    sizes: Vec<(usize, [usize; 2])>,
    // The state since the last packet or frame.
    read: Option<i64>,
    incomplete: Option<i64>,
    mended: bool,
    doubted: bool,
    complained: Option<usize>,
}

#[derive(Debug)]
struct Packet {
    /// The decoding time in the file.
    decoded: Option<i64>,
    /// The presentation time for the decoder.
    time: Option<i64>,
    /// The frame of the packet, if its time identifies it.
    frame: Option<usize>,
}

#[derive(Debug)]
struct Frame {
    key: bool,
    bidirectional: bool,
    /// The packet of the frame, if its time identifies it.
    packet: Option<usize>,
    mended: bool,
    doubted: bool,
}

/// Missing data around the packet that was read next. A reader that splits packets may be one packet ahead.
#[derive(Debug)]
enum Fault {
    /// A part of the packet with this time, or something after it.
    Incomplete { next: usize, decoded: Option<i64> },
    /// Something before or after the packet. `frame` is the next frame at that time.
    Gap { next: usize, frame: usize },
}

/// A packet that could not be decoded.
#[derive(Debug)]
struct Lost {
    /// The next frame at that time.
    frame: usize,
    /// The last packet that was read.
    packet: usize,
}

/// The result of a survey. Frames are counted from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// The number of frames.
    pub(super) frames: usize,
    /// The ranges of damaged frames.
    pub(super) damaged: Vec<Range<usize>>,
    /// Frames that may be damaged.
    pub(super) doubtful: Vec<usize>,
    /// The frames before which pictures were lost.
    pub(super) lost: Vec<usize>,
    /// The frames before which the file could not be read, as far as is known.
    pub(super) gaps: Vec<usize>,
    /// Whether every frame is a key frame, so that none is predicted from another.
    pub(super) stand_alone: bool,
    /// The frames at which the size changes, with the new size.
    pub(super) sizes: Vec<(usize, [usize; 2])>,
}

impl Survey {
    pub(super) fn of(codec: &str) -> Self {
        Self { codec: codec.to_owned(), ..Self::default() }
    }

    /// The number of frames so far.
    pub(super) fn count(&self) -> usize {
        self.frames.len()
    }

    /// Processes the next event.
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
            // Before the first packet, the reader only probes the file.
            Event::PassedOver if self.packets.is_empty() => {}
            Event::PassedOver => {
                self.faults.push(Fault::Gap { next: self.packets.len(), frame: self.frames.len() });
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

    /// The findings from the events so far.
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
        // If even the first frame is doubted, the reason is the program that wrote the file.
        let habit = self.frames.first().is_some_and(|frame| frame.doubted);
        let doubtful = |&(index, frame): &(usize, &Frame)| frame.doubted && !habit && !damaged[index];
        Findings {
            frames: self.frames.len(),
            doubtful: self.frames.iter().enumerate().filter(doubtful).map(|(index, _)| index).collect(),
            lost: self.lost.iter().map(|lost| lost.frame).collect(),
            gaps: self.gaps(),
            stand_alone: every_frame_is_key,
            sizes: self.sizes.iter().skip(1).copied().collect(),
            damaged: ranges(&damaged),
        }
    }

    /// The maximum number of frames that are decoded ahead of the shown frame, as far as is known.
    fn delay(&self) -> usize {
        let by_packet = self.frames.iter().enumerate().filter_map(|(index, frame)| index.checked_sub(frame.packet?));
        let lengths = self.frames.chunk_by(|a, b| a.bidirectional == b.bidirectional).map(<[_]>::len);
        let longest = lengths.max().unwrap_or(0).min(MOST_REORDERED / 2);
        by_packet.max().unwrap_or(longest).min(MOST_REORDERED) + 1
    }

    /// Marks pictures with concealed errors, and those predicted from them.
    fn mark_mended(&self, alone: bool, marks: &mut Marks) {
        let plain = PLAIN_BIDIRECTIONAL.contains(&self.codec.as_str());
        for (index, frame) in self.frames.iter().enumerate().filter(|(_, frame)| frame.mended) {
            marks.alone(index);
            if alone || plain && frame.bidirectional {
                continue;
            }
            // A bidirectional picture is shown before one of the pictures that it is predicted from, and decoded after
            // it.
            let before = match frame.packet {
                Some(_) => index.min(MOST_REORDERED),
                None => self.frames[..index].iter().rev().take_while(|frame| frame.bidirectional).count(),
            };
            let from = index - before;
            marks.until_key(from, if frame.packet.is_some() { index } else { from }, index + 1, frame.packet);
        }
    }

    /// The frame of a packet, if its time identifies it.
    fn frame_of(&self, packet: usize) -> Option<usize> {
        self.packets.get(packet)?.frame
    }

    /// The decoding time of a packet.
    fn decoded(&self, packet: usize) -> Option<i64> {
        self.packets.get(packet)?.decoded
    }

    /// The first packet after a gap that was reported when packet `next` was to come: this packet, or the one after it
    /// if the reader was one packet ahead.
    fn after_gap(&self, next: usize) -> usize {
        let step = |packet: usize| self.decoded(packet)?.checked_sub(self.decoded(packet.checked_sub(1)?)?);
        if step(next + 1) > step(next) { next + 1 } else { next }
    }

    /// The frames before which the file could not be read. The number of lost pictures is unknown.
    fn gaps(&self) -> Vec<usize> {
        let mut gaps = Vec::new();
        for fault in &self.faults {
            if let Fault::Gap { next, frame } = *fault {
                let packet = self.after_gap(next);
                let end = packet >= self.packets.len();
                gaps.push(if end { self.frames.len() } else { self.frame_of(packet).unwrap_or(frame) });
            }
        }
        gaps.sort_unstable();
        gaps.dedup();
        gaps
    }

    /// Marks pictures that are predicted from missing data, or that are incomplete without a report of the decoder.
    /// Successive recordings in a file are not faults: each begins with a key frame, and nothing is missing between
    /// them.
    fn mark_after_faults(&self, alone: bool, marks: &mut Marks) {
        let frame_of = |packet| self.frame_of(packet);
        let is_key = |packet| frame_of(packet).is_some_and(|index| self.frames[index].key);
        let decoded = |packet| self.decoded(packet);
        let codec = self.codec.as_str();
        let silent = !MARKING.contains(&codec) && codec != "mjpeg";
        for fault in &self.faults {
            // The first affected packet, and the packet that ends the damage if it is a key frame.
            let (packet, next_packet) = match *fault {
                Fault::Incomplete { next, decoded: wanted } => {
                    let here = (next..next + 3).find(|&packet| wanted.is_some() && decoded(packet) == wanted);
                    let packet = here.unwrap_or(next);
                    if packet + 1 >= self.packets.len() {
                        // The last packet of a truncated file. Without a known time, its frame is the last one.
                        let last = frame_of(packet).or_else(|| self.frames.len().checked_sub(1));
                        let is_lost = self.lost.last().is_some_and(|lost| lost.packet >= packet);
                        if let Some(last) = last.filter(|_| !is_lost) {
                            marks.alone(last);
                        }
                        continue;
                    }
                    // Or another recording begins here.
                    let begins_recording = packet > 0 && is_key(packet) && decoded(packet) <= decoded(packet - 1);
                    (packet, if begins_recording { packet } else { packet + 1 })
                }
                Fault::Gap { next, .. } => {
                    let gap = self.after_gap(next);
                    // The packet before a gap may be incomplete, which not every decoder reports.
                    if silent && let Some(index) = gap.checked_sub(1).and_then(frame_of) {
                        if alone {
                            marks.alone(index);
                        } else {
                            marks.until_key(index, index, index + 1, Some(gap - 1));
                        }
                    }
                    (gap, gap)
                }
            };
            if alone || is_key(next_packet) {
                continue;
            }
            if let Some(index) = frame_of(packet) {
                // It is unknown what is missing, so only a key frame that was decoded later ends the damage.
                let earlier = |frame: &Frame| !frame.key || frame.packet.is_none_or(|decoded| decoded <= packet);
                let key = index + self.frames[index..].iter().take_while(|frame| earlier(frame)).count();
                marks.until_key(index.saturating_sub(MOST_REORDERED), index, key, Some(packet));
            }
        }
    }

    /// Marks pictures that are predicted from lost ones.
    fn mark_after_lost(&self, marks: &mut Marks) {
        let (frames, delay) = (self.frames.len(), self.delay());
        let mut candidates: Vec<usize> = self.waiting.values().copied().collect();
        candidates.sort_unstable();
        for (before, lost) in self.lost.iter().enumerate() {
            let packet = if self.in_order {
                Some(lost.packet)
            } else {
                // The decoder lags behind the reader by some packets: the lost packet is the first without a frame.
                let near = lost.frame..=lost.frame + before + delay;
                candidates.iter().position(|packet| near.contains(packet)).map(|at| candidates.remove(at))
            };
            let time = packet.and_then(|packet| self.packets.get(packet)?.time);
            let shown = match (packet, time) {
                // The first frame that is shown after the lost picture.
                (Some(packet), Some(_)) => {
                    let later = |frame: &Frame| {
                        frame.packet.is_some_and(|decoded| decoded > packet && self.packets[decoded].time >= time)
                    };
                    let rest = &self.frames[lost.frame.min(frames)..];
                    let at = rest.iter().take(2 * MOST_REORDERED).position(later);
                    at.map_or(frames, |at| lost.frame + at)
                }
                // Earlier lost packets have no frame, so the frames after them move up.
                (Some(packet), None) => lost.frame.max(packet.saturating_sub(before)),
                (None, _) => lost.frame + delay,
            };
            marks.until_key(lost.frame, lost.frame, shown, packet);
        }
    }

    /// Marks pictures that the decoder complained about without marking them, and those predicted from them.
    fn mark_complaints(&self, alone: bool, marks: &mut Marks) {
        let delay = self.delay();
        for &(index, packet) in &self.complaints {
            if alone {
                marks.alone(index);
                continue;
            }
            let lost = self.lost.partition_point(|lost| lost.packet < packet);
            let latest = if self.in_order { packet.saturating_sub(lost) } else { index + delay };
            marks.until_key(index, index, index.max(latest) + 1, self.in_order.then_some(packet));
        }
    }
}
