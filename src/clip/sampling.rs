//! Which frames of an input make a clip for weights of video networks, as their projects take them.
//!
//! A project trains on so many frames, so far apart, of videos of some frame rate, and tests on several clips of a video.
//! What an input lacks each of them fills up in its own way; here that is always said, see [`Sampled::short`].

use crate::error::{ErrorRepr, Result};
use serde::{Deserialize, Serialize};

/// The most frames of a clip, and the largest step between them: a file may ask for any number.
const MOST: usize = 1 << 20;

/// The most frames of all clips of an input together.
const MOST_IN_ALL: usize = 1 << 24;

/// How a project takes the frames of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// Successive frames of the input as it would be at [`Sampling::fps`] (torchvision `datasets/video_utils.py`
    /// `VideoClips`). Several clips lie from the beginning to the end. The last frame is repeated where the input is short,
    /// of which torchvision takes no clip at all.
    Resampled,
    /// Evenly spread over the span, rounded down; the last frame is repeated where the input is short (PySlowFast
    /// `datasets/decoder.py`). Several clips are as far apart as if there were one more at the end.
    Spread,
    /// Evenly spread over those frames of the span that there are, rounded down (PyTorchVideo `UniformTemporalSubsample` of
    /// clips by `ConstantClipsPerVideoSampler`). Several clips lie from the beginning to the end.
    Subsampled,
    /// Every so many-th frame, again from the beginning where the input is short (mmaction2 `SampleFrames`). Several clips lie
    /// from the beginning to the end.
    Strided,
    /// Successive frames, the clip's own again from its first where the input is short (Hara's `temporal_transforms.py`). All
    /// clips of an input lie behind one another; a given number of them is spread.
    Windows,
}

impl Rule {
    /// What becomes of an input that is too short, in a few words.
    pub fn filled_up(self) -> &'static str {
        match self {
            Self::Resampled | Self::Spread => "its last frame is repeated",
            Self::Subsampled => "they are taken closer together",
            Self::Strided => "they are taken again from the beginning",
            Self::Windows => "the clip is repeated from its first frame on",
        }
    }
}

/// Which frames of an input make a clip, and of how many clips and crops the scores are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
#[non_exhaustive]
pub struct Sampling {
    /// How many frames a clip has.
    pub frames: usize,
    /// How far one is from the next, in frames of an input of [`Sampling::fps`].
    pub step: usize,
    /// The frame rate that the steps are of, in frames a second; `None` where they count the frames that there are, whatever
    /// their rate. They do so as well where the input has no rate.
    pub fps: Option<u32>,
    /// How they are taken.
    pub rule: Rule,
    /// How many clips of an input its project tests on; `None` where that is all that lie behind one another.
    pub clips: Option<usize>,
    /// How many squares of every frame it tests on: 1, the middle, or 3, along the longer side.
    pub crops: usize,
    /// The side of each of several squares, in pixels; `None` where that is [`Preprocess::crop`].
    ///
    /// [`Preprocess::crop`]: crate::clip::preprocess::Preprocess::crop
    pub crop: Option<usize>,
    /// The frame to begin with, counted from 0; `None` takes one clip from the middle.
    #[serde(skip)]
    pub start: Option<usize>,
    /// Whether somebody asked for these very frames: an input with fewer is an error then, and so is a ready clip.
    #[serde(skip)]
    pub exact: bool,
}

/// The frames of an input that were chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sampled {
    /// The frames of each clip, by their number, counted from 0.
    pub clips: Vec<Vec<usize>>,
    /// Whether the input is shorter than a clip should span, so that frames are repeated or closer together.
    pub short: bool,
}

impl Sampling {
    /// One clip of so many frames, so far apart at `fps`.
    pub const fn new(frames: usize, step: usize, fps: Option<u32>, rule: Rule) -> Self {
        Self { frames, step, fps, rule, clips: Some(1), crops: 1, crop: None, start: None, exact: false }
    }

    /// Sets [`Sampling::clips`](field@Sampling::clips).
    pub fn clips(self, clips: impl Into<Option<usize>>) -> Self {
        Self { clips: clips.into(), ..self }
    }

