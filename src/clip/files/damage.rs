//! Damaged pictures of a video: how they are handled and reported.

use crate::named::named;
use std::fmt;
use std::ops::Range;

/// How damaged pictures of a video are handled.
///
/// A picture is damaged if a part of it differs from the original: its data are broken, or it is predicted from a
/// damaged picture. The decoder fills the broken part with a guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamagePolicy {
    /// A damaged picture among the used frames is an error.
    #[default]
    Error,
    /// Damaged pictures are used in their places.
    Keep,
    /// Damaged pictures are left out, and [`FrameSelection`](super::FrameSelection) counts the others.
    Drop,
}

named!(DamagePolicy, "policy for damage": Error => "error", Keep => "keep", Drop => "drop");

/// The damage of one video. Frames are counted from 0 in the order of the decoder's output.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Damage {
    /// Name of the video.
    pub input: String,
    /// The number of examined frames: all, or those up to the last one that was needed.
    pub looked_at: usize,
    /// The first and the last frame of each range of damaged frames.
    pub frames: Vec<[usize; 2]>,
    /// For each picture that could not be decoded at all, the frame that follows it.
    pub lost: Vec<usize>,
    /// The frames that follow a part of the file that could not be read, as far as is known. Any number of pictures may
    /// be missing there.
    pub gaps: Vec<usize>,
    /// Whether the video ends too early.
    pub cut_off: bool,
    /// Whether the damaged frames were left out.
    pub dropped: bool,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.frames.is_empty() {
            let what = if self.dropped { "left out" } else { "in their places" };
            let ranges = describe(&self.frames.iter().map(|&[first, last]| first..last + 1).collect::<Vec<_>>());
            parts.push(format!("damaged, and {what}: {ranges} of {}, counted from 0", self.looked_at));
        }
        if !self.lost.is_empty() {
            parts.push(gone(&self.lost));
        }
        if !self.gaps.is_empty() {
            parts.push(unread(&self.gaps));
        }
        if self.cut_off {
            parts.push("the video ends too early".to_owned());
        }
        write!(f, "{}: {}", self.input, parts.join("; "))
    }
}

/// The number of pictures that could not be decoded, and the frames that follow them, as text.
pub(super) fn gone(lost: &[usize]) -> String {
    let mut places: Vec<Range<usize>> = lost.iter().map(|&frame| frame..frame + 1).collect();
    places.dedup();
    let noun = if lost.len() == 1 { "picture" } else { "pictures" };
    format!("{} {noun} could not be decoded, before {}", lost.len(), describe(&places))
}

/// The frames that follow unreadable parts of the file, as text.
pub(super) fn unread(gaps: &[usize]) -> String {
    let places: Vec<Range<usize>> = gaps.iter().map(|&frame| frame..frame + 1).collect();
    format!("part of the file could not be read, before {}", describe(&places))
}

/// Ranges of frames as text, for example `frames 3 to 7, 9`, limited to a few ranges.
pub(super) fn describe(ranges: &[Range<usize>]) -> String {
    const MOST: usize = 8;
    let one = |range: &Range<usize>| match range.len() {
        1 => range.start.to_string(),
        _ => format!("{} to {}", range.start, range.end - 1),
    };
    let shown: Vec<String> = ranges.iter().take(MOST).map(one).collect();
    let noun = if ranges.len() == 1 && ranges[0].len() == 1 { "frame" } else { "frames" };
    let more = if ranges.len() > MOST { format!(" and {} more ranges", ranges.len() - MOST) } else { String::new() };
    format!("{noun} {}{more}", shown.join(", "))
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // ranges of frames
mod tests {
    use super::*;

    #[test]
    fn damage_is_described_as_text() {
        assert_eq!(describe(&[3..4]), "frame 3");
        assert_eq!(describe(&[3..8, 9..10]), "frames 3 to 7, 9");
        let many: Vec<_> = (0..10).map(|i| 3 * i..3 * i + 1).collect();
        assert_eq!(describe(&many), "frames 0, 3, 6, 9, 12, 15, 18, 21 and 2 more ranges");
        let damage = Damage {
            input: "a.ts".to_owned(),
            looked_at: 24,
            frames: vec![[11, 14]],
            lost: vec![12],
            gaps: vec![20],
            cut_off: true,
            dropped: true,
        };
        assert_eq!(
            damage.to_string(),
            "a.ts: damaged, and left out: frames 11 to 14 of 24, counted from 0; 1 picture could not be decoded, \
             before frame 12; part of the file could not be read, before frame 20; the video ends too early"
        );
    }
}
