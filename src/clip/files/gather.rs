//! Collects the frames of all inputs, one by one, whatever they are read from.

use std::fmt::Display;

use super::picks::Picks;
use super::views::{Sink, Viewed, Views};
use super::{Damage, Input, LoadOptions, LoadProgress, Taken};
use crate::clip::preprocess::{ChannelOrder, Frames, Item, assemble, check_equal_counts};
use crate::error::{ErrorRepr, Result};

/// The maximum size of the kept original pictures in bytes. They are only for display, and the clip can be displayed
/// instead.
const MOST_KEPT: usize = 1 << 30;

/// The maximum number of pixels of a frame: four times that of 8K. A small file can claim any number.
pub(super) const MOST_PIXELS: usize = 1 << 27;

/// A frame as it was read.
pub(super) struct Picture<'a> {
    /// Height and width in pixels.
    pub(super) size: [usize; 2],
    pub(super) order: ChannelOrder,
    /// H×W×3.
    pub(super) bytes: &'a [u8],
}

/// The number of pixels of a frame of `[height, width]`, which is checked before memory is allocated for it.
///
/// # Errors
/// [`ErrorKind::Size`](crate::ErrorKind::Size) if there are none, or too many.
pub(super) fn pixels(frame: impl Display, [height, width]: [usize; 2]) -> Result<usize> {
    let pixels = height.checked_mul(width).filter(|pixels| (1..=MOST_PIXELS).contains(pixels));
    pixels.ok_or_else(|| {
        ErrorRepr::Size {
            what: frame.to_string(),
            reason: format!("{width}x{height} pixels, wanted at least one and at most 2^27"),
        }
        .into()
    })
}

/// The inputs read so far.
pub(super) struct Gathering<'a> {
    options: &'a LoadOptions,
    progress: &'a mut dyn FnMut(LoadProgress),
    inputs: Vec<Gathered>,
    /// The bytes of pictures that may still be kept; `None` if no pictures are kept.
    room: Option<usize>,
    damage: Vec<Damage>,
    /// Receives every clip when it is complete; `None` if the inputs become one batch.
    sink: Option<Sink<'a>>,
}

/// One input.
struct Gathered {
    name: String,
    /// The expected number of frames.
    expected: Option<usize>,
    /// Name, size and channel order of the first frame.
    first: Option<(String, [usize; 2], ChannelOrder)>,
    item: Option<Item>,
    pictures: Vec<u8>,
    /// The frames of its clips, if they were sampled.
    taken: Option<Viewed>,
    /// The positions of the clip's frames among the frames that are read, if the two lists differ.
    order: Option<Vec<usize>>,
    views: Option<Views>,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(options: &'a LoadOptions, progress: &'a mut dyn FnMut(LoadProgress)) -> Self {
        let room = options.keep_frames.then_some(MOST_KEPT);
        Self { options, progress, inputs: Vec::new(), room, damage: Vec::new(), sink: None }
    }

    /// As [`Gathering::new`], but hands the clips of every input to `sink`.
    pub(super) fn with_views(
        options: &'a LoadOptions,
        progress: &'a mut dyn FnMut(LoadProgress),
        sink: Sink<'a>,
    ) -> Self {
        Self { room: None, sink: Some(sink), ..Self::new(options, progress) }
    }

    /// Whether the number of frames of an input must be known before any frame is read.
    pub(super) fn samples(&self) -> bool {
        self.options.sampling.is_some() || self.sink.is_some()
    }

