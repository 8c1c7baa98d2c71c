//! Where the frames of all inputs come together, one by one, whatever they are read from.

use std::fmt::Display;

use super::{Damage, Input, LoadOptions, LoadProgress};
use crate::clip::preprocess::{ChannelOrder, Frames, Item, assemble, check_equal_counts};
use crate::error::{Error, Result};

/// The most that is kept of the original pictures, in bytes. They are for looking at, and the clip shows them as well.
const MOST_KEPT: usize = 1 << 30;

/// The most pixels of a frame: four times those of 8K. A small file can ask for any number.
pub(super) const MOST_PIXELS: usize = 1 << 27;

/// One frame as it was read.
pub(super) struct Picture<'a> {
    /// Height and width in pixels.
    pub(super) size: [usize; 2],
    pub(super) order: ChannelOrder,
    /// H×W×3.
    pub(super) bytes: &'a [u8],
}

/// How many pixels a frame of `[height, width]` has; asked before anything is allocated for it.
///
/// # Errors
/// [`Error::Size`] if it has none, or too many.
pub(super) fn pixels(frame: impl Display, [height, width]: [usize; 2]) -> Result<usize> {
    let pixels = height.checked_mul(width).filter(|pixels| (1..=MOST_PIXELS).contains(pixels));
    pixels.ok_or_else(|| Error::Size {
        what: frame.to_string(),
        reason: format!("{width}x{height} pixels, wanted at least one and at most 2^27 of them"),
    })
}

/// The inputs read so far.
pub(super) struct Gathering<'a> {
    options: &'a LoadOptions,
    progress: &'a mut dyn FnMut(LoadProgress),
    inputs: Vec<Gathered>,
    /// How many more bytes of pictures are kept; `None` if there are to be none.
    room: Option<usize>,
    damage: Vec<Damage>,
}

/// One input.
struct Gathered {
    name: String,
    /// How many frames it is expected to have.
    expected: Option<usize>,
    /// What its first frame is called, its size and order.
    first: Option<(String, [usize; 2], ChannelOrder)>,
    item: Option<Item>,
    pictures: Vec<u8>,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(options: &'a LoadOptions, progress: &'a mut dyn FnMut(LoadProgress)) -> Self {
        let room = options.keep_frames.then_some(MOST_KEPT);
        Self { options, progress, inputs: Vec::new(), room, damage: Vec::new() }
    }

    /// The options that the inputs are read with.
    pub(super) fn options(&self) -> &'a LoadOptions {
        self.options
    }

    /// The first input, if there is one.
    pub(super) fn first_name(&self) -> Option<&str> {
        self.inputs.first().map(|input| input.name.as_str())
    }

    /// The next input begins; `expected` frames are to be taken of it, if that is known.
    pub(super) fn begin(&mut self, name: String, expected: Option<usize>) {
        self.inputs.push(Gathered { name, expected, first: None, item: None, pictures: Vec::new() });
    }

    /// The frames of the input at hand come again, from the first one on.
    pub(super) fn restart(&mut self) {
        if let Some(input) = self.inputs.last_mut() {
            self.room = self.room.map(|room| room + input.pictures.len());
            (input.first, input.item, input.pictures) = (None, None, Vec::new());
        }
    }

    /// Something of the input at hand was damaged.
    pub(super) fn damage(&mut self, damage: Damage) {
        self.damage.push(damage);
    }

    /// The next frame of the input; `name` is for messages.
    ///
    /// # Errors
    /// [`Error::Clip`] if it is of another size than those before; [`Error::Size`] if the clip becomes too large, or
    /// memory does not suffice.
    pub(super) fn push(&mut self, name: impl Display, picture: &Picture<'_>) -> Result<()> {
        let input = self.inputs.last_mut().expect("frames are pushed only after their input has begun");
        let first = input.first.get_or_insert_with(|| (name.to_string(), picture.size, picture.order));
        let ([height, width], [wanted_height, wanted_width]) = (picture.size, first.1);
        if picture.size != first.1 {
            return Err(Error::Clip {
                wanted: format!("frames that are all as large as {}, {wanted_width}x{wanted_height} pixels", first.0),
                given: format!("{name} of {width}x{height} pixels"),
            });
        }
        let item = match &mut input.item {
            Some(item) => item,
            none => none.insert(Item::new(&self.options.preprocess, picture.size, picture.order)?),
        };
        item.push(picture.bytes)?;
        (self.progress)(LoadProgress { frames: item.count(), expected: input.expected });
        if let Some(room) = self.room {
            self.room = room.checked_sub(picture.bytes.len());
            match self.room {
                Some(_) => input.pictures.extend_from_slice(picture.bytes),
                None => self.inputs.iter_mut().for_each(|input| input.pictures = Vec::new()),
            }
        }
        Ok(())
    }

    /// The clip of all inputs.
    ///
    /// # Errors
    /// [`Error::Clip`] if there are none, or they are of unequal length; [`Error::Size`] if the clip is too large.
    pub(super) fn finish(self) -> Result<Input> {
        let counts: Vec<usize> = self.inputs.iter().map(|input| input.item.as_ref().map_or(0, Item::count)).collect();
        check_equal_counts(&counts, |i| self.inputs[i].name.clone())?;
        let (mut items, mut frames) = (Vec::new(), Vec::new());
        for input in self.inputs {
            if let (Some(_), Some((_, [height, width], order)), Some(item)) = (self.room, input.first, &input.item) {
                frames.push(Frames::new([item.count(), height, width], order, input.pictures)?);
            }
            items.extend(input.item);
        }
        let clip = assemble(items, &self.options.preprocess)?;
        let normalization = Some(self.options.preprocess.normalization);
        Ok(Input { clip, frames, normalization, damage: self.damage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_kept_while_there_is_room() {
        let options = LoadOptions { keep_frames: true, ..LoadOptions::default() };
        // Two inputs of two frames of 12 bytes each.
        for (room, kept) in [(Some(48), 2), (Some(47), 0), (None, 0)] {
            let mut seen = Vec::new();
            let mut progress = |progress| seen.push(progress);
            let mut gathering = Gathering { room, ..Gathering::new(&options, &mut progress) };
            for name in ["first", "second"] {
                gathering.begin(name.to_owned(), None);
                for byte in [7, 8] {
                    let picture = Picture { size: [2, 2], order: ChannelOrder::Rgb, bytes: &[byte; 12] };
                    gathering.push(name, &picture).unwrap();
                }
            }
            let input = gathering.finish().unwrap();
            assert_eq!((input.clip.shape().n, input.clip.shape().t), (2, 2));
            assert_eq!(input.frames.len(), kept);
            assert!(input.frames.iter().all(|frames| frames.data() == [[7; 12], [8; 12]].concat()));
            assert_eq!(seen.iter().map(|progress| progress.frames).collect::<Vec<_>>(), [1, 2, 1, 2]);
        }
    }
}
