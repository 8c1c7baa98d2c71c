//! Reduces the channels of an activation to one value per pixel and frame.

use crate::error::{ErrorRepr, Result};
use crate::named::named;
use crate::shape::Shape;

/// A feature blob with its name, for example `res2_1_sum` of shape 1x64x8x56x56.
#[derive(Clone, Copy, Debug)]
pub struct Activation<'a> {
    /// Name of the blob.
    pub name: &'a str,
    /// Shape of the blob, N×C×T×H×W.
    pub shape: Shape,
    /// Values of the blob in row-major order.
    pub data: &'a [f32],
}

/// The property of an activation that a map shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeatmapMode {
    /// The strength of the activation: its root mean square over the channels.
    #[default]
    Activation,
    /// The change of the activation: the root mean square over the channels of its difference from its mean over time.
    /// Static content vanishes, and motion remains.
    Change,
}

named!(HeatmapMode, "heatmap": Activation => "activation", Change => "change");

impl HeatmapMode {
    /// The maps of this mode for one item of the batch.
    ///
    /// # Errors
    /// As [`activation_map`].
    pub fn maps(self, activation: &Activation<'_>, item: usize) -> Result<FrameMaps> {
        match self {
            Self::Activation => activation_map(activation, item),
            Self::Change => change_map(activation, item),
        }
    }

    /// The description of the maps, in one line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Activation => "activation: RMS over channels",
            Self::Change => "change: RMS over channels of (activation - its mean over time)",
        }
    }
}

/// One map per frame: T×H×W values, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameMaps {
    count: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl FrameMaps {
    /// Number of frames, T.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Rows of a map, H.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of a map, W.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All values, T×H×W.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The map of frame `t`, H×W values, or `None` past the last frame.
    pub fn frame(&self, t: usize) -> Option<&[f32]> {
        self.values.chunks_exact(self.height * self.width).nth(t)
    }

    /// Row and column of the largest value of frame `t`, the first of equal values. `None` past the last frame, and if
    /// every value is NaN.
    ///
    /// Column `x` of a map that is smaller than the clip by the stride `s` corresponds to the columns of the clip
    /// around `s * x`, because the strided windows of the network are centred there.
    pub fn argmax(&self, t: usize) -> Option<(usize, usize)> {
        let mut best: Option<(usize, f32)> = None;
        for (i, &value) in self.frame(t)?.iter().enumerate() {
            if !value.is_nan() && best.is_none_or(|(_, largest)| value > largest) {
                best = Some((i, value));
            }
        }
        best.map(|(i, _)| (i / self.width, i % self.width))
    }

    /// The smallest and the largest finite value of all frames; `None` if there is none.
    pub fn range(&self) -> Option<(f32, f32)> {
        let finite = self.values.iter().copied().filter(|value| value.is_finite());
        finite.fold(None, |range, value| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        })
    }
}

/// The root mean square over the channels at every pixel of every frame of one `item` of the batch.
///
/// # Errors
/// [`ErrorKind::Size`](crate::ErrorKind::Size) or [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the activation has a
/// zero axis, a number of values that does not match its shape, or no such item.
pub fn activation_map(activation: &Activation<'_>, item: usize) -> Result<FrameMaps> {
    root_mean_square(activation, item, |_, values| values.iter().map(|&value| f64::from(value)).collect())
}

/// The root mean square over the channels of the difference of an activation from its mean over time, at every pixel of
/// every frame of one `item` of the batch.
///
/// # Errors
/// As [`activation_map`].
pub fn change_map(activation: &Activation<'_>, item: usize) -> Result<FrameMaps> {
    root_mean_square(activation, item, |shape, values| {
        let plane = shape.h * shape.w;
        let mut mean = vec![0.0; plane];
        for frame in values.chunks_exact(plane) {
            for (mean, &value) in mean.iter_mut().zip(frame) {
                *mean += f64::from(value) / shape.t as f64;
            }
        }
        let frames = values.chunks_exact(plane);
        frames.flat_map(|frame| frame.iter().zip(&mean).map(|(&value, mean)| f64::from(value) - mean)).collect()
    })
}

/// The contribution of every pixel of every frame of one `item` of the batch to a class: the sum over the channels,
/// each times its weight in the score of the class (the class activation map of Zhou et al., 2016). If the classifier
/// follows a mean over all pixels and frames, the mean of the contributions is the score without the bias. Weights
/// beyond the number of channels belong to a second pathway and are ignored.
///
/// # Errors
/// As [`activation_map`], and [`ErrorKind::Shape`](crate::ErrorKind::Shape) for fewer weights than channels.
pub fn class_map(activation: &Activation<'_>, item: usize, weights: &[f32]) -> Result<FrameMaps> {
    let channels = channels(activation, item)?;
    let shape = activation.shape;
    if weights.len() < shape.c {
        return Err(ErrorRepr::Shape {
            what: format!("weights of a class over {}", activation.name),
            wanted: format!("{} weights", shape.c),
            given: weights.len().to_string(),
        }
        .into());
    }
    let volume = shape.t * shape.h * shape.w;
    let mut sums = vec![0.0; volume];
    for (channel, &weight) in channels.chunks_exact(volume).zip(weights) {
        for (sum, &value) in sums.iter_mut().zip(channel) {
            *sum += f64::from(value) * f64::from(weight);
        }
    }
    let values = sums.into_iter().map(|sum| sum as f32).collect();
    Ok(FrameMaps { count: shape.t, height: shape.h, width: shape.w, values })
}

/// The channels of one `item` of the batch, C×T×H×W.
fn channels<'a>(activation: &Activation<'a>, item: usize) -> Result<&'a [f32]> {
    let shape = activation.shape.checked(activation.name)?;
    let wrong =
        |wanted: String, given: String| ErrorRepr::Shape { what: activation.name.to_owned(), wanted, given }.into();
    if activation.data.len() != shape.len() {
        let wanted = format!("{shape} ({} values)", shape.len());
        return Err(wrong(wanted, format!("{} values", activation.data.len())));
    }
    let channels = activation.data.chunks_exact(shape.len() / shape.n).nth(item);
    channels.ok_or_else(|| wrong(format!("at least {item} + 1 items"), shape.to_string()))
}

/// The root mean square over channels, after `prepare` is applied to each channel (T×H×W values).
fn root_mean_square(
    activation: &Activation<'_>,
    item: usize,
    prepare: impl Fn(Shape, &[f32]) -> Vec<f64>,
) -> Result<FrameMaps> {
    let channels = channels(activation, item)?;
    let shape = activation.shape;
    let volume = shape.t * shape.h * shape.w;
    let mut squares = vec![0.0; volume];
    for channel in channels.chunks_exact(volume) {
        for (sum, value) in squares.iter_mut().zip(prepare(shape, channel)) {
            *sum += value * value;
        }
    }
    let values = squares.into_iter().map(|sum| (sum / shape.c as f64).sqrt() as f32).collect();
    Ok(FrameMaps { count: shape.t, height: shape.h, width: shape.w, values })
}
