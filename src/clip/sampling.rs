//! Chooses the frames of a clip by the rules of the projects that train networks for video.
//!
//! A project trains on a fixed number of frames, a fixed step apart at some frame rate, and tests on several clips of
//! each video. Projects fill up a short input in different ways; [`Sampled::short`] tells whether an input was too
//! short.

use crate::error::{ErrorRepr, Result};
use serde::{Deserialize, Serialize};

/// The maximum number of frames and of clips, and the maximum step, frame rate and crop side. A file may ask for any
/// number.
const MOST: usize = 1 << 20;

/// The maximum number of frames of all clips of an input together.
const MOST_IN_ALL: usize = 1 << 24;

/// A project's rule for choosing the frames of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// Successive frames of the input resampled to [`Sampling::fps`] (torchvision `datasets/video_utils.py`
    /// `VideoClips`). Several clips are spread from the beginning to the end. In a short input, the last frame is
    /// repeated; torchvision uses no clip of such an input.
    Resampled,
    /// Evenly spread over the span and rounded down (PySlowFast `datasets/decoder.py`). In a short input, the last
    /// frame is repeated. Several clips are spaced as if one more followed at the end.
    Spread,
    /// Evenly spread over the existing frames of the span and rounded down (PyTorchVideo `UniformTemporalSubsample` of
    /// clips by `ConstantClipsPerVideoSampler`). Several clips are spread from the beginning to the end.
    Subsampled,
    /// Frames at a constant distance. In a short input, they wrap around to the beginning (mmaction2 `SampleFrames`).
    /// Several clips are spread from the beginning to the end.
    Strided,
    /// Successive frames. In a short input, the clip is repeated from its first frame on (Hara's
    /// `temporal_transforms.py`). If no number of clips is given, the clips of an input are consecutive; otherwise they
    /// are spread over it.
    Windows,
}

impl Rule {
    /// How a short input is filled up, as text.
    pub fn filled_up(self) -> &'static str {
        match self {
            Self::Resampled | Self::Spread => "its last frame is repeated",
            Self::Subsampled => "they are taken closer together",
            Self::Strided => "they are repeated from the beginning",
            Self::Windows => "the clip is repeated from its first frame on",
        }
    }
}

/// The frames of a clip, and the number of clips and crops over which scores are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
#[non_exhaustive]
pub struct Sampling {
    /// The number of frames of a clip.
    pub frames: usize,
    /// The distance between frames, in frames at [`Sampling::fps`].
    pub step: usize,
    /// The frame rate that the steps refer to, in frames a second. With `None`, and for an input without a frame rate,
    /// steps count the frames of the input.
    pub fps: Option<u32>,
    /// The rule to choose frames.
    pub rule: Rule,
    /// The number of clips of an input in the project's tests; `None` for all consecutive clips.
    pub clips: Option<usize>,
    /// The number of crops of every frame in these tests: 1, in the middle, or 3, along the longer side.
    pub crops: usize,
    /// The side of each crop in pixels, if there are several; `None` for [`Preprocess::crop`].
    ///
    /// [`Preprocess::crop`]: crate::clip::preprocess::Preprocess::crop
    pub crop: Option<usize>,
    /// The first frame, counted from 0; with `None`, a single clip comes from the middle.
    #[serde(skip)]
    pub start: Option<usize>,
    /// Whether the user asked for exactly these frames. Then an input with fewer frames is an error, and so is a ready
    /// clip.
    #[serde(skip)]
    pub exact: bool,
}

/// The chosen frames of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sampled {
    /// The frames of each clip, counted from 0.
    pub clips: Vec<Vec<usize>>,
    /// Whether the input is shorter than the span of a clip, so that frames are repeated or closer together.
    pub short: bool,
}

impl Sampling {
    /// One clip of `frames` frames at a distance of `step` at `fps`.
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

    /// The sampling as text, for example `8 frames, 8 apart at 30 fps`.
    pub fn describe(&self) -> String {
        let apart = if self.step == 1 { "successive".to_owned() } else { format!("{} apart", self.step) };
        let rate = self.fps.map(|fps| format!(" at {fps} fps")).unwrap_or_default();
        format!("{} frames, {apart}{rate}", self.frames)
    }

    /// Refuses a sampling that can choose no frame, or whose numbers are absurd.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if the number of frames, the step, the rate, the number of clips or
    /// the side of the crops is zero or above 2^20, or if the number of crops is neither 1 nor 3.
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

