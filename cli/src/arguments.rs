//! Options that several commands share, and the parsers of their values.

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

/// A parser of the names of `all`.
pub fn choice<T>(all: &'static [T]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Display + Send + Sync,
{
    choice_by(all, |value| value.to_string())
}

/// A parser of the names of `all`, where `name` gives the name of a value.
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
    /// Normalization of pixels: `detectron` is blue, green, red minus the pixel means; `imagenet` is red, green, blue
    /// as in torchvision, resized with antialiasing. The others follow a project for video: `kinetics` (torchvision and
    /// VMZ), `pytorchvideo` (also PySlowFast; `pytorchvideo-bgr` has blue first), `3d-resnets` (Hara), `activitynet`
    /// (Hara before 2020), `mmaction2`, `mmaction2-csn`. A ready clip with another normalization is refused. The
    /// default is that of the weights, or `detectron` if the weights have none.
    #[arg(long, value_name = "NAME", value_parser = choice(Normalization::ALL))]
    preprocess: Option<Normalization>,

    /// The shorter side of the frames after resizing, in pixels; or their height and width, which may change the aspect
    /// ratio. The default is that of the weights, or 256 if the weights have none.
    #[arg(long, value_name = "PIXELS|HxW", value_parser = size)]
    size: Option<Size>,

    /// The maximum of the longer side after resizing, in pixels. It takes precedence over --size. The default is 333
    /// with `detectron`, and no limit with the others.
    #[arg(long, value_name = "PIXELS", value_parser = positive)]
    max_size: Option<usize>,

    /// Crop a square of this side from the middle after resizing; `none` keeps the whole frame. The default is that of
    /// the weights, or `none` if the weights have none or --size is given.
    #[arg(long, value_name = "PIXELS|none", value_parser = crop)]
    crop: Option<Crop>,

    /// Pad height and width of the clip to a multiple of this number, at the bottom and on the right.
    #[arg(long, value_name = "N", value_parser = positive)]
    pad_stride: Option<usize>,

    /// The order of the channels in arrays of pictures; picture files and videos state theirs. The default is `bgr` for
    /// `frames.*` tensors, as OpenCV reads, with a warning, and `rgb` for a uint8 .npy, as decord, PyAV, imageio and
    /// torchvision read.
    #[arg(long, value_parser = choice(ChannelOrder::ALL))]
    channel_order: Option<ChannelOrder>,

    #[command(flatten)]
    selection: SelectionArguments,
}

/// Which frames of a video, a directory or a `frames.*` tensor are used.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Choice of frames (of videos, directories and `frames.*` tensors)")]
struct SelectionArguments {
    /// The first frame, counted from 0. By default the clip comes from the middle if the weights say which frames they
    /// want, and starts at the first frame otherwise.
    #[arg(long, value_name = "N")]
    start: Option<usize>,

    /// The number of frames, or `all` frames from the first one on. The default is the number that the weights want
    /// (weights of networks for video, docs/models.md), or else all. Too few frames are an error.
    #[arg(long, value_name = "N|all", value_parser = frame_count)]
    frames: Option<FrameCount>,

    /// Use every Nth frame, whatever the frame rate. The default is the distance that the weights want at the frame
    /// rate of the video, or else every frame.
    #[arg(long, value_name = "N", value_parser = positive)]
    stride: Option<usize>,

    /// How to handle damaged pictures of a video: `error` fails if the chosen frames include one; `keep` uses what
    /// ffmpeg decodes in its place; `drop` leaves it out, so that --start, --frames and --stride count the others. A
    /// picture that is predicted from a damaged one is damaged too.
    #[arg(long, default_value = "error", value_parser = choice(DamagePolicy::ALL))]
    damaged: DamagePolicy,
}

/// A value of `--frames`.
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
    /// The frames that the options select, and, if the weights say which frames they want, the sampling of the weights
    /// with these options applied.
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
        let is_exact = self.start.is_some() || count.is_some() || self.stride.is_some();
        let mut sampling = wanted.start(self.start).exact(is_exact);
        sampling.frames = count.unwrap_or(wanted.frames);
        if let Some(stride) = self.stride {
            (sampling.step, sampling.fps, sampling.rule) = (stride, None, Rule::Strided);
        }
        (FrameSelection::default(), Some(sampling))
    }
}

/// Reads a positive whole number.
pub fn positive(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "wanted a whole number from 1 on".to_owned())?;
    if number == 0 { Err("wanted at least 1".to_owned()) } else { Ok(number) }
}

/// Reads the shorter side, or `HxW`.
fn size(text: &str) -> Result<Size, String> {
    match text.split_once('x') {
        None => positive(text).map(Size::Shorter),
        Some((height, width)) => Ok(Size::Exact([positive(height)?, positive(width)?])),
    }
}

/// A value of `--crop`.
#[derive(Clone, Copy, Debug)]
enum Crop {
    /// The whole frame.
    None,
    /// A square of this side.
    Square(usize),
}

/// Reads the side of a square, or `none`.
fn crop(text: &str) -> Result<Crop, String> {
    if text == "none" { Ok(Crop::None) } else { positive(text).map(Crop::Square) }
}

/// Reads a time: a whole number and the unit s, m or h.
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

/// The memory of the device that a clip may use.
#[derive(Clone, Copy, Debug, Args)]
pub struct MemoryArguments {
    /// Limit activations and workspaces on the device to this size, for example 512M or 2G (units of 1024). The clip is
    /// split over batch, time and rows; the results are the same to the bit. The limit does not count weights and the
    /// staging buffers of the clip and the features. If it is too low, the error states the minimum.
    #[arg(long = "memory-limit", value_name = "BYTES", value_parser = bytes)]
    pub memory_limit: Option<u64>,
}

/// Reads a number of bytes: a whole number, optionally with the binary unit K, M or G.
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
    /// Whether the options state the crop.
    pub fn has_crop(&self) -> bool {
        self.crop.is_some() || self.size.is_some()
    }

    /// These options for the library. `wanted` and `sampling` are what the weights want, if that is known.
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
            // The crop of the weights goes with the size of the weights.
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
    /// The project that the weights come from, if the file does not tell.
    #[arg(long, value_name = "NAME", value_parser = choice(Family::ALL))]
    pub family: Option<Family>,

    /// Inflate the 2-D weights of an image network over time: the kernel in the middle and zeros around it
    /// (center-only), equal shares of the kernel (mean-repeat), copies (repeat), or the kernel in the middle and noise
    /// around it (center-only-rest-rand).
    #[arg(long, value_name = "MODE", value_parser = choice(InflateMode::ALL))]
    inflate: Option<InflateMode>,

    /// The seed of the noise of center-only-rest-rand.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "inflate")]
    seed: u64,
}

impl WeightArguments {
    /// These options for the library.
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
    /// The file, if there is one, with the option that names it.
    pub fn file(&self) -> Option<(&'static str, &Path)> {
        match self {
            Self::Random(_) => None,
            Self::File(path) => Some(("--weights", path)),
        }
    }
}

/// A parser of `FILE|random[:SEED]`. A file name need not be valid Unicode.
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

/// Checks that the text has the form `NxCxTxHxW`. The command checks the numbers, because an impossible shape is a
/// failure (exit code 1), not wrong usage.
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