    /// Sets [`Sampling::crops`](field@Sampling::crops).
    pub fn crops(self, crops: usize) -> Self {
        Self { crops, ..self }
    }

    /// Sets [`Sampling::crop`](field@Sampling::crop).
    pub fn crop(self, crop: impl Into<Option<usize>>) -> Self {
        Self { crop: crop.into(), ..self }
    }

    /// Sets [`Sampling::start`](field@Sampling::start).
    pub fn start(self, start: impl Into<Option<usize>>) -> Self {
        Self { start: start.into(), ..self }
    }

    /// Sets [`Sampling::exact`](field@Sampling::exact).
    pub fn exact(self, exact: bool) -> Self {
        Self { exact, ..self }
    }

    /// In a few words, for example `8 frames, 8 apart at 30 fps`.
    pub fn describe(&self) -> String {
        let apart = if self.step == 1 { "successive".to_owned() } else { format!("{} apart", self.step) };
        let rate = self.fps.map(|fps| format!(" at {fps} fps")).unwrap_or_default();
        format!("{} frames, {apart}{rate}", self.frames)
    }

    /// Refuses what can take nothing, and what nobody can have meant.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) for a number of frames, a step, a rate or a number of clips of zero
    /// or beyond 2^20, and for other numbers of crops than 1 and 3.
    pub fn checked(&self) -> Result<()> {
        let numbers = [
            ("number of frames", Some(self.frames)),
            ("step between frames", Some(self.step)),
            ("frame rate", self.fps.map(|fps| fps as usize)),
            ("number of clips", self.clips),
            ("side of crops", self.crop),
        ];
        for (name, value) in numbers {
            if let Some(value) = value.filter(|value| !(1..=MOST).contains(value)) {
                return Err(
                    ErrorRepr::Clip { wanted: format!("a {name} from 1 to {MOST}"), given: value.to_string() }.into()
                );
            }
        }
        if !matches!(self.crops, 1 | 3) {
            return Err(ErrorRepr::Clip { wanted: "1 or 3 crops".to_owned(), given: self.crops.to_string() }.into());
        }
        Ok(())
    }

    /// One clip: from [`Sampling::start`] on, else from the middle. `input` names what has `there` frames, at `rate` a second
    /// where that is known.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if there are no frames from the start on, or fewer than were asked
    /// for; otherwise as [`Sampling::checked`].
    pub fn one(&self, input: &str, there: usize, rate: Option<f64>) -> Result<Sampled> {
        self.take(input, there, rate, Some(1))
    }

    /// As many clips as [`Sampling::clips`] says, from [`Sampling::start`] on.
    ///
    /// # Errors
    /// As [`Sampling::one`]; [`ErrorKind::Size`](crate::ErrorKind::Size) if they are more than 2^24 frames together.
    pub fn several(&self, input: &str, there: usize, rate: Option<f64>) -> Result<Sampled> {
        self.take(input, there, rate, self.clips)
    }

    fn take(&self, input: &str, there: usize, rate: Option<f64>, clips: Option<usize>) -> Result<Sampled> {
        self.checked()?;
        let start = self.start.unwrap_or(0);
        let Some(rest) = there.checked_sub(start).filter(|&rest| rest > 0) else {
            return Err(ErrorRepr::Clip {
                wanted: format!("frames from frame {start} on"),
                given: format!("{there} frames in {input}, counted from 0"),
            }
            .into());
        };
        // Frames of the input for one of those that the steps count.
        let scale = match (self.fps, rate) {
            (Some(fps), Some(rate)) if rate.is_finite() && rate > 0.0 => rate / f64::from(fps),
            _ => 1.0,
        };
        let span = self.span(scale);
        let short = (rest as f64) < span;
        if short && self.exact {
            let from = if start == 0 { String::new() } else { format!(" from frame {start} on") };
            return Err(ErrorRepr::Clip {
                wanted: format!("{}, for which it takes {} frames{from}", self.describe(), span.ceil()),
                given: format!("{there} frames in {input}, counted from 0"),
            }
            .into());
        }
        let from_middle = self.start.is_none();
        let count = clips.unwrap_or_else(|| rest.div_ceil(self.frames));
        if count.saturating_mul(self.frames) > MOST_IN_ALL {
            return Err(ErrorRepr::Size {
                what: format!("the clips of {input}"),
                reason: format!("{count} clips of {} frames are more than 2^24 frames; ask for fewer", self.frames),
            }
            .into());
        }
        let mut taken = match self.rule {
            Rule::Resampled => self.resampled(rest, scale, count, from_middle),
            Rule::Spread => self.spread(rest, scale, count, from_middle),
            Rule::Subsampled => self.subsampled(rest, scale, count, from_middle),
            Rule::Strided => self.strided(rest, scale, count, from_middle),
            Rule::Windows => self.windows(rest, clips, from_middle),
        };
        taken.iter_mut().flatten().for_each(|index| *index += start);
        Ok(Sampled { clips: taken, short })
    }