    /// Chooses one clip: from [`Sampling::start`] on, or from the middle. `input` is the name of an input with
    /// `available` frames at `rate` frames a second, if the rate is known.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if there are no frames from the start on, or fewer than the user
    /// asked for; otherwise as [`Sampling::checked`].
    pub fn one(&self, input: &str, available: usize, rate: Option<f64>) -> Result<Sampled> {
        self.take(input, available, rate, Some(1))
    }

    /// Chooses [`Sampling::clips`] clips from [`Sampling::start`] on.
    ///
    /// # Errors
    /// As [`Sampling::one`]; [`ErrorKind::Size`](crate::ErrorKind::Size) if they have more than 2^24 frames together.
    pub fn several(&self, input: &str, available: usize, rate: Option<f64>) -> Result<Sampled> {
        self.take(input, available, rate, self.clips)
    }

    fn take(&self, input: &str, available: usize, rate: Option<f64>, clips: Option<usize>) -> Result<Sampled> {
        self.checked()?;
        let start = self.start.unwrap_or(0);
        let Some(rest) = available.checked_sub(start).filter(|&rest| rest > 0) else {
            return Err(ErrorRepr::Clip {
                wanted: format!("frames from frame {start} on"),
                given: format!("{available} frames in {input}, counted from 0"),
            }
            .into());
        };
        // Frames of the input per frame at the rate of the steps.
        let scale = match (self.fps, rate) {
            (Some(fps), Some(rate)) if rate.is_finite() && rate > 0.0 => rate / f64::from(fps),
            _ => 1.0,
        };
        let span = self.span(scale);
        let short = (rest as f64) < span;
        if short && self.exact {
            let from = if start == 0 { String::new() } else { format!(" from frame {start} on") };
            return Err(ErrorRepr::Clip {
                wanted: format!("{}, which need {} frames{from}", self.describe(), span.ceil()),
                given: format!("{available} frames in {input}, counted from 0"),
            }
            .into());
        }
        let from_middle = self.start.is_none();
        let count = clips.unwrap_or_else(|| rest.div_ceil(self.frames));
        if count.saturating_mul(self.frames) > MOST_IN_ALL {
            return Err(ErrorRepr::Size {
                what: format!("the clips of {input}"),
                reason: format!("{count} clips of {} frames are more than 2^24 frames; choose fewer", self.frames),
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

    /// The number of frames of the input that a clip needs, not rounded.
    fn span(&self, scale: f64) -> f64 {
        let (frames, step) = (self.frames as f64, self.step as f64);
        match self.rule {
            // Just enough for the last frame to exist.
            Rule::Resampled | Rule::Strided | Rule::Windows => ((frames - 1.0) * step * scale).floor() + 1.0,
            Rule::Spread | Rule::Subsampled => frames * step * scale,
        }
    }

    /// The positions of the clips, from 0 to `last`: one in the middle or at the beginning, or several spread over the
    /// range.
    fn places(last: f64, count: usize, from_middle: bool) -> impl Iterator<Item = f64> {
        let steps = (count - 1).max(1) as f64;
        let single = if from_middle { (last / 2.0).floor() } else { 0.0 };
        (0..count).map(move |clip| if count == 1 { single } else { last * clip as f64 / steps })
    }

    fn resampled(&self, available: usize, scale: f64, count: usize, from_middle: bool) -> Vec<Vec<usize>> {
        // The number of frames is rounded up if the rate of the steps divides the rate of the input, and down
        // otherwise.
        let length = available as f64 / scale;
        let length = if scale.fract() == 0.0 { length.ceil() } else { length.floor() };
        let last = (length - ((self.frames - 1) * self.step + 1) as f64).max(0.0);
        let clip = |place: f64| {
            let frame = |index: usize| ((place.floor() + (index * self.step) as f64) * scale) as usize;
            (0..self.frames).map(|index| frame(index).min(available - 1)).collect()
        };
        Self::places(last, count, from_middle).map(clip).collect()
    }

    fn spread(&self, available: usize, scale: f64, count: usize, from_middle: bool) -> Vec<Vec<usize>> {
        let span = self.span(scale);
        let last = (available as f64 - span).max(0.0);
        let place = |clip: usize| match count {
            1 if from_middle => (last / 2.0).floor(),
            _ => last * clip as f64 / count as f64,
        };
        let clip = |place: f64| line(place, place + span - 1.0, self.frames).map(|at| (at as usize).min(available - 1));
        (0..count).map(|index| clip(place(index)).collect()).collect()
    }

    fn subsampled(&self, available: usize, scale: f64, count: usize, from_middle: bool) -> Vec<Vec<usize>> {
        let span = self.span(scale);
        let clip = |place: f64| {
            // The frames whose time is in the span.
            let first = (place.ceil() as usize).min(available - 1);
            let end = ((place + span).ceil() as usize).clamp(first + 1, available);
            line(0.0, (end - first - 1) as f64, self.frames).map(|at| first + at as usize).collect()
        };
        Self::places((available as f64 - span).max(0.0), count, from_middle).map(clip).collect()
    }

    fn strided(&self, available: usize, scale: f64, count: usize, from_middle: bool) -> Vec<Vec<usize>> {
        let last = (available as f64 - self.span(scale)).max(0.0);
        let clip = |place: f64| {
            let frame = |index: usize| place.round_ties_even() + ((index * self.step) as f64 * scale).floor();
            (0..self.frames).map(|index| frame(index) as usize % available).collect()
        };
        Self::places(last, count, from_middle).map(clip).collect()
    }

    fn windows(&self, available: usize, clips: Option<usize>, from_middle: bool) -> Vec<Vec<usize>> {
        let window = |begin: usize| -> Vec<usize> {
            let length = self.frames.min(available - begin);
            (0..self.frames).map(|index| begin + index % length).collect()
        };
        match clips {
            Some(1) if from_middle => vec![window((available / 2).saturating_sub(self.frames / 2))],
            Some(1) => vec![window(0)],
            Some(count) => {
                let stride = (available.saturating_sub(1 + self.frames)).div_ceil(count - 1).max(1);
                // The first incomplete clip is the last one.
                let whole = |begin: usize| begin + self.frames <= available;
                let begins: Vec<usize> = (0..available).step_by(stride).take(count).collect();
                let end = begins.iter().position(|&begin| !whole(begin)).map_or(begins.len(), |at| at + 1);
                begins[..end].iter().map(|&begin| window(begin)).collect()
            }
            None => (0..available).step_by(self.frames).map(window).collect(),
        }
    }
}

/// `count` evenly spaced numbers from `first` to `last`, as in `torch.linspace`.
fn line(first: f64, last: f64, count: usize) -> impl Iterator<Item = f64> {
    let steps = (count - 1).max(1) as f64;
    // The second half is computed from the end, so that the last number is exact.
    (0..count).map(move |index| {
        let step = (last - first) / steps;
        if index < count.div_ceil(2) { first + step * index as f64 } else { last - step * (count - 1 - index) as f64 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn clips(sampling: Sampling, available: usize, rate: Option<f64>, count: Option<usize>) -> Vec<Vec<usize>> {
        Sampling { clips: count, ..sampling }.several("it", available, rate).unwrap().clips
    }

    #[test]
    fn a_clip_is_from_the_middle_as_in_its_project() {
        let by = |frames, step, fps, rule| Sampling::new(frames, step, fps, rule);
        // Sampling, available frames, rate, chosen frames.
        type Case = (Sampling, usize, Option<f64>, &'static [usize]);
        let cases: [Case; 12] = [
            // torchvision: at 30 frames a second, every other frame; 20 resampled frames allow 17 positions.
            (by(4, 1, Some(15), Rule::Resampled), 40, Some(30.0), &[16, 18, 20, 22]),
            (by(4, 1, Some(15), Rule::Resampled), 10, Some(25.0), &[1, 3, 5, 6]),
            (by(4, 1, Some(15), Rule::Resampled), 8, Some(7.5), &[3, 3, 4, 4]),
            // Without a rate, steps count frames.
            (by(4, 1, Some(15), Rule::Resampled), 10, None, &[3, 4, 5, 6]),
            // PySlowFast: linspace(18, 18 + 64 - 1, 8), truncated.
            (by(8, 8, Some(30), Rule::Spread), 100, Some(30.0), &[18, 27, 36, 45, 54, 63, 72, 81]),
            (by(8, 8, Some(30), Rule::Spread), 100, Some(15.0), &[34, 38, 42, 47, 51, 56, 60, 65]),
            (by(8, 8, Some(30), Rule::Spread), 30, Some(30.0), &[0, 9, 18, 27, 29, 29, 29, 29]),
            // PyTorchVideo spreads over the existing frames.
            (by(8, 8, Some(30), Rule::Subsampled), 100, Some(30.0), &[18, 27, 36, 45, 54, 63, 72, 81]),
            (by(8, 8, Some(30), Rule::Subsampled), 30, Some(30.0), &[0, 4, 8, 12, 16, 20, 24, 29]),
            // mmaction2, whatever the rate; wraps around to the beginning.
            (by(4, 3, None, Rule::Strided), 21, Some(10.0), &[5, 8, 11, 14]),
            (by(4, 3, None, Rule::Strided), 8, None, &[0, 3, 6, 1]),
            // Hara's.
            (by(4, 1, None, Rule::Windows), 10, None, &[3, 4, 5, 6]),
        ];
        for (sampling, available, rate, wanted) in cases {
            let sampled = sampling.one("it", available, rate).unwrap();
            assert_eq!(sampled.clips, [wanted], "{sampling:?} {available} {rate:?}");
        }
        let short = by(4, 1, None, Rule::Windows).one("it", 3, None).unwrap();
        assert_eq!(short, Sampled { clips: vec![vec![0, 1, 2, 0]], short: true });
    }

    #[test]
    fn several_clips_are_placed_as_in_their_project() {
        let by = |frames, step, fps, rule| Sampling::new(frames, step, fps, rule);
        let firsts = |sampling, available, count| -> Vec<usize> {
            clips(sampling, available, Some(30.0), count).iter().map(|clip| clip[0]).collect()
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
        // A short input has only one clip, which is repeated.
        assert_eq!(firsts(by(4, 3, None, Rule::Strided), 8, Some(2)), [0, 0]);
        assert_eq!(
            clips(by(4, 1, None, Rule::Windows), 5, None, Some(3)),
            [vec![0, 1, 2, 3], vec![1, 2, 3, 4], vec![2, 3, 4, 2]]
        );
    }

    #[test]
    fn requested_frames_are_chosen_or_an_error() {
        let strided = Sampling { start: Some(5), ..Sampling::new(3, 2, None, Rule::Strided) };
        assert_eq!(strided.one("it", 20, None).unwrap().clips, [[5, 7, 9]]);
        assert_eq!(strided.one("it", 9, None).unwrap(), Sampled { clips: vec![vec![5, 7, 5]], short: true });
        let exact = Sampling { exact: true, ..strided };
        assert_eq!(exact.one("it", 10, None).unwrap().clips, [[5, 7, 9]]);
        for (sampling, available, says) in [
            (exact, 9, "9 frames in it"),
            (strided, 5, "frames from frame 5 on"),
            (Sampling { frames: 0, ..strided }, 20, "number of frames from 1"),
            (Sampling { step: usize::MAX, ..strided }, 20, "step between frames"),
            (Sampling { crops: 2, ..strided }, 20, "1 or 3 crops"),
            (Sampling { fps: Some(0), ..strided }, 20, "frame rate"),
            (Sampling { start: Some(usize::MAX), ..strided }, 20, "on, got 20"),
        ] {
            let error = sampling.one("it", available, None).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let many = Sampling { clips: Some(1 << 20), ..Sampling::new(32, 2, None, Rule::Strided) };
        assert!(many.several("it", 20, None).is_err_and(|error| error.kind() == ErrorKind::Size));
    }

    /// For all numbers, every frame exists, and every clip has the right number of frames.
    #[test]
    fn frames_are_never_beyond_the_end() {
        for rule in [Rule::Resampled, Rule::Spread, Rule::Subsampled, Rule::Strided, Rule::Windows] {
            for (frames, step) in [(1, 1), (4, 1), (5, 3), (16, 7)] {
                for available in [1, 2, 3, 15, 16, 17, 100] {
                    for rate in [None, Some(0.5), Some(29.97), Some(240.0), Some(f64::NAN), Some(0.0)] {
                        for count in [None, Some(1), Some(2), Some(7)] {
                            let sampling = Sampling::new(frames, step, Some(30), rule);
                            for clip in clips(sampling, available, rate, count) {
                                assert_eq!(clip.len(), frames, "{rule:?}");
                                let exist = clip.iter().all(|&frame| frame < available);
                                assert!(exist, "{rule:?} {available} {rate:?} {clip:?}");
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
