//! Several clips of one input. Tests of networks for video average over them.
//!
//! Every frame is read and converted once, in order, however many clips and crops it is in. A clip is handed out after
//! its last frame has been read, and a frame is dropped after the last clip that uses it. So the memory depends on how
//! many clips overlap, not on the length of the input.

use super::gather::Picture;
use crate::clip::Clip;
use crate::clip::preprocess::{FrameConverter, Planes, Preprocess, cut};
use crate::clip::sampling::Sampling;
use crate::error::{ErrorRepr, Result};
use std::collections::BTreeMap;

/// A clip of an input, or a crop of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct View {
    /// The number of the input, counted from 0. A file may have several inputs, as a batch.
    pub input: usize,
    /// The number of the clip, counted from 0.
    pub clip: usize,
    /// The number of clips of the input.
    pub clips: usize,
    /// The number of the crop, counted from 0 from the left or the top.
    pub crop: usize,
    /// The number of crops of every clip.
    pub crops: usize,
    /// The values, 1×3×T×H×W.
    pub values: Clip,
}

/// The clips and crops of an input.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Viewed {
    /// Name of the input.
    pub name: String,
    /// The frames of each clip, counted from 0; empty for a ready clip, which counts as one clip.
    pub clips: Vec<Vec<usize>>,
    /// The number of crops of every clip.
    pub crops: usize,
    /// The number of frames of the input; `None` for a ready clip.
    pub available: Option<usize>,
    /// Frame rate of the input in frames a second, if it has one.
    pub rate: Option<f64>,
    /// Whether the input is shorter than a clip should be.
    pub short: bool,
}

/// Receives the clips.
pub(super) type Sink<'a> = &'a mut dyn FnMut(View) -> Result<()>;

/// The clips of the current input.
pub(super) struct Views {
    input: usize,
    /// The frames of every clip, and the last of these frames.
    clips: Vec<(Vec<usize>, usize)>,
    /// The clips in the order of their last frames.
    order: Vec<usize>,
    /// The number of clips that have been handed out.
    sent: usize,
    /// The frames to read, each with the frame that completes the last clip that uses it.
    last_use: Vec<(usize, usize)>,
    /// The number of received frames.
    received: usize,
    frames: BTreeMap<usize, Planes>,
    converter: Option<FrameConverter>,
    crops: usize,
    preprocess: Preprocess,
    /// The side of each crop, if there are several; `None` for the shorter side of the frames.
    side: Option<usize>,
}

impl Views {
    /// The clips `clips` of input number `input`.
    pub(super) fn new(
        input: usize,
        clips: &[Vec<usize>],
        sampling: Option<&Sampling>,
        preprocess: &Preprocess,
    ) -> Self {
        let crops = sampling.map_or(1, |sampling| sampling.crops);
        let side = sampling.and_then(|sampling| sampling.crop).or(preprocess.crop);
        let clips: Vec<(Vec<usize>, usize)> =
            clips.iter().map(|clip| (clip.clone(), clip.iter().copied().max().unwrap_or(0))).collect();
        let mut order: Vec<usize> = (0..clips.len()).collect();
        order.sort_by_key(|&clip| clips[clip].1);
        let mut last_use: BTreeMap<usize, usize> = BTreeMap::new();
        for (frames, last) in &clips {
            for &frame in frames {
                let until = last_use.entry(frame).or_insert(*last);
                *until = (*until).max(*last);
            }
        }
        Self {
            input,
            clips,
            order,
            sent: 0,
            last_use: last_use.into_iter().collect(),
            received: 0,
            frames: BTreeMap::new(),
            converter: None,
            crops,
            preprocess: Preprocess { crop: preprocess.crop.filter(|_| crops == 1), ..*preprocess },
            side,
        }
    }

    /// Restarts: the frames come again from the first one on.
    pub(super) fn restart(&mut self) {
        (self.sent, self.received, self.converter) = (0, 0, None);
        self.frames.clear();
    }

    /// The number of received frames.
    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// Adds the next frame, and hands out the clips that it completes.
    pub(super) fn push(&mut self, picture: &Picture<'_>, sink: &mut dyn FnMut(View) -> Result<()>) -> Result<()> {
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => none.insert(FrameConverter::new(&self.preprocess, picture.size, picture.order)?),
        };
        let Some(&(index, _)) = self.last_use.get(self.received) else { return Ok(()) };
        self.frames.insert(index, converter.convert(picture.bytes)?);
        self.received += 1;
        while let Some(&clip) = self.order.get(self.sent)
            && self.clips[clip].1 <= index
        {
            let frames: Vec<&Planes> = self.clips[clip].0.iter().filter_map(|frame| self.frames.get(frame)).collect();
            for crop in 0..self.crops {
                let values = cut(&frames, self.place(&frames, crop)?, &self.preprocess)?;
                let (clips, crops) = (self.clips.len(), self.crops);
                sink(View { input: self.input, clip, clips, crop, crops, values })?;
            }
            self.sent += 1;
        }
        let uses = &self.last_use;
        self.frames.retain(|frame, _| {
            let at = uses.binary_search_by_key(frame, |&(frame, _)| frame);
            at.is_ok_and(|at| uses[at].1 > index)
        });
        Ok(())
    }

    /// First row and column, height and width of a crop, or of the whole frame. The first crop is at the beginning of
    /// the longer side and the last at its end. All are in the middle of the shorter side.
    fn place(&self, frames: &[&Planes], crop: usize) -> Result<[[usize; 2]; 2]> {
        let extent = frames.first().map_or([0; 2], |frame| frame.extent());
        if self.crops == 1 {
            return Ok([[0; 2], extent]);
        }
        let side = self.side.unwrap_or(extent[0].min(extent[1]));
        let room = extent.map(|extent| extent.checked_sub(side));
        let [Some(rows), Some(columns)] = room else {
            return Err(ErrorRepr::Clip {
                wanted: format!("frames of at least {side}x{side} pixels, for {} crops of each", self.crops),
                given: format!("{}x{} pixels after resizing", extent[0], extent[1]),
            }
            .into());
        };
        // The middle as in PySlowFast's `uniform_crop`.
        let along = |room: usize| [0, room.div_ceil(2), room][crop.min(2)];
        let from = if rows > columns { [along(rows), columns.div_ceil(2)] } else { [rows.div_ceil(2), along(columns)] };
        Ok([from, [side; 2]])
    }
}
