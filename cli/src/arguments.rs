//! Options that several commands share, and how their values are read.

use clap::Args;
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use resnet3d_wgpu::clip::files::{DamagePolicy, FrameSelection, LoadOptions};
use resnet3d_wgpu::clip::preprocess::{ChannelOrder, Normalization, Preprocess, Size};
use resnet3d_wgpu::clip::sampling::{Rule, Sampling};
use resnet3d_wgpu::weights::Family;
use resnet3d_wgpu::{InflateMode, Taps, WeightOptions};
use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A parser of one of `all`, by their names.
pub fn choice<T>(all: &'static [T]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Display + Send + Sync,
{
    choice_by(all, |value| value.to_string())
}

/// A parser of one of `all`, each called by `name`.
pub fn choice_by<T, N>(all: &'static [T], name: fn(T) -> N) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync,
    N: Into<String> + 'static,
{
    let names = PossibleValuesParser::new(all.iter().map(|&value| name(value).into()));
    names.try_map(move |text| {
        let named = all.iter().copied().find(|&value| name(value).into() == text);
        named.ok_or("no such value")
    })
}

/// How frames become a clip.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Preprocessing of frames (a ready clip is taken as it is)")]
pub struct PreprocessArguments {
    /// Which values pixels become: `detectron`, blue, green, red minus the pixel means; `imagenet`, red, green, blue as
    /// torchvision has them, resized with antialiasing; or as one of the projects for video has them: `kinetics`
    /// (torchvision's and VMZ's), `pytorchvideo` (and PySlowFast's; `pytorchvideo-bgr` blue first), `3d-resnets` (Hara's), `activitynet` (Hara's before
    /// 2020), `mmaction2`, `mmaction2-csn`. A ready clip that says otherwise is refused. By default as the weights want it, and `detectron`
    /// where there are none.
    #[arg(long, value_name = "NAME", value_parser = choice(Normalization::ALL))]
    preprocess: Option<Normalization>,

    /// The shorter side of the frames after resizing, in pixels; or their height and width, whatever their proportions. By
    /// default as the weights want it, and 256 where there are none.
    #[arg(long, value_name = "PIXELS|HxW", value_parser = size)]
    size: Option<Size>,

    /// The most that the longer side may then have; where it would have more, it gets this and --size gives way. By
    /// default 333 with `detectron`, without limit with others.
    #[arg(long, value_name = "PIXELS", value_parser = positive)]
    max_size: Option<usize>,

    /// Cut a square of this side out of the middle after resizing; `none` keeps all. By default as the weights want it, and
    /// all where there are none, or where --size is given.
    #[arg(long, value_name = "PIXELS|none", value_parser = crop)]
    crop: Option<Crop>,

    /// Pad the sides of the clip to a multiple of this, at the bottom and on the right.
    #[arg(long, value_name = "N", value_parser = positive)]
    pad_stride: Option<usize>,

    /// The order of the channels in arrays of pictures; pictures and videos know their own. By default `bgr` in `frames.*`
    /// tensors, as OpenCV reads, with a warning; `rgb` in a uint8 .npy, as decord, PyAV, imageio and torchvision read.
    #[arg(long, value_parser = choice(ChannelOrder::ALL))]
    channel_order: Option<ChannelOrder>,

    #[command(flatten)]
    selection: SelectionArguments,
}

/// Which frames of a video, a directory or a `frames.*` tensor are taken.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Choice of frames (of videos, directories and `frames.*` tensors)")]
struct SelectionArguments {
    /// The first frame, counted from 0. By default the clip is from the middle where the weights say which frames they want,
    /// else from the first one on.
    #[arg(long, value_name = "N")]
    start: Option<usize>,

    /// How many frames, or `all` that there are from the first one on. By default as many as the weights want (those of
    /// networks for video, docs/models.md), else all. Fewer than asked for are an error.
    #[arg(long, value_name = "N|all", value_parser = frame_count)]
    frames: Option<FrameCount>,

    /// Take every Nth frame: the first, the Nth after it, and so on, whatever the frame rate. By default as far apart as the
    /// weights want them at the frame rate of the video, else every frame.
    #[arg(long, value_name = "N", value_parser = positive)]
    stride: Option<usize>,

    /// What becomes of damaged pictures of a video: `error` refuses them where they are among the frames chosen, `keep`
    /// takes what ffmpeg makes of them, in their places, `drop` leaves them out, and --start, --frames and --stride count
    /// the rest. Pictures predicted from a damaged one are damaged too.
    #[arg(long, default_value = "error", value_parser = choice(DamagePolicy::ALL))]
    damaged: DamagePolicy,
}

/// How many frames are asked for.
#[derive(Clone, Copy, Debug)]
enum FrameCount {
    All,
    Number(usize),
}

/// Reads a number of frames, or `all`.
fn frame_count(text: &str) -> Result<FrameCount, String> {
    if text == "all" { Ok(FrameCount::All) } else { positive(text).map(FrameCount::Number) }
}

impl SelectionArguments {
    /// What is asked for by itself, and in the frames that weights want, where they say it.
    fn choose(&self, wanted: Option<Sampling>) -> (FrameSelection, Option<Sampling>) {
        let count = match self.frames {
            Some(FrameCount::Number(count)) => Some(count),
            Some(FrameCount::All) | None => None,
        };
        let Some(wanted) = wanted.filter(|_| !matches!(self.frames, Some(FrameCount::All))) else {
            let selection =
                FrameSelection::default().start(self.start.unwrap_or(0)).count(count).stride(self.stride.unwrap_or(1));
            return (selection, None);
        };
        let mut own = wanted.start(self.start).exact(self.start.is_some() || count.is_some() || self.stride.is_some());
        own.frames = count.unwrap_or(wanted.frames);
        if let Some(stride) = self.stride {
            (own.step, own.fps, own.rule) = (stride, None, Rule::Strided);
        }
        (FrameSelection::default(), Some(own))
    }
}

/// Reads a whole number from 1 on.
pub fn positive(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "wanted a whole number from 1 on".to_owned())?;
    if number == 0 { Err("wanted at least 1".to_owned()) } else { Ok(number) }
}

/// Reads a side, or height and width with a cross between.
fn size(text: &str) -> Result<Size, String> {
    match text.split_once('x') {
        None => positive(text).map(Size::Shorter),
        Some((height, width)) => Ok(Size::Exact([positive(height)?, positive(width)?])),
    }
}

/// What is cut out of a frame.
#[derive(Clone, Copy, Debug)]
enum Crop {
    /// Nothing: all of it is kept.
    None,
    /// A square.
    Square(usize),
}

/// Reads the side of a square, or `none`.
fn crop(text: &str) -> Result<Crop, String> {
    if text == "none" { Ok(Crop::None) } else { positive(text).map(Crop::Square) }
}

/// Reads a time: a whole number, and s, m or h.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600)];
    let read = units.iter().find_map(|&(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds)
    });
    read.filter(|&seconds| seconds > 0)
        .map(Duration::from_secs)
        .ok_or("wanted a time such as 90s, 10m or 2h".to_owned())
}

