//! A plan's memory as a picture: time from left to right, buffers from top to bottom, a bar for each chunk of a blob.
//! Time is counted in schedule items; usually each is a whole step.

use crate::text::mib;
use resnet3d_wgpu::low_level::graph::{BlobId, OpKind};
use resnet3d_wgpu::low_level::plan::Plan;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Width of the names of the buffers, left of the first step.
const LEFT: f64 = 132.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 64.0;
/// Height of the curve of bytes in use, and the gap below it.
const CURVE: f64 = 110.0;
const CURVE_GAP: f64 = 28.0;
/// Height of the tracks of all buffers together. Each has a share in proportion to its bytes, but at least the minimum.
const TRACKS: f64 = 420.0;
const MIN_TRACK: f64 = 12.0;
const TRACK_GAP: f64 = 5.0;
/// The minimum width of a column with a name below it.
const NAMED: f64 = 16.0;
/// Height of the names of the operators, below the buffers.
const BOTTOM: f64 = 150.0;

const STYLE: &str = "text{font:11px system-ui,sans-serif;fill:#333}.h{font-size:15px;font-weight:600}\
                     .s{fill:#777}.l{fill:#f3f3f5}.g{stroke:#e2e2e6}.w{fill:#fff;font-size:10px}";

/// The picture as SVG.
pub fn svg(plan: &Plan) -> String {
    Chart::new(plan).draw()
}

/// The bar of a blob, or of a chunk of a blob.
struct Bar {
    name: String,
    tip: String,
    buffer: usize,
    bytes: u64,
    /// First and last column.
    span: (usize, usize),
    colour: &'static str,
}

struct Chart<'a> {
    plan: &'a Plan,
    bars: Vec<Bar>,
    /// A column for each schedule item.
    columns: usize,
    column_width: f64,
    /// Upper edge and height of the track of each buffer.
    tracks: Vec<(f64, f64)>,
}

impl<'a> Chart<'a> {
    fn new(plan: &'a Plan) -> Self {
        let columns = plan.schedule().len();
        let least = if columns > plan.steps().len() { 0.5 } else { NAMED };
        let buffers = plan.memory().buffers();
        let total = plan.memory().peak_bytes().max(1) as f64;
        let mut top = TOP + CURVE + CURVE_GAP;
        let tracks = buffers.iter().map(|&bytes| {
            let height = (bytes as f64 / total * TRACKS).max(MIN_TRACK);
            let track = (top, height);
            top += height + TRACK_GAP;
            track
        });
        Self {
            tracks: tracks.collect(),
            bars: bars(plan),
            columns,
            column_width: (960.0 / columns as f64).clamp(least, 48.0),
            plan,
        }
    }

    fn x(&self, column: usize) -> f64 {
        LEFT + column as f64 * self.column_width
    }

    /// The gap on either side of a bar.
    fn gap(&self) -> f64 {
        f64::min(1.0, self.column_width / 8.0)
    }

    fn bottom(&self) -> f64 {
        self.tracks.last().map_or(TOP + CURVE, |(top, height)| top + height)
    }