    /// How many frames of the input a clip needs, not rounded.
    fn span(&self, scale: f64) -> f64 {
        let (frames, step) = (self.frames as f64, self.step as f64);
        match self.rule {
            // So that the last one is there.
            Rule::Resampled | Rule::Strided | Rule::Windows => ((frames - 1.0) * step * scale).floor() + 1.0,
            Rule::Spread | Rule::Subsampled => frames * step * scale,
        }
    }

    /// Where the clips begin that `most` places, counted from 0, allow: one in the middle, or several from the first place
    /// to the last.
    fn places(most: f64, count: usize, from_middle: bool) -> impl Iterator<Item = f64> {
        let last = (count - 1).max(1) as f64;
        let one = if from_middle { (most / 2.0).floor() } else { 0.0 };
        (0..count).map(move |clip| if count == 1 { one } else { most * clip as f64 / last })
    }

    fn resampled(&self, there: usize, scale: f64, count: usize, from_middle: bool) -> Vec<Vec<usize>> {
        // A rate that divides the input's takes every so many-th frame, else so many as there is time for.
        let length = there as f64 / scale;
        let length = if scale.fract() == 0.0 { length.ceil() } else { length.floor() };
        let most = (length - ((self.frames - 1) * self.step + 1) as f64).max(0.0);
        let clip = |place: f64| {
            let frame = |index: usize| ((place.floor() + (index * self.step) as f64) * scale) as usize;
            (0..self.frames).map(|index| frame(index).min(there - 1)).collect()
        };
        Self::places(most, count, from_middle).map(clip).collect()
    }

    fn spread(&self, there: usize, scale: f64, count: usize, from_middle: bool) -> Vec<Vec<usize>> {
        let span = self.span(scale);
        let most = (there as f64 - span).max(0.0);
        let place = |clip: usize| match count {
            1 if from_middle => (most / 2.0).floor(),
            _ => most * clip as f64 / count as f64,
        };
        let clip = |place: f64| line(place, place + span - 1.0, self.frames).map(|at| (at as usize).min(there - 1));
        (0..count).map(|index| clip(place(index)).collect()).collect()
    }

    fn subsampled(&self, there: usize, scale: f64, count: usize, from_middle: bool) -> Vec<Vec<usize>> {
        let span = self.span(scale);
        let clip = |place: f64| {
            // The frames whose time is within.
            let first = (place.ceil() as usize).min(there - 1);
            let end = ((place + span).ceil() as usize).clamp(first + 1, there);
            line(0.0, (end - first - 1) as f64, self.frames).map(|at| first + at as usize).collect()
        };
        Self::places((there as f64 - span).max(0.0), count, from_middle).map(clip).collect()
    }

    fn strided(&self, there: usize, scale: f64, count: usize, from_middle: bool) -> Vec<Vec<usize>> {
        let most = (there as f64 - self.span(scale)).max(0.0);
        let clip = |place: f64| {
            let frame = |index: usize| place.round_ties_even() + ((index * self.step) as f64 * scale).floor();
            (0..self.frames).map(|index| frame(index) as usize % there).collect()
        };
        Self::places(most, count, from_middle).map(clip).collect()
    }