/// How much memory of the device a clip may take.
#[derive(Clone, Copy, Debug, Args)]
pub struct MemoryArguments {
    /// Keep activations and workspaces on the device within this, for example 512M or 2G (units of 1024), by splitting the
    /// clip over batch, time and rows; the result is the same to the bit. Weights are not counted, nor are the buffers that
    /// the clip and the features pass through. An error says how little would do.
    #[arg(long = "memory-limit", value_name = "BYTES", value_parser = bytes)]
    pub memory_limit: Option<u64>,
}

/// Reads a number of bytes: a whole number, and K, M or G for 1024 of the next smaller each.
fn bytes(text: &str) -> Result<u64, String> {
    let units = [("K", 10), ("M", 20), ("G", 30), ("", 0)];
    let read = units.iter().find_map(|&(unit, shift)| {
        let digits = text.strip_suffix(unit)?;
        let number: u64 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
        number.checked_mul(1 << shift)
    });
    read.filter(|&bytes| bytes > 0).ok_or("wanted a number of bytes such as 512M or 2G".to_owned())
}

impl PreprocessArguments {
    /// Whether a square to cut out, or none, is asked for.
    pub fn has_crop(&self) -> bool {
        self.crop.is_some() || self.size.is_some()
    }

    /// The same for the library; `wanted` and `sampling` are what the weights want, if that is known.
    pub fn load_options(&self, wanted: Option<Preprocess>, sampling: Option<Sampling>) -> LoadOptions {
        let expected = self.preprocess.or(wanted.map(|wanted| wanted.normalization));
        let usual = match (self.preprocess, wanted) {
            (Some(asked), Some(wanted)) if asked == wanted.normalization => wanted,
            (None, Some(wanted)) => wanted,
            (asked, _) => Preprocess::usual(asked.unwrap_or_default()),
        };
        let crop = match self.crop {
            Some(Crop::Square(side)) => Some(side),
            Some(Crop::None) => None,
            // A crop belongs to the size that it is cut from.
            None => usual.crop.filter(|_| self.size.is_none()),
        };
        let (selection, sampling) = self.selection.choose(sampling);
        let preprocess = usual
            .size(self.size.unwrap_or(usual.size))
            .max_size(self.max_size.or(usual.max_size))
            .crop(crop)
            .pad_stride(self.pad_stride);
        LoadOptions::default()
            .preprocess(preprocess)
            .channel_order(self.channel_order)
            .selection(selection)
            .sampling(sampling)
            .expected(expected)
            .damaged(self.selection.damaged)
    }
}

