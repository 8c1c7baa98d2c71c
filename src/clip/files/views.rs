//! Clips of one input, one after another: what a test of a video network averages over.
//!
//! Frames are read once, in order, and become values once, however many clips and crops they are in. A clip is handed out
//! when its last frame has come, and a frame is dropped with the last clip that has it, so that memory is for the clips that
//! overlap and not for the input.

use super::gather::Picture;
use crate::clip::Clip;
use crate::clip::preprocess::{FrameConverter, Planes, Preprocess, cut};
use crate::clip::sampling::Sampling;
use crate::error::{ErrorRepr, Result};
use std::collections::BTreeMap;

/// One clip of an input, or a square cut out of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct View {
    /// Which input it is of, counted from 0: a file may have several, as a batch has.
    pub input: usize,
    /// Which of the input's clips, counted from 0.
    pub clip: usize,
    /// How many clips the input has.
    pub clips: usize,
    /// Which of its squares, counted from 0 from the left or the top.
    pub crop: usize,
    /// How many squares every clip has.
    pub crops: usize,
    /// The values, 1×3×T×H×W.
    pub values: Clip,
}

/// What an input was taken for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Viewed {
    /// What it is called.
    pub name: String,
    /// The frames of each of its clips, counted from 0; empty for a ready clip, which is one.
    pub clips: Vec<Vec<usize>>,
    /// How many squares of every clip.
    pub crops: usize,
    /// How many frames there are; `None` for a ready clip.
    pub there: Option<usize>,
    /// Its frames a second, where it has a rate.
    pub rate: Option<f64>,
    /// Whether it is shorter than a clip should be.
    pub short: bool,
}

/// What takes the clips.
pub(super) type Sink<'a> = &'a mut dyn FnMut(View) -> Result<()>;

/// The clips of the input at hand.
pub(super) struct Views {
    input: usize,
    /// The frames of every clip, and the last of them.
    clips: Vec<(Vec<usize>, usize)>,
    /// The clips in the order in which their last frames come.
    order: Vec<usize>,
    /// How many of these have been handed out.
    sent: usize,
    /// The frames that are read, and with which frame the last clip is complete that has it.
    last_use: Vec<(usize, usize)>,
    /// How many frames have come.
    come: usize,
    frames: BTreeMap<usize, Planes>,
    converter: Option<FrameConverter>,
    crops: usize,
    preprocess: Preprocess,
    /// The side of each of several squares; that of the frames' shorter side where nobody says it.
    side: Option<usize>,
}

impl Views {
    /// Those of `clips` of the `input`-th input.
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
            come: 0,
            frames: BTreeMap::new(),
            converter: None,
            crops,
            preprocess: Preprocess { crop: preprocess.crop.filter(|_| crops == 1), ..*preprocess },
            side,
        }
    }

    /// The frames come again, from the first one on.
    pub(super) fn restart(&mut self) {
        (self.sent, self.come, self.converter) = (0, 0, None);
        self.frames.clear();
    }

    /// How many frames have come.
    pub(super) fn come(&self) -> usize {
        self.come
    }

    /// Takes the next frame, and hands out the clips that it completes.
    pub(super) fn push(&mut self, picture: &Picture<'_>, sink: &mut dyn FnMut(View) -> Result<()>) -> Result<()> {
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => none.insert(FrameConverter::new(&self.preprocess, picture.size, picture.order)?),
        };
        let Some(&(index, _)) = self.last_use.get(self.come) else { return Ok(()) };
        self.frames.insert(index, converter.convert(picture.bytes)?);
        self.come += 1;
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

    /// First row and column, height and width of a square, or of all: the first at the beginning of the longer side, the last
    /// at its end, and all in the middle of the shorter one.
    fn place(&self, frames: &[&Planes], crop: usize) -> Result<[[usize; 2]; 2]> {
        let extent = frames.first().map_or([0; 2], |frame| frame.extent());
        if self.crops == 1 {
            return Ok([[0; 2], extent]);
        }
        let side = self.side.unwrap_or(extent[0].min(extent[1]));
        let room = extent.map(|extent| extent.checked_sub(side));
        let [Some(rows), Some(columns)] = room else {
            return Err(ErrorRepr::Clip {
                wanted: format!("frames of at least {side}x{side} pixels, to cut {} squares out of each", self.crops),
                given: format!("{}x{} pixels after resizing", extent[0], extent[1]),
            }
            .into());
        };
        // The middle as PySlowFast's `uniform_crop` has it.
        let along = |room: usize| [0, room.div_ceil(2), room][crop.min(2)];
        let from = if rows > columns { [along(rows), columns.div_ceil(2)] } else { [rows.div_ceil(2), along(columns)] };
        Ok([from, [side; 2]])
    }
}