    fn draw(&self) -> String {
        let (width, height) = (self.x(self.columns) + RIGHT, self.bottom() + BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        self.heading(&mut svg);
        self.curve(&mut svg);
        self.tracks(&mut svg);
        self.axis(&mut svg);
        svg += "</svg>\n";
        svg
    }

    fn heading(&self, svg: &mut String) {
        let memory = self.plan.memory();
        let graph = self.plan.graph();
        let clip = graph.inputs().first().map_or(String::new(), |&id| self.plan.shape(id).to_string());
        let text = format!(
            "{} in {} buffers; the lower bound is {}; without sharing it is {}",
            mib(memory.peak_bytes()),
            memory.buffers().len(),
            mib(memory.lower_bound_bytes()),
            mib(memory.unshared_bytes())
        );
        let _ = writeln!(svg, "<text class=\"h\" x=\"16\" y=\"28\">Activation memory for a clip of {clip}</text>");
        let _ = writeln!(svg, "<text x=\"16\" y=\"47\">{text}</text>");
    }

    /// The bytes in use during each schedule item, with the sum of all buffers as a line.
    fn curve(&self, svg: &mut String) {
        let memory = self.plan.memory();
        let peak = memory.peak_bytes().max(1) as f64;
        let base = TOP + CURVE;
        let y = |bytes: f64| base - bytes / peak * (CURVE - 14.0);
        for column in 0..self.columns {
            let alive = self.bars.iter().filter(|bar| (bar.span.0..=bar.span.1).contains(&column));
            let bytes = alive.map(|bar| bar.bytes).sum::<u64>();
            let top = y(bytes as f64);
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#b9c3d6\"><title>{} in use\
                 </title></rect>",
                self.x(column),
                self.column_width - self.gap(),
                base - top,
                mib(bytes)
            );
        }
        let mut label_bottom = 0.0;
        for (bytes, label) in [(memory.peak_bytes(), "allocated"), (memory.lower_bound_bytes(), "peak use")] {
            let y = y(bytes as f64);
            // The labels of two lines that are close are moved apart.
            let text = f64::max(y + 4.0, label_bottom + 12.0);
            label_bottom = text;
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#555\" \
                 stroke-dasharray=\"4 3\"/>\
                 <text x=\"16\" y=\"{text:.1}\">{label}</text>",
                self.x(self.columns)
            );
        }
    }

    fn tracks(&self, svg: &mut String) {
        let right = self.x(self.columns);
        for (index, (&bytes, &(top, height))) in self.plan.memory().buffers().iter().zip(&self.tracks).enumerate() {
            let _ = writeln!(
                svg,
                "<rect class=\"l\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>\
                 <text x=\"16\" y=\"{:.1}\">{index}: {}</text>",
                right - LEFT,
                top + height / 2.0 + 4.0,
                mib(bytes)
            );
        }
        let lines = if self.column_width < NAMED { 0..0 } else { 0..self.columns + 1 };
        for column in lines {
            let x = self.x(column);
            let _ = writeln!(
                svg,
                "<line class=\"g\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                TOP + CURVE,
                self.bottom()
            );
        }
        for bar in &self.bars {
            let Some((&(top, height), &size)) =
                self.tracks.get(bar.buffer).zip(self.plan.memory().buffers().get(bar.buffer))
            else {
                continue;
            };
            let bar_height = (bar.bytes as f64 / size.max(1) as f64 * height).max(3.0).min(height);
            let (x, width) = (self.x(bar.span.0), (bar.span.1 + 1 - bar.span.0) as f64 * self.column_width);
            let (x, width) = (x + self.gap(), width - 2.0 * self.gap());
            let y = top + height - bar_height;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{bar_height:.1}\" rx=\"2\" fill=\"{}\">\
                 <title>{}</title></rect>",
                bar.colour, bar.tip
            );
            // A letter is about six pixels wide. If the name does not fit, its end may; the tooltip has the whole name.
            let end = bar.name.splitn(3, '_').nth(2).unwrap_or(&bar.name);
            let fits = |name: &&str| name.len() as f64 * 5.8 + 8.0 <= width && bar_height >= 11.0;
            if let Some(name) = [bar.name.as_str(), end].into_iter().find(fits) {
                let _ = writeln!(
                    svg,
                    "<text class=\"w\" x=\"{:.1}\" y=\"{:.1}\" pointer-events=\"none\">{name}</text>",
                    x + 4.0,
                    y + bar_height / 2.0 + 3.5
                );
            }
        }
    }

    /// The names of the operators along the bottom, if there is room.
    fn axis(&self, svg: &mut String) {
        let operators = self.plan.graph().operators();
        let steps = self.plan.schedule().iter().map(|item| &self.plan.steps()[item.step]);
        let names = steps.map(|step| operators[step.operator].name.as_str());
        for (column, name) in names.enumerate().filter(|_| self.column_width >= NAMED) {
            let (x, y) = (self.x(column) + self.column_width / 2.0 + 4.0, self.bottom() + 10.0);
            let _ = writeln!(
                svg,
                "<text class=\"s\" text-anchor=\"end\" transform=\"translate({x:.1},{y:.1}) rotate(-60)\">{name}</text>"
            );
        }
    }
}

/// A bar for each chunk of each blob that has storage, in the colour of its stage.
fn bars(plan: &Plan) -> Vec<Bar> {
    let graph = plan.graph();
    // The output of a stop-gradient operator has no storage: it is the input.
    let is_alias = |id: BlobId| {
        let producer = graph.operators().iter().find(|op| op.output == id);
        producer.is_some_and(|op| op.kind == OpKind::StopGradient)
    };
    let ids = graph.inputs().iter().copied().chain(graph.operators().iter().map(|op| op.output));
    let mut colours = BTreeMap::new();
    let mut bars = Vec::new();
    for id in ids.filter(|&id| !is_alias(id)) {
        let blob = graph.blob(id);
        let shape = plan.shape(id);
        let colour = colour(&blob.name, &mut colours);
        let chunks = plan.memory().buffers_of(id).iter().zip(plan.storage(id).chunks()).enumerate();
        for (chunk, (&buffer, &bytes)) in chunks {
            let Some(span) = plan.memory().lifetime(id, chunk) else { continue };
            let tip = format!("{} {shape}, {}", blob.name, mib(bytes));
            bars.push(Bar { tip, colour, name: blob.name.clone(), buffer, bytes, span });
        }
    }
    bars
}

/// The colour of a blob's stage, by the prefix of the blob's name. The clip and the stem count as stages.
fn colour(name: &str, known: &mut BTreeMap<String, &'static str>) -> &'static str {
    const PALETTE: [&str; 6] = ["#4c5f7a", "#b0563b", "#3f7f5f", "#7a4c8f", "#a07a1e", "#2f7f95"];
    let stage = match name {
        "data" => "data",
        _ if name.starts_with("res") => name.split('_').next().unwrap_or(name),
        _ => "stem",
    };
    let next = PALETTE[known.len() % PALETTE.len()];
    known.entry(stage.to_owned()).or_insert(next)
}
