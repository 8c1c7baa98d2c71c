//! Draws activations over the frames that they belong to: one row per blob, one column per frame.

use super::backdrop::Backdrop;
use super::canvas::{Picture, text_size};
use super::maps::{Activation, FrameMaps, HeatmapMode, class_map};
use crate::error::Result;

/// The maximum number of shown frames. More frames are sampled evenly.
const MAX_COLUMNS: usize = 8;
/// The maximum width of the columns of frames together with their gaps, in pixels.
const MAX_GRID_WIDTH: usize = 2160;
/// The maximum side of a drawn frame.
const MAX_CELL: usize = 400;
const MARGIN: usize = 28;
const GAP: usize = 6;
/// The gap between a line of text and the row that it describes, and before the next row.
const LINE_GAP: usize = 8;
const ROW_GAP: usize = 26;
const BAR_WIDTH: usize = 18;
/// Pixels per pixel of the font.
const TEXT: usize = 2;
/// The maximum length of a number on a colour bar, in letters.
const NUMBER_LETTERS: usize = 8;

const PAPER: [u8; 3] = [18, 18, 24];
const INK: [u8; 3] = [238, 238, 242];
const FAINT: [u8; 3] = [150, 152, 166];
/// Perceptually uniform, dark for low values, and suitable for people with colour blindness.
const SCALE: colorous::Gradient = colorous::INFERNO;
/// Opacity of the map at its lowest and highest value over the grey frame.
const OPACITY: [f32; 2] = [0.45, 0.8];
/// Brightness of the grey frame: white would wash out the colours.
const DIMMING: f32 = 0.7;

