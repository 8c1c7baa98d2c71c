//! A picture in memory: pixels, rectangles, text, PNG.

use font8x8::UnicodeFonts as _;

use crate::error::{ErrorRepr, Result};

/// An RGB picture with 8 bits per channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// Size of a letter of the font, in pixels of the font.
const LETTER: usize = 8;

impl Picture {
    /// A picture with a single colour.
    pub(super) fn new(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, rgb: colour.repeat(width * height) }
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, H×W×3, red first.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The bytes of a PNG file of the picture.
    ///
    /// # Errors
    /// [`ErrorKind::Size`](crate::ErrorKind::Size) if PNG does not support the size of the picture.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        encode_png(&self.rgb, self.width, self.height)
    }

    /// Sets a pixel. Pixels outside of the picture are ignored.
    pub(super) fn set(&mut self, x: usize, y: usize, colour: [u8; 3]) {
        if x < self.width && y < self.height {
            let at = (y * self.width + x) * 3;
            self.rgb[at..at + 3].copy_from_slice(&colour);
        }
    }

    /// Fills a rectangle.
    pub(super) fn fill(&mut self, [x, y]: [usize; 2], [width, height]: [usize; 2], colour: [u8; 3]) {
        for row in y..y + height {
            for column in x..x + width {
                self.set(column, row, colour);
            }
        }
    }

    /// Writes a line of text with its upper left corner at `[x, y]`. A pixel of the font is `scale` pixels wide.
    /// Question marks replace letters that the font lacks.
    pub(super) fn text(&mut self, [x, y]: [usize; 2], text: &str, scale: usize, colour: [u8; 3]) {
        for (i, letter) in text.chars().enumerate() {
            let glyph = font8x8::BASIC_FONTS.get(letter).or_else(|| font8x8::BASIC_FONTS.get('?'));
            for (row, bits) in glyph.unwrap_or_default().into_iter().enumerate() {
                for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                    let corner = [x + (i * LETTER + column) * scale, y + row * scale];
                    self.fill(corner, [scale, scale], colour);
                }
            }
        }
    }
}

/// Width and height in pixels of a line of `letters` letters.
pub(super) const fn text_size(letters: usize, scale: usize) -> [usize; 2] {
    [letters * LETTER * scale, LETTER * scale]
}

/// Encodes RGB bytes as a PNG file.
pub(super) fn encode_png(rgb: &[u8], width: usize, height: usize) -> Result<Vec<u8>> {
    use image::ImageEncoder as _;
    let refused = |reason: String| ErrorRepr::Size { what: format!("picture of {width}x{height} pixels"), reason };
    let side = |side: usize| u32::try_from(side).map_err(|error| refused(error.to_string()));
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(rgb, side(width)?, side(height)?, image::ExtendedColorType::Rgb8)
        .map_err(|error| refused(error.to_string()))?;
    Ok(bytes)
}