    /// The options for reading the inputs.
    pub(super) fn options(&self) -> &'a LoadOptions {
        self.options
    }

    /// The name of the first input, if there is one.
    pub(super) fn first_name(&self) -> Option<&str> {
        self.inputs.first().map(|input| input.name.as_str())
    }

    /// Begins the next input, which has `available` frames at `rate` frames a second, as far as is known. Returns the
    /// frames to read.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if the input does not have the requested frames. Where the number
    /// of frames is not known yet, the caller checks a selection.
    pub(super) fn begin(&mut self, name: &str, available: Option<usize>, rate: Option<f64>) -> Result<Picks> {
        let selection = self.options.selection;
        let mut gathered = Gathered {
            name: name.to_owned(),
            expected: None,
            first: None,
            item: None,
            pictures: Vec::new(),
            taken: None,
            order: None,
            views: None,
        };
        let picks = match (&self.options.sampling, available) {
            (Some(sampling), Some(available)) => {
                let several = self.sink.is_some();
                let sampled = if several {
                    sampling.several(name, available, rate)?
                } else {
                    sampling.one(name, available, rate)?
                };
                let crops = if several { sampling.crops } else { 1 };
                let available = Some(available);
                let short = sampled.short;
                let clips = sampled.clips;
                gathered.taken = Some(Viewed { name: name.to_owned(), clips, crops, available, rate, short });
                Picks::of(gathered.taken.as_ref().map_or(&[], |taken| &taken.clips))
            }
            (None, Some(available)) if self.sink.is_some() => {
                selection.check(name, available)?;
                let clips = vec![(0..available).filter(|&index| selection.takes(index)).collect()];
                let picks = Picks::of(&clips);
                let available = Some(available);
                gathered.taken = Some(Viewed { name: name.to_owned(), clips, crops: 1, available, rate, short: false });
                picks
            }
            _ => Picks::Selected(selection),
        };
        if let (Some(taken), Picks::Listed(frames)) = (&gathered.taken, &picks) {
            if self.sink.is_some() {
                let sampling = self.options.sampling.as_ref();
                let preprocess = &self.options.preprocess;
                gathered.views = Some(Views::new(self.inputs.len(), &taken.clips, sampling, preprocess));
            } else {
                let position = |frame: &usize| frames.binary_search(frame).ok();
                gathered.order = Some(taken.clips.iter().flatten().filter_map(position).collect());
            }
        }
        gathered.expected = picks.expected(available);
        self.inputs.push(gathered);
        Ok(picks)
    }

    /// Removes the current input, which has fewer frames than stated, so that it can begin again.
    pub(super) fn forget(&mut self) {
        self.restart();
        self.inputs.pop();
    }

    /// Restarts the current input: its frames come again from the first one on.
    pub(super) fn restart(&mut self) {
        if let Some(input) = self.inputs.last_mut() {
            self.room = self.room.map(|room| room + input.pictures.len());
            (input.first, input.item, input.pictures) = (None, None, Vec::new());
            input.views.iter_mut().for_each(Views::restart);
        }
    }

    /// Adds damage of the current input.
    pub(super) fn damage(&mut self, damage: Damage) {
        self.damage.push(damage);
    }

    /// Adds the next frame of the current input; `name` is for messages.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if its size differs from that of the frames before;
    /// [`ErrorKind::Size`](crate::ErrorKind::Size) if the clip becomes too large, or there is not enough memory.
    pub(super) fn push(&mut self, name: impl Display, picture: &Picture<'_>) -> Result<()> {
        let input = self.inputs.last_mut().expect("frames are pushed only after their input has begun");
        let first = input.first.get_or_insert_with(|| (name.to_string(), picture.size, picture.order));
        let ([height, width], [wanted_height, wanted_width]) = (picture.size, first.1);
        if picture.size != first.1 {
            return Err(ErrorRepr::Clip {
                wanted: format!("frames that are all as large as {}, {wanted_width}x{wanted_height} pixels", first.0),
                given: format!("{name} of {width}x{height} pixels"),
            }
            .into());
        }
        if let (Some(views), Some(sink)) = (&mut input.views, &mut self.sink) {
            views.push(picture, sink)?;
            (self.progress)(LoadProgress { frames: views.received(), expected: input.expected });
            return Ok(());
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

    /// The used frames of the inputs, after all clips have been handed out.
    pub(super) fn viewed(self) -> (Vec<Viewed>, Vec<Damage>) {
        let viewed: Vec<Viewed> = self.inputs.into_iter().filter_map(|input| input.taken).collect();
        viewed.iter().for_each(|viewed| warn_if_short(viewed, self.options));
        (viewed, self.damage)
    }

    /// The clip of all inputs.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if there are none, or if their lengths differ;
    /// [`ErrorKind::Size`](crate::ErrorKind::Size) if the clip is too large.
    pub(super) fn finish(self) -> Result<Input> {
        let count = |input: &Gathered| match (input.item.as_ref().map_or(0, Item::count), &input.order) {
            (1.., Some(order)) => order.len(),
            (read, _) => read,
        };
        let counts: Vec<usize> = self.inputs.iter().map(count).collect();
        check_equal_counts(&counts, |i| self.inputs[i].name.clone())?;
        let (mut items, mut frames, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for input in self.inputs {
            let Some(mut item) = input.item else { continue };
            let mut pictures = input.pictures;
            if let Some(order) = &input.order {
                item = item.arranged(order)?;
                pictures = arranged(&pictures, order, input.first.as_ref().map_or([0; 2], |first| first.1));
            }
            if let (Some(_), Some((_, [height, width], order))) = (self.room, input.first) {
                frames.push(Frames::new([item.count(), height, width], order, pictures)?);
            }
            items.push(item);
            taken.extend(input.taken.inspect(|taken| warn_if_short(taken, self.options)).map(Taken::from));
        }
        let clip = assemble(items, &self.options.preprocess)?;
        let normalization = Some(self.options.preprocess.normalization);
        Ok(Input { clip, frames, normalization, damage: self.damage, taken })
    }
}

/// Warns of an input that is shorter than a clip should be, and says how it was filled up.
fn warn_if_short(taken: &Viewed, options: &LoadOptions) {
    if let (true, Some(sampling), Some(available)) = (taken.short, &options.sampling, taken.available) {
        let rate = taken.rate.map(|rate| format!(" at {rate:.2} fps")).unwrap_or_default();
        log::warn!(
            "{}: its {available} frames{rate} are too few for a clip of {}: {}",
            taken.name,
            sampling.describe(),
            sampling.rule.filled_up()
        );
    }
}

/// The pictures with the numbers `order`, in that order. All have `[height, width]` pixels.
fn arranged(pictures: &[u8], order: &[usize], [height, width]: [usize; 2]) -> Vec<u8> {
    let size = 3 * height * width;
    let picture = |&index: &usize| pictures.get(index * size..(index + 1) * size);
    order.iter().filter_map(picture).flatten().copied().collect()
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
                gathering.begin(name, None, None).unwrap();
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
