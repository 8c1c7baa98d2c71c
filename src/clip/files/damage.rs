//! What becomes of damaged pictures of a video, and what was damaged.

use crate::named::named;
use std::fmt;
use std::ops::Range;

/// What becomes of the damaged pictures of a video.
///
/// A picture is damaged if part of it is not what the file once held: its own data are broken, or a picture that it is
/// predicted from is. What is handed out in place of the broken part is the decoder's guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamagePolicy {
    /// They are an error, if any of them is among the frames taken.
    #[default]
    Error,
    /// They are handed out in their places.
    Keep,
    /// They are left out; [`FrameSelection`](super::FrameSelection) counts the frames that are left.
    Drop,
}

named!(DamagePolicy, "policy for damage": Error => "error", Keep => "keep", Drop => "drop");

/// What was damaged in one video. Frames are counted from 0, as the decoder hands them out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Damage {
    /// The video.
    pub input: String,
    /// How many frames of it were looked at: all, or those up to the last one that was needed.
    pub looked_at: usize,
    /// The first and the last of each run of damaged frames.
    pub frames: Vec<[usize; 2]>,
    /// For each picture that could not be decoded at all, the frame before which it was lost.
    pub lost: Vec<usize>,
    /// The frames before which, as far as can be told, the file could not be read, so that any number of pictures may be
    /// missing.
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
            let runs = runs(&self.frames.iter().map(|&[first, last]| first..last + 1).collect::<Vec<_>>());
            parts.push(format!("damaged, and {what}: {runs} of {}, counted from 0", self.looked_at));
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

/// How many pictures could not be decoded, and before which frames.
pub(super) fn gone(lost: &[usize]) -> String {
    let mut places: Vec<Range<usize>> = lost.iter().map(|&frame| frame..frame + 1).collect();
    places.dedup();
    let noun = if lost.len() == 1 { "picture" } else { "pictures" };
    format!("{} {noun} could not be decoded, before {}", lost.len(), runs(&places))
}

/// Before which frames the file could not be read.
pub(super) fn unread(gaps: &[usize]) -> String {
    let places: Vec<Range<usize>> = gaps.iter().map(|&frame| frame..frame + 1).collect();
    format!("part of the file could not be read, before {}", runs(&places))
}

/// `frame 3`, `frames 3 to 7, 9`, and no more than a few of them.
pub(super) fn runs(runs: &[Range<usize>]) -> String {
    const MOST: usize = 8;
    let one = |run: &Range<usize>| match run.len() {
        1 => run.start.to_string(),
        _ => format!("{} to {}", run.start, run.end - 1),
    };
    let told: Vec<String> = runs.iter().take(MOST).map(one).collect();
    let noun = if runs.len() == 1 && runs[0].len() == 1 { "frame" } else { "frames" };
    let more = if runs.len() > MOST { format!(" and {} more runs of them", runs.len() - MOST) } else { String::new() };
    format!("{noun} {}{more}", told.join(", "))
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // runs of frames
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_in_words() {
        assert_eq!(runs(&[3..4]), "frame 3");
        assert_eq!(runs(&[3..8, 9..10]), "frames 3 to 7, 9");
        let many: Vec<_> = (0..10).map(|i| 3 * i..3 * i + 1).collect();
        assert_eq!(runs(&many), "frames 0, 3, 6, 9, 12, 15, 18, 21 and 2 more runs of them");
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
            "a.ts: damaged, and left out: frames 11 to 14 of 24, counted from 0; 1 picture could not be decoded, before \
             frame 12; part of the file could not be read, before frame 20; the video ends too early"
        );
    }
}
