//! SVG elements for diagrams, and their axes.

use std::fmt::Write as _;

/// The position of a text relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The text starts at the point.
    Start,
    /// The text is centred at the point.
    Middle,
    /// The text ends at the point.
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// An SVG picture of a PNG with that size in pixels.
pub fn of_png(png: &[u8], width: usize, height: usize) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} \
         {height}\" role=\"img\">\n<image width=\"{width}\" height=\"{height}\" \
         href=\"data:image/png;base64,{}\"/>\n</svg>\n",
        base64(png)
    )
}

/// Encodes bytes as base 64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().zip([16, 8, 0]).fold(0u32, |bits, (&byte, shift)| bits | u32::from(byte) << shift);
        for (digit, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            // One byte needs two digits, two bytes need three.
            let is_used = digit <= chunk.len();
            text.push(if is_used { char::from(DIGITS[(bits >> shift & 63) as usize]) } else { '=' });
        }
    }
    text
}

/// A picture with a white background. Styles are classes of its style sheet; lengths are in pixels.
#[derive(Debug)]
pub struct Svg {
    text: String,
}

impl Svg {
    /// A picture with that size and style sheet. `about` is the text at the top: a title of class `h`, and two lines of
    /// class `s` below it.
    pub fn new(width: f64, height: f64, style: &str, about: &[String; 3]) -> Self {
        let title = escape(&about[0]);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{title}</title>\n<style>{style}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        let mut svg = Self { text };
        for (line, (text, y)) in about.iter().zip([28.0, 48.0, 64.0]).enumerate() {
            svg.text(if line == 0 { "h" } else { "s" }, (16.0, y), Anchor::Start, text);
        }
        svg
    }

    /// Adds a line.
    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.text,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    /// Adds a text.
    pub fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        self.turned_text(class, at, 0.0, anchor, text);
    }

    /// Adds a text that is rotated clockwise about its point, by degrees.
    pub fn turned_text(&mut self, class: &str, (x, y): (f64, f64), degrees: f64, anchor: Anchor, text: &str) {
        let place = match degrees {
            0.0 => format!("x=\"{x:.1}\" y=\"{y:.1}\""),
            _ => format!("transform=\"translate({x:.1},{y:.1}) rotate({degrees:.1})\""),
        };
        let (anchor, text) = (anchor.name(), escape(text));
        let _ = writeln!(self.text, "<text class=\"{class}\" {place} text-anchor=\"{anchor}\">{text}</text>");
    }

    /// Adds a shape by its path data. `tip` is a tooltip for browsers, unless it is empty.
    pub fn path(&mut self, class: &str, data: &str, tip: &str) {
        let tip = if tip.is_empty() { String::new() } else { format!("<title>{}</title>", escape(tip)) };
        let _ = writeln!(self.text, "<path class=\"{class}\" d=\"{data}\">{tip}</path>");
    }

    /// The complete SVG.
    pub fn finish(self) -> String {
        self.text + "</svg>\n"
    }
}

/// Escapes `text` for use between tags. Names of adapters and paths can contain any character.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            // XML does not allow control characters, not even as references.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Maps values to positions along an axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// The minimum and the maximum of the values.
    pub values: (f64, f64),
    /// The positions of these two, in pixels.
    pub pixels: (f64, f64),
    /// Whether the scale is logarithmic instead of linear.
    pub logarithmic: bool,
}

impl Axis {
    /// The position of `value`.
    pub fn at(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.log10() } else { value };
        let (low, high) = (scale(self.values.0), scale(self.values.1));
        let share = (scale(value) - low) / (high - low);
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    /// Round values along the axis: 1, 2 and 5 times powers of ten on a logarithmic axis. On a linear axis they are
    /// multiples of one such step, about five of them.
    pub fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.values;
        let inside = |value: &f64| (low * 0.999..=high * 1.001).contains(value);
        if self.logarithmic {
            let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
            let ticks = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)));
            return ticks.filter(inside).collect();
        }
        let rough = (high - low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(10.0 * power);
        (0..).map(|index| f64::from(index) * step).skip_while(|v| *v < low).take_while(|v| *v <= high * 1.001).collect()
    }
}

/// `value` with about three digits, without trailing zeros.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_place_and_tick() {
        let log = Axis { values: (1.0, 100.0), pixels: (0.0, 200.0), logarithmic: true };
        assert_eq!([log.at(1.0), log.at(10.0), log.at(100.0)], [0.0, 100.0, 200.0]);
        assert_eq!(log.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        let linear = Axis { values: (0.0, 16.0), pixels: (300.0, 100.0), logarithmic: false };
        assert_eq!([linear.at(0.0), linear.at(8.0), linear.at(16.0)], [300.0, 200.0, 100.0]);
        assert_eq!(linear.ticks(), [0.0, 5.0, 10.0, 15.0]);
        let small = Axis { values: (0.0, 0.9), ..linear };
        assert_eq!(small.ticks().len(), 5, "{:?}", small.ticks());
    }

    #[test]
    fn bytes_are_base_64() {
        let coded = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(coded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn texts_are_escaped_and_numbers_short() {
        assert_eq!(escape("a <b> & \u{1}c\n"), "a &lt;b&gt; &amp;  c ");
        assert_eq!([0.0, 0.25, 1.5, 12.34, 195.3].map(short), ["0", "0.25", "1.5", "12.3", "195"]);
    }
}