/// How a weight file is read.
#[derive(Clone, Copy, Debug, Args)]
pub struct WeightArguments {
    /// Whose network the weight file is of, where the file does not tell.
    #[arg(long, value_name = "NAME", value_parser = choice(Family::ALL))]
    pub family: Option<Family>,

    /// Make weights over time of the 2-D weights of an image network: by the kernel in the middle and zeros around it
    /// (center-only), by equal shares of it (mean-repeat), by copies (repeat), or in the middle with noise around it.
    #[arg(long, value_name = "MODE", value_parser = choice(InflateMode::ALL))]
    inflate: Option<InflateMode>,

    /// The seed of the noise of center-only-rest-rand.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "inflate")]
    seed: u64,
}

impl WeightArguments {
    /// The same for the library.
    pub fn options(&self) -> WeightOptions {
        WeightOptions::default().inflate(self.inflate).seed(self.seed)
    }
}

/// Where weights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightsSource {
    /// The deterministic generator, with its seed.
    Random(u64),
    /// A file.
    File(PathBuf),
}

impl WeightsSource {
    /// The file, if it is one, with the option that names it.
    pub fn file(&self) -> Option<(&'static str, &Path)> {
        match self {
            Self::Random(_) => None,
            Self::File(path) => Some(("--weights", path)),
        }
    }
}

/// A parser of `FILE|random[:SEED]`. A file may have any name that the system allows, text or not.
pub fn weights_source() -> impl TypedValueParser<Value = WeightsSource> {
    OsStringValueParser::new().try_map(weights_source_of)
}

fn weights_source_of(value: OsString) -> Result<WeightsSource, String> {
    let Some(text) = value.to_str() else {
        return Ok(WeightsSource::File(value.into()));
    };
    match text.strip_prefix("random") {
        Some("") => Ok(WeightsSource::Random(0)),
        Some(rest) if rest.starts_with(':') => match rest[1..].parse() {
            Ok(seed) => Ok(WeightsSource::Random(seed)),
            Err(_) => Err(format!("wanted random:SEED with a whole number from 0 on, got {:?}", &rest[1..])),
        },
        _ if text.is_empty() => Err("wanted a file or random[:SEED], got nothing".to_owned()),
        _ => Ok(WeightsSource::File(value.into())),
    }
}

/// Reads `all|stages|NAME,…`.
pub fn taps(text: &str) -> Result<Taps, String> {
    if matches!(text, "all" | "stages") {
        return Ok(Taps::Stages);
    }
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err("wanted all, stages, or names of blobs with commas between, got an empty name".to_owned());
    }
    Ok(Taps::Named(names))
}

/// Checks that a clip's shape is written as one, `NxCxTxHxW`. Whether there can be such a clip is for the command to say:
/// that is a failure, not wrong usage.
pub fn clip_shape(text: &str) -> Result<String, String> {
    let number = |axis: &str| !axis.trim().is_empty() && axis.trim().bytes().all(|byte| byte.is_ascii_digit());
    if text.split(['x', 'X', '×']).all(number) {
        Ok(text.to_owned())
    } else {
        Err("wanted NxCxTxHxW, for example 1x3x8x224x224".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_random_or_a_file() {
        let source = |text: &str| weights_source_of(text.into());
        assert_eq!(source("random"), Ok(WeightsSource::Random(0)));
        assert_eq!(source("random:7"), Ok(WeightsSource::Random(7)));
        assert_eq!(source("random.safetensors"), Ok(WeightsSource::File("random.safetensors".into())));
        for text in ["", "random:", "random:x", "random:-1"] {
            assert!(source(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        let read = [("1s", 1), ("90s", 90), ("10m", 600), ("2h", 7200)];
        assert!(read.iter().all(|&(text, seconds)| duration(text) == Ok(Duration::from_secs(seconds))));
        for text in ["", "s", "1", "0s", "1.5h", "-1m", "1 s", "9999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_have_units() {
        let read = [("1", 1), ("64K", 64 << 10), ("512M", 512 << 20), ("2G", 2 << 30)];
        assert!(read.iter().all(|&(text, number)| bytes(text) == Ok(number)));
        for text in ["", "G", "0", "0M", "1.5G", "-1", "+1", "1 G", "1T", "99999999999999999999", "99999999999999999G"]
        {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn taps_are_all_or_named() {
        assert_eq!(taps("all"), Ok(Taps::Stages));
        assert_eq!(taps("stages"), Ok(Taps::Stages));
        assert_eq!(taps("pool1, conv1"), Ok(Taps::Named(vec!["pool1".into(), "conv1".into()])));
        for text in ["", "conv1,", ","] {
            assert!(taps(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shapes_are_numbers_with_crosses() {
        for text in ["1x3x8x224x224", "0x0", "99999999999999999999x1"] {
            assert!(clip_shape(text).is_ok(), "{text}");
        }
        for text in ["", "x", "1x3x8x224x", "1x3x8x224x-1", "big"] {
            assert!(clip_shape(text).is_err(), "{text}");
        }
    }
}