    fn windows(&self, there: usize, clips: Option<usize>, from_middle: bool) -> Vec<Vec<usize>> {
        let window = |begin: usize| -> Vec<usize> {
            let length = self.frames.min(there - begin);
            (0..self.frames).map(|index| begin + index % length).collect()
        };
        match clips {
            Some(1) if from_middle => vec![window((there / 2).saturating_sub(self.frames / 2))],
            Some(1) => vec![window(0)],
            Some(count) => {
                let stride = (there.saturating_sub(1 + self.frames)).div_ceil(count - 1).max(1);
                // The first one that lacks frames is the last one.
                let whole = |begin: usize| begin + self.frames <= there;
                let begins: Vec<usize> = (0..there).step_by(stride).take(count).collect();
                let end = begins.iter().position(|&begin| !whole(begin)).map_or(begins.len(), |at| at + 1);
                begins[..end].iter().map(|&begin| window(begin)).collect()
            }
            None => (0..there).step_by(self.frames).map(window).collect(),
        }
    }
}

/// `count` numbers evenly from `first` to `last`, as `torch.linspace` has them.
fn line(first: f64, last: f64, count: usize) -> impl Iterator<Item = f64> {
    let steps = (count - 1).max(1) as f64;
    // Half of them from the end, so that the last one is exact.
    (0..count).map(move |index| {
        let step = (last - first) / steps;
        if index < count.div_ceil(2) { first + step * index as f64 } else { last - step * (count - 1 - index) as f64 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn clips(sampling: Sampling, there: usize, rate: Option<f64>, count: Option<usize>) -> Vec<Vec<usize>> {
        Sampling { clips: count, ..sampling }.several("it", there, rate).unwrap().clips
    }

    #[test]
    fn a_clip_is_from_the_middle_as_its_project_takes_it() {
        let by = |frames, step, fps, rule| Sampling::new(frames, step, fps, rule);
        // Sampling, frames there, rate, frames taken.
        type Case = (Sampling, usize, Option<f64>, &'static [usize]);
        let cases: [Case; 12] = [
            // torchvision: at 30 a second every other frame; 20 resampled ones allow 17 places.
            (by(4, 1, Some(15), Rule::Resampled), 40, Some(30.0), &[16, 18, 20, 22]),
            (by(4, 1, Some(15), Rule::Resampled), 10, Some(25.0), &[1, 3, 5, 6]),
            (by(4, 1, Some(15), Rule::Resampled), 8, Some(7.5), &[3, 3, 4, 4]),
            // Without a rate the steps count frames.
            (by(4, 1, Some(15), Rule::Resampled), 10, None, &[3, 4, 5, 6]),
            // PySlowFast: linspace(18, 18 + 64 - 1, 8), truncated.
            (by(8, 8, Some(30), Rule::Spread), 100, Some(30.0), &[18, 27, 36, 45, 54, 63, 72, 81]),
            (by(8, 8, Some(30), Rule::Spread), 100, Some(15.0), &[34, 38, 42, 47, 51, 56, 60, 65]),
            (by(8, 8, Some(30), Rule::Spread), 30, Some(30.0), &[0, 9, 18, 27, 29, 29, 29, 29]),
            // PyTorchVideo stretches what there is.
            (by(8, 8, Some(30), Rule::Subsampled), 100, Some(30.0), &[18, 27, 36, 45, 54, 63, 72, 81]),
            (by(8, 8, Some(30), Rule::Subsampled), 30, Some(30.0), &[0, 4, 8, 12, 16, 20, 24, 29]),
            // mmaction2, whatever the rate; and from the beginning again.
            (by(4, 3, None, Rule::Strided), 21, Some(10.0), &[5, 8, 11, 14]),
            (by(4, 3, None, Rule::Strided), 8, None, &[0, 3, 6, 1]),
            // Hara's.
            (by(4, 1, None, Rule::Windows), 10, None, &[3, 4, 5, 6]),
        ];
        for (sampling, there, rate, wanted) in cases {
            let sampled = sampling.one("it", there, rate).unwrap();
            assert_eq!(sampled.clips, [wanted], "{sampling:?} {there} {rate:?}");
        }
        let short = by(4, 1, None, Rule::Windows).one("it", 3, None).unwrap();
        assert_eq!(short, Sampled { clips: vec![vec![0, 1, 2, 0]], short: true });
    }

    #[test]
    fn several_clips_lie_where_their_project_has_them() {
        let by = |frames, step, fps, rule| Sampling::new(frames, step, fps, rule);
        let firsts = |sampling, there, count| -> Vec<usize> {
            clips(sampling, there, Some(30.0), count).iter().map(|clip| clip[0]).collect()
        };
        assert_eq!(firsts(by(4, 1, Some(15), Rule::Resampled), 40, Some(5)), [0, 8, 16, 24, 32]);
        assert_eq!(firsts(by(8, 8, Some(30), Rule::Spread), 104, Some(4)), [0, 10, 20, 30]);
        assert_eq!(firsts(by(8, 8, Some(30), Rule::Subsampled), 104, Some(5)), [0, 10, 20, 30, 40]);
        assert_eq!(firsts(by(4, 3, None, Rule::Strided), 20, Some(3)), [0, 5, 10]);
        assert_eq!(
            clips(by(4, 1, None, Rule::Windows), 10, None, None),
            [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9, 8, 9]]
        );
        assert_eq!(firsts(by(4, 1, None, Rule::Windows), 25, Some(3)), [0, 10, 20]);
        // Of a short input there is but one, repeated.
        assert_eq!(firsts(by(4, 3, None, Rule::Strided), 8, Some(2)), [0, 0]);
        assert_eq!(
            clips(by(4, 1, None, Rule::Windows), 5, None, Some(3)),
            [vec![0, 1, 2, 3], vec![1, 2, 3, 4], vec![2, 3, 4, 2]]
        );
    }

    #[test]
    fn what_is_asked_for_is_taken_or_an_error() {
        let strided = Sampling { start: Some(5), ..Sampling::new(3, 2, None, Rule::Strided) };
        assert_eq!(strided.one("it", 20, None).unwrap().clips, [[5, 7, 9]]);
        assert_eq!(strided.one("it", 9, None).unwrap(), Sampled { clips: vec![vec![5, 7, 5]], short: true });
        let exact = Sampling { exact: true, ..strided };
        assert_eq!(exact.one("it", 10, None).unwrap().clips, [[5, 7, 9]]);
        for (sampling, there, says) in [
            (exact, 9, "9 frames in it"),
            (strided, 5, "frames from frame 5 on"),
            (Sampling { frames: 0, ..strided }, 20, "number of frames from 1"),
            (Sampling { step: usize::MAX, ..strided }, 20, "step between frames"),
            (Sampling { crops: 2, ..strided }, 20, "1 or 3 crops"),
            (Sampling { fps: Some(0), ..strided }, 20, "frame rate"),
            (Sampling { start: Some(usize::MAX), ..strided }, 20, "on, got 20"),
        ] {
            let error = sampling.one("it", there, None).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let many = Sampling { clips: Some(1 << 20), ..Sampling::new(32, 2, None, Rule::Strided) };
        assert!(many.several("it", 20, None).is_err_and(|error| error.kind() == ErrorKind::Size));
    }

    /// Whatever the numbers, every frame is there, and every clip has as many as it should.
    #[test]
    fn frames_are_never_beyond_the_end() {
        for rule in [Rule::Resampled, Rule::Spread, Rule::Subsampled, Rule::Strided, Rule::Windows] {
            for (frames, step) in [(1, 1), (4, 1), (5, 3), (16, 7)] {
                for there in [1, 2, 3, 15, 16, 17, 100] {
                    for rate in [None, Some(0.5), Some(29.97), Some(240.0), Some(f64::NAN), Some(0.0)] {
                        for count in [None, Some(1), Some(2), Some(7)] {
                            let sampling = Sampling::new(frames, step, Some(30), rule);
                            for clip in clips(sampling, there, rate, count) {
                                assert_eq!(clip.len(), frames, "{rule:?}");
                                assert!(clip.iter().all(|&frame| frame < there), "{rule:?} {there} {rate:?} {clip:?}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_sampling_is_json_and_back() {
        let sampling = Sampling { clips: None, crops: 3, ..Sampling::new(8, 8, Some(30), Rule::Spread) };
        let json = serde_json::to_string(&sampling).unwrap();
        assert_eq!(json, r#"{"frames":8,"step":8,"fps":30,"rule":"spread","clips":null,"crops":3,"crop":null}"#);
        assert_eq!(serde_json::from_str::<Sampling>(&json).unwrap(), sampling);
    }
}
