//! A short synthetic clip with one moving object.

use std::f64::consts::{PI, TAU};
use std::path::Path;

use super::canvas::encode_png;
use crate::atomic_file::write_atomically;
use crate::clip::preprocess::{ChannelOrder, Frames};
use crate::error::{Error, ErrorRepr, Result};

/// A bright textured disc that crosses a static textured background on an arc. The same fields give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Number of frames.
    pub frames: usize,
    /// Rows of a frame, in pixels.
    pub height: usize,
    /// Columns of a frame, in pixels.
    pub width: usize,
}

impl Default for Scene {
    /// 8 frames of 192 rows and 256 columns: the disc moves by more than its radius from frame to frame.
    fn default() -> Self {
        Self { frames: 8, height: 192, width: 256 }
    }
}

impl Scene {
    /// The position of the disc in frame `t`: column and row of its centre, and its radius, in pixels. Pixel (x, y)
    /// covers the square from (x, y) to (x + 1, y + 1). The disc is completely inside every frame. Frames past the last
    /// are like the last.
    pub fn disc(&self, t: usize) -> (f64, f64, f64) {
        let (width, height) = (self.width as f64, self.height as f64);
        let radius = width.min(height) / 8.0;
        let last = self.frames.saturating_sub(1).max(1) as f64;
        let progress = (t as f64).min(last) / last;
        // A margin of a quarter of the radius keeps the soft edge inside too.
        let margin = 1.25 * radius;
        let x = margin + progress * (width - 2.0 * margin);
        let y = height - margin - (PI * progress).sin() * (height - 2.0 * margin);
        (x, y, radius)
    }

    /// The frames, red first.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) if a size is zero, [`ErrorKind::Size`](crate::ErrorKind::Size) if
    /// the frames are too large to address.
    pub fn render(&self) -> Result<Frames> {
        let dims = [self.frames, self.height, self.width];
        // The maximum number of values of a clip.
        let fits = dims.into_iter().try_fold(3usize, usize::checked_mul).is_some_and(|bytes| bytes < 1 << 30);
        if !fits {
            return Err(ErrorRepr::Size {
                what: "scene".to_owned(),
                reason: format!("{} frames of {}x{} pixels are too many", self.frames, self.width, self.height),
            }
            .into());
        }
        let mut data = Vec::with_capacity(dims.iter().product::<usize>() * 3);
        for t in 0..self.frames {
            let (centre_x, centre_y, radius) = self.disc(t);
            for y in 0..self.height {
                for x in 0..self.width {
                    let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
                    let (dx, dy) = (x - centre_x, y - centre_y);
                    // The edge blends over one pixel.
                    let cover = (radius - dx.hypot(dy) + 0.5).clamp(0.0, 1.0);
                    let (front, back) = (disc_colour(dx / radius, dy / radius), background(x, y));
                    data.extend((0..3).map(|c| (front[c] * cover + back[c] * (1.0 - cover)).round() as u8));
                }
            }
        }
        Frames::new(dims, ChannelOrder::Rgb, data)
    }

    /// The names of the files of the frames, in order: `000000.png`, `000001.png`, ….
    pub fn file_names(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.frames).map(|t| format!("{t:06}.png"))
    }

    /// Writes the frames as `000000.png`, `000001.png`, … to `directory`, which is created if necessary.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) if that fails; otherwise as [`Scene::render`].
    pub fn write_png_frames(&self, directory: impl AsRef<Path>) -> Result<()> {
        let directory = directory.as_ref();
        let frames = self.render()?;
        std::fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
        for (name, frame) in self.file_names().zip(frames.data().chunks_exact(self.height * self.width * 3)) {
            let png = encode_png(frame, self.width, self.height)?;
            write_atomically(directory.join(name), &png)?;
        }
        Ok(())
    }
}

/// Colour of the disc at `(x, y)` from its centre, in radii: rings and spokes that move with the disc.
fn disc_colour(x: f64, y: f64) -> [f64; 3] {
    let rings = (x.hypot(y) * 2.0 * TAU).cos();
    let spokes = (y.atan2(x) * 6.0).cos();
    let light = 0.85 + 0.15 * rings * spokes;
    [255.0, 236.0, 170.0].map(|channel| channel * light)
}

/// Colour of the background at a pixel: soft patches, a weave and a grain, in muted blue-green.
fn background(x: f64, y: f64) -> [f64; 3] {
    let patches = (smooth_noise(x / 24.0, y / 24.0) + 0.5 * smooth_noise(x / 9.0, y / 9.0)) / 1.5;
    let weave = ((x + 0.6 * y) * TAU / 17.0).sin() * ((y - 0.4 * x) * TAU / 23.0).sin();
    let grain = noise(x.floor(), y.floor());
    let light = 0.45 + 0.35 * patches + 0.12 * weave + 0.10 * grain;
    [72.0, 104.0, 112.0].map(|channel| (channel * light * 1.6).clamp(0.0, 255.0))
}

/// Noise in -1..1, smooth between the integer points.
fn smooth_noise(x: f64, y: f64) -> f64 {
    let (left, top) = (x.floor(), y.floor());
    let ease = |f: f64| f * f * (3.0 - 2.0 * f);
    let (fx, fy) = (ease(x - left), ease(y - top));
    let mix = |a: f64, b: f64, f: f64| a + (b - a) * f;
    let row = |y: f64| mix(noise(left, y), noise(left + 1.0, y), fx);
    mix(row(top), row(top + 1.0), fy)
}

/// Noise in -1..1 at an integer point: the mixing steps of SplitMix64.
fn noise(x: f64, y: f64) -> f64 {
    let mut z = ((x as i64 as u64) << 32 ^ (y as i64 as u64)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}