/// Draws a row of frames of the first clip of the batch, and a row below it for each activation: the grey frames with
/// the map of `mode` over them. Maps are enlarged bilinearly. Each activation has a colour scale from the minimum to
/// the maximum of its map over all frames.
///
/// At most eight frames are shown, sampled evenly. If an activation has fewer frames than the clip, frame `t` of T
/// shows map `t * T' / T`.
///
/// # Errors
/// As [`super::activation_map`], for each activation.
pub fn heatmap(backdrop: &Backdrop, activations: &[Activation<'_>], mode: HeatmapMode) -> Result<Picture> {
    let rows = activations
        .iter()
        .map(|activation| Ok((row_label(activation, backdrop), mode.maps(activation, 0)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(draw(backdrop, mode.description(), &rows))
}

/// Draws, as [`heatmap`], where the blob `activation` of the first clip of the batch contributes to the class `label`,
/// whose `weights` are one per channel.
///
/// # Errors
/// As [`super::class_map`].
pub fn class_heatmap(
    backdrop: &Backdrop,
    activation: &Activation<'_>,
    weights: &[f32],
    label: &str,
) -> Result<Picture> {
    let rows = [(row_label(activation, backdrop), class_map(activation, 0, weights)?)];
    Ok(draw(backdrop, &format!("class activation: contributions to {label}"), &rows))
}

/// Draws the frames, and below them a row for each map with its label. `what` is the heading.
fn draw(backdrop: &Backdrop, what: &str, rows: &[(String, FrameMaps)]) -> Picture {
    let clip = backdrop.clip();
    let frames = sampled(clip.t);
    let heading = [
        what.to_owned(),
        format!(
            "clip {clip}, {} of {} frames{}",
            frames.len(),
            clip.t,
            if clip.n > 1 { format!(", the first of {} clips", clip.n) } else { String::new() }
        ),
    ];
    let cell = cell_size(backdrop.picture_size(), frames.len());
    let layout = Layout { cell, columns: frames.len() };

    let lines = heading.iter().chain(rows.iter().map(|(label, _)| label));
    let widest = lines.map(|line| text_size(line.chars().count(), TEXT)[0]).max().unwrap_or(0);
    let mut picture = Picture::new(2 * MARGIN + layout.width().max(widest), layout.height(rows.len()), PAPER);

    for (i, (line, colour)) in heading.iter().zip([INK, FAINT]).enumerate() {
        picture.text([MARGIN, MARGIN + i * layout.line()], line, TEXT, colour);
    }
    let top = layout.row_top(0);
    for (column, &t) in frames.iter().enumerate() {
        let x = layout.column_left(column);
        picture.text([x, top], &format!("frame {t}"), TEXT, FAINT);
        draw_pixels(&mut picture, [x, top + layout.line()], cell, &backdrop.resized(t, cell));
    }
    for (i, (label, maps)) in rows.iter().enumerate() {
        let top = layout.row_top(i + 1);
        picture.text([MARGIN, top], label, TEXT, INK);
        let y = top + layout.line();
        let (low, high) = maps.range().unwrap_or((0.0, 0.0));
        for (column, &t) in frames.iter().enumerate() {
            let overlaid = overlay(backdrop, t, cell, maps, [low, high]);
            draw_pixels(&mut picture, [layout.column_left(column), y], cell, &overlaid);
        }
        let bar = [layout.column_left(frames.len()) + GAP, y];
        draw_bar(&mut picture, bar, layout.cell_height(), [low, high]);
    }
    picture
}

/// The layout: a heading of two lines, then rows, each of which is a line of text over a row of cells.
struct Layout {
    /// Width and height of a drawn frame.
    cell: [usize; 2],
    columns: usize,
}

impl Layout {
    /// Height of a line of text with the gap below.
    fn line(&self) -> usize {
        text_size(0, TEXT)[1] + LINE_GAP
    }

    /// The upper edge of a row, at its label. Row 0 has the frames.
    fn row_top(&self, row: usize) -> usize {
        MARGIN + 2 * self.line() + ROW_GAP / 2 + row * (self.line() + self.cell_height() + ROW_GAP)
    }

    /// Height of the cells, at least that of the two numbers on a colour bar.
    fn cell_height(&self) -> usize {
        self.cell[1].max(2 * self.line())
    }

    fn column_left(&self, column: usize) -> usize {
        MARGIN + column * (self.cell[0] + GAP)
    }

    /// Width of the cells with the colour bar, without margins.
    fn width(&self) -> usize {
        self.column_left(self.columns) - MARGIN + GAP + BAR_WIDTH + GAP + text_size(NUMBER_LETTERS, TEXT)[0]
    }

    /// Height of the whole picture with `rows` rows below the frames.
    fn height(&self, rows: usize) -> usize {
        self.row_top(rows + 1) - ROW_GAP + MARGIN
    }
}

/// The frames to show of `count` frames.
fn sampled(count: usize) -> Vec<usize> {
    let columns = count.min(MAX_COLUMNS);
    let steps = columns.saturating_sub(1).max(1);
    (0..columns).map(|i| (i * (count - 1) + steps / 2) / steps).collect()
}

/// The size of a drawn frame, from the size of a frame and the number of columns.
fn cell_size([width, height]: [usize; 2], columns: usize) -> [usize; 2] {
    let available = (MAX_GRID_WIDTH + GAP) / columns - GAP;
    let factor = (available.min(MAX_CELL) as f64 / width as f64).min(MAX_CELL as f64 / height as f64);
    [width, height].map(|side| ((side as f64 * factor).round() as usize).max(1))
}

fn row_label(activation: &Activation<'_>, backdrop: &Backdrop) -> String {
    let (maps, frames) = (activation.shape.t, backdrop.clip().t);
    let time = if maps == frames { String::new() } else { format!("  (frame t shows map t*{maps}/{frames})") };
    format!("{}  {}{time}", activation.name, activation.shape)
}

/// The grey frame `t` with its coloured map, as RGB bytes.
fn overlay(backdrop: &Backdrop, t: usize, cell: [usize; 2], maps: &FrameMaps, [low, high]: [f32; 2]) -> Vec<u8> {
    let mut pixels = backdrop.resized(t, cell);
    let clip = backdrop.clip();
    let map_index = (t * maps.count() / clip.t).min(maps.count() - 1);
    let Some(map) = maps.frame(map_index) else {
        return pixels;
    };
    let [rows, columns] = backdrop.extent();
    let across = Alignment::new(clip.w, maps.width());
    let down = Alignment::new(clip.h, maps.height());
    let xs: Vec<_> =
        (0..cell[0]).map(|x| across.position((x as f64 + 0.5) * columns as f64 / cell[0] as f64)).collect();
    for (y, row) in pixels.chunks_exact_mut(cell[0] * 3).enumerate() {
        let (above, below, fy) = down.position((y as f64 + 0.5) * rows as f64 / cell[1] as f64);
        for (pixel, &(left, right, fx)) in row.chunks_exact_mut(3).zip(&xs) {
            let at = |y: usize, x: usize| map[y * maps.width() + x];
            let mix = |a: f32, b: f32, f: f32| a + (b - a) * f;
            let value = mix(mix(at(above, left), at(above, right), fx), mix(at(below, left), at(below, right), fx), fy);
            let level = level(value, [low, high]);
            let [red, green, blue] = [0, 1, 2].map(|c| f32::from(pixel[c]));
            let grey = DIMMING * (0.299 * red + 0.587 * green + 0.114 * blue);
            let opacity = mix(OPACITY[0], OPACITY[1], level);
            let colour = SCALE.eval_continuous(f64::from(level)).into_array();
            for (byte, colour) in pixel.iter_mut().zip(colour) {
                *byte = mix(grey, f32::from(colour), opacity).round() as u8;
            }
        }
    }
    pixels
}

/// The position of a value between the lowest and the highest, from 0 to 1. NaN counts as the lowest.
fn level(value: f32, [low, high]: [f32; 2]) -> f32 {
    let span = high - low;
    if span > 0.0 && !value.is_nan() { ((value - low) / span).clamp(0.0, 1.0) } else { 0.0 }
}

/// The mapping of an axis of a clip to the same axis of a smaller map.
struct Alignment {
    /// Pixels of the clip per element of the map.
    stride: f64,
    /// The centre of the first element in continuous coordinates of the clip.
    first: f64,
    last: usize,
}

impl Alignment {
    fn new(clip: usize, map: usize) -> Self {
        let last = map.saturating_sub(1);
        // The network halves an axis and rounds up. Its padded windows are centred on every 2nd, 4th, 8th, … pixel from
        // the first on, rather than on the middle of the pixels of an element.
        let mut powers = (0..usize::BITS).map(|power| 1usize << power);
        match powers.find(|&stride| clip.div_ceil(stride) <= map) {
            Some(stride) if clip.div_ceil(stride) == map => Self { stride: stride as f64, first: 0.5, last },
            _ => {
                let stride = clip as f64 / map as f64;
                Self { stride, first: stride / 2.0, last }
            }
        }
    }

    /// The two elements around a continuous coordinate of the clip, and the fraction towards the second.
    fn position(&self, clip: f64) -> (usize, usize, f32) {
        let position = ((clip - self.first) / self.stride).clamp(0.0, self.last as f64);
        let low = position.floor() as usize;
        (low, (low + 1).min(self.last), (position - low as f64) as f32)
    }
}

fn draw_pixels(picture: &mut Picture, [x, y]: [usize; 2], [width, _]: [usize; 2], rgb: &[u8]) {
    for (i, pixel) in rgb.as_chunks::<3>().0.iter().enumerate() {
        picture.set(x + i % width, y + i / width, *pixel);
    }
}

/// Draws the vertical colour scale with its highest and lowest value.
fn draw_bar(picture: &mut Picture, [x, y]: [usize; 2], height: usize, [low, high]: [f32; 2]) {
    for row in 0..height {
        let level = 1.0 - row as f64 / (height - 1).max(1) as f64;
        picture.fill([x, y + row], [BAR_WIDTH, 1], SCALE.eval_continuous(level).into_array());
    }
    let text_left = x + BAR_WIDTH + GAP;
    picture.text([text_left, y], &number(high), TEXT, INK);
    let bottom = (y + height).saturating_sub(text_size(0, TEXT)[1]);
    picture.text([text_left, bottom], &number(low), TEXT, INK);
}

/// Three significant digits in at most [`NUMBER_LETTERS`] letters.
fn number(value: f32) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e5).contains(&size) {
        let digits = (2 - size.log10().floor() as i32).max(0) as usize;
        format!("{value:.digits$}")
    } else {
        format!("{value:.1e}")
    }
}
