//! The roofline diagram: the speed of every layer, and the ceilings at its intensity.

use super::labels::{Label, Rectangle, place};
use super::layers::Layer;
use crate::svg::{Anchor, Axis, Svg, short};
use resnet3d_wgpu::low_level::gpu::Ceilings;
use resnet3d_wgpu::low_level::kernels::conv_pool::ConvPool;
use resnet3d_wgpu::low_level::kernels::winograd::WinogradTile;
use resnet3d_wgpu::low_level::kernels::{Gemm, Kernel, Method};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 644.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 80.0;
const BOTTOM: f64 = 540.0;

/// Layers with a smaller share of the time have no name in the picture, only a tooltip.
const LEAST_NAMED: f64 = 0.02;
const LABEL_SIZE: f64 = 11.0;

const STYLE: &str = "text{font:11px system-ui,Helvetica,Arial,sans-serif;fill:#333}\
.h{font-size:15px;font-weight:600}.s{fill:#666}.t{font-size:12px}.c{font-weight:600;fill:#222}\
line,path{fill:none}.g{stroke:#e6e6ea}.a{stroke:#888}.r{stroke:#222;stroke-width:2}\
.d{stroke:#999;stroke-dasharray:5 4}.k{stroke:#999;stroke-width:.8}.e{stroke:#777;fill:#fff}\
.u{stroke:#777;stroke-dasharray:2 2}.m{stroke:#fff;stroke-width:.8;fill-opacity:.85}\
.winograd4{fill:#0072b2}.winograd2{fill:#56b4e9}.registers{fill:#d55e00}.tiled{fill:#009e73}\
.direct{fill:#cc79a7}.other{fill:#777}";

/// Methods with the same marker. Colour and shape each suffice to tell the markers apart. The colours are from the
/// palette of Okabe and Ito for people with colour blindness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MethodGroup {
    Winograd4,
    Winograd2,
    Registers,
    Tiled,
    Direct,
    Other,
}

impl MethodGroup {
    const ALL: [Self; 6] = [Self::Winograd4, Self::Winograd2, Self::Registers, Self::Tiled, Self::Direct, Self::Other];

    fn of(method: Method) -> Self {
        match (method.winograd_tile(), method) {
            (Some(WinogradTile::F4), _) => Self::Winograd4,
            (Some(WinogradTile::F2), _) => Self::Winograd2,
            (
                None,
                Method::Single(
                    Kernel::ConvGemm(Gemm::Tiled(_)) | Kernel::ConvPool(ConvPool::Tiled | ConvPool::TiledCompact),
                ),
            ) => Self::Tiled,
            (None, Method::Single(Kernel::ConvGemm(_) | Kernel::ConvPool(_))) => Self::Registers,
            (None, Method::Single(Kernel::ConvDirect(_))) => Self::Direct,
            (None, _) => Self::Other,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Winograd4 => "m winograd4",
            Self::Winograd2 => "m winograd2",
            Self::Registers => "m registers",
            Self::Tiled => "m tiled",
            Self::Direct => "m direct",
            Self::Other => "m other",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Winograd4 => "Winograd F(4×4)",
            Self::Winograd2 => "Winograd F(2×2)",
            Self::Registers => "implicit GEMM, registers",
            Self::Tiled => "implicit GEMM, workgroup memory",
            Self::Direct => "direct convolution",
            Self::Other => "other",
        }
    }

    /// The marker as path data, with the area of a circle of that radius.
    fn marker(self, (x, y): (f64, f64), radius: f64) -> String {
        match self {
            Self::Winograd4 | Self::Other => circle((x, y), radius),
            Self::Winograd2 => polygon((x, y), radius * 1.25, 45.0, 4),
            Self::Registers => polygon((x, y), radius * 1.25, 0.0, 4),
            Self::Tiled => polygon((x, y), radius * 1.5, 0.0, 3),
            Self::Direct => polygon((x, y), radius * 1.5, 180.0, 3),
        }
    }
}

fn circle((x, y): (f64, f64), r: f64) -> String {
    format!("M{:.1} {y:.1}a{r:.1} {r:.1} 0 1 0 {:.1} 0a{r:.1} {r:.1} 0 1 0 {:.1} 0z", x - r, 2.0 * r, -2.0 * r)
}

/// A regular polygon with its first corner `degrees` from the top.
fn polygon((x, y): (f64, f64), radius: f64, degrees: f64, corners: u32) -> String {
    let corner = |index: u32| {
        let angle = (degrees + 360.0 / f64::from(corners) * f64::from(index)).to_radians();
        format!("{:.1} {:.1}", x + radius * angle.sin(), y - radius * angle.cos())
    };
    format!("M{}z", (0..corners).map(corner).collect::<Vec<_>>().join("L"))
}

/// A layer in the diagram.
struct Point<'a> {
    layer: &'a Layer,
    at: (f64, f64),
    radius: f64,
}

/// The picture as SVG; for `about` see [`Svg::new`].
pub fn svg(layers: &[Layer], ceilings: &Ceilings, about: &[String; 3]) -> String {
    let (shown, hidden): (Vec<&Layer>, Vec<&Layer>) = layers.iter().partition(|layer| layer.actual_gflops > 0.0);
    let [x, y] = axes(&shown, ceilings);
    let mut svg = Svg::new(WIDTH, HEIGHT, STYLE, about);
    grid(&mut svg, &x, &y);
    let taken = roof(&mut svg, &x, &y, ceilings);
    let mut points: Vec<Point<'_>> = shown
        .into_iter()
        .map(|layer| Point {
            at: (x.at(layer.intensity), y.at(layer.actual_gflops)),
            radius: (layer.time_share.sqrt() * 36.0).max(3.5),
            layer,
        })
        .collect();
    // Small markers are drawn on top of large ones.
    points.sort_by(|a, b| b.radius.total_cmp(&a.radius));
    draw(&mut svg, &points, &y, taken);
    legend(&mut svg, &points, &hidden);
    svg.finish()
}

/// The axes of intensity and speed, which cover all layers, both ceilings and the ridge.
fn axes(layers: &[&Layer], ceilings: &Ceilings) -> [Axis; 2] {
    let range = |values: &mut dyn Iterator<Item = f64>, below: f64, above: f64| {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (v.min(low), v.max(high)));
        (low / below, high * above)
    };
    let ridge = ceilings.ridge();
    let intensities = layers.iter().map(|layer| layer.intensity);
    let speeds = layers.iter().flat_map(|layer| [layer.actual_gflops, layer.gflops]);
    [
        Axis {
            values: range(&mut intensities.chain([ridge / 2.0, ridge * 2.0]), 1.6, 2.2),
            pixels: (LEFT, RIGHT),
            logarithmic: true,
        },
        Axis {
            values: range(&mut speeds.chain([ceilings.gflops, ceilings.gflops / 8.0]), 1.8, 1.5),
            pixels: (BOTTOM, TOP),
            logarithmic: true,
        },
    ]
}

fn grid(svg: &mut Svg, x: &Axis, y: &Axis) {
    for tick in x.ticks() {
        svg.line("g", (x.at(tick), TOP), (x.at(tick), BOTTOM));
        svg.text("", (x.at(tick), BOTTOM + 17.0), Anchor::Middle, &short(tick));
    }
    for tick in y.ticks() {
        svg.line("g", (LEFT, y.at(tick)), (RIGHT, y.at(tick)));
        svg.text("", (LEFT - 7.0, y.at(tick) + 4.0), Anchor::End, &short(tick));
    }
    svg.line("a", (LEFT, TOP), (LEFT, BOTTOM));
    svg.line("a", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    let middle = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
    svg.text("t", (middle.0, BOTTOM + 38.0), Anchor::Middle, "intensity: computed operations per byte moved (FLOP/B)");
    let title = "speed: computed operations, two per multiply-add (GFLOP/s)";
    svg.turned_text("t", (22.0, middle.1), -90.0, Anchor::Middle, title);
}

/// Draws the ceilings and a line at half of them. Returns the areas that they cover.
fn roof(svg: &mut Svg, x: &Axis, y: &Axis, ceilings: &Ceilings) -> Vec<Rectangle> {
    let mut taken = Vec::new();
    for (share, class) in [(0.5, "d"), (1.0, "r")] {
        // The slope starts at the left or at the bottom edge of the diagram.
        let start = x.values.0.max(y.values.0 / (ceilings.gb_per_s * share));
        let ridge = ceilings.ridge();
        let corners = [start, ridge, x.values.1].map(|at| (x.at(at), y.at(ceilings.attainable(at) * share)));
        for ends in corners.windows(2) {
            svg.line(class, ends[0], ends[1]);
            taken.extend(Rectangle::along(ends[0], ends[1]));
        }
    }
    let flat = y.at(ceilings.gflops) - 8.0;
    let text = format!("{} GFLOP/s: multiply-adds in registers", short(ceilings.gflops));
    svg.text("c t", (RIGHT - 6.0, flat), Anchor::End, &text);
    taken.push(Rectangle {
        left: RIGHT - 6.0 - text.len() as f64 * 6.6,
        top: flat - 12.0,
        right: RIGHT,
        bottom: flat + 2.0,
    });
    let half = (RIGHT - 6.0, y.at(ceilings.gflops * 0.5) - 6.0);
    svg.text("s", half, Anchor::End, "half of it");
    taken.push(Rectangle { left: half.0 - 58.0, top: half.1 - 10.0, right: half.0, bottom: half.1 + 2.0 });

    // A decade has the same length everywhere on an axis, but the two axes differ.
    let decade = |axis: &Axis| (axis.at(10.0) - axis.at(1.0)).abs();
    let angle = decade(y).atan2(decade(x));
    let text = format!("{} GB/s: a triad through storage buffers", short(ceilings.gb_per_s));
    let ridge = (x.at(ceilings.ridge()), y.at(ceilings.gflops));
    let along = |distance: f64| (ridge.0 - angle.cos() * distance, ridge.1 + angle.sin() * distance);
    // The text ends before the ridge, above the line.
    let above = |(x, y): (f64, f64)| (x - angle.sin() * 8.0, y - angle.cos() * 8.0);
    svg.turned_text("c t", above(along(14.0)), -angle.to_degrees(), Anchor::End, &text);
    let (from, to) = (above(along(14.0)), above(along(14.0 + text.len() as f64 * 6.6)));
    taken.extend(Rectangle::along(from, to));
    taken
}

/// Draws the layers, and the names of those that take the most time, outside of the areas `taken`.
fn draw(svg: &mut Svg, points: &[Point<'_>], y: &Axis, mut taken: Vec<Rectangle>) {
    for point in points {
        let (at, layer) = (point.at, point.layer);
        taken.push(Rectangle::around(at, point.radius + 1.0));
        // The speed counted as direct convolution, if it differs visibly from that of the computed operations.
        let direct = (at.0, y.at(layer.gflops));
        if (direct.1 - at.1).abs() > point.radius + 6.0 {
            svg.line("u", at, direct);
            taken.extend(Rectangle::along(at, direct));
            svg.path("e", &circle(direct, 3.5), &tooltip(layer));
            taken.push(Rectangle::around(direct, 4.5));
        }
    }
    for point in points {
        let group = MethodGroup::of(point.layer.method);
        svg.path(group.class(), &group.marker(point.at, point.radius), &tooltip(point.layer));
    }
    let labels: Vec<Label> = points
        .iter()
        .filter(|point| point.layer.time_share >= LEAST_NAMED)
        .map(|point| Label {
            text: format!("{} {:.1} %", point.layer.name, point.layer.time_share * 100.0),
            at: point.at,
            radius: point.radius,
        })
        .collect();
    let inside = Rectangle { left: LEFT, top: TOP, right: RIGHT, bottom: BOTTOM };
    for (label, placed) in labels.iter().zip(place(&labels, inside, &mut taken, LABEL_SIZE)) {
        let Some(placed) = placed else { continue };
        if let Some((from, to)) = placed.leader {
            svg.line("k", from, to);
        }
        svg.text("", placed.text_at, placed.anchor, &label.text);
    }
}

fn tooltip(layer: &Layer) -> String {
    format!(
        "{}, {}: {:.2} ms, {:.1} GFLOP/s computed, {:.1} as direct convolution, {:.2} GB/s, {:.0} % of the ceiling",
        layer.name,
        layer.kernel,
        layer.gpu_ms,
        layer.actual_gflops,
        layer.gflops,
        layer.gb_per_s,
        layer.ceiling_share * 100.0
    )
}

/// Explains markers, sizes and rings, and states which layers are not shown.
fn legend(svg: &mut Svg, points: &[Point<'_>], hidden: &[&Layer]) {
    let line = BOTTOM + 68.0;
    let mut x = LEFT;
    let mut item = |svg: &mut Svg, text: &str, draw: &dyn Fn(&mut Svg, (f64, f64))| {
        draw(svg, (x + 6.0, line - 4.0));
        svg.text("", (x + 18.0, line), Anchor::Start, text);
        x += 18.0 + text.chars().count() as f64 * 6.0 + 18.0;
    };
    let used = |group: &MethodGroup| points.iter().any(|point| MethodGroup::of(point.layer.method) == *group);
    for group in MethodGroup::ALL.into_iter().filter(used) {
        item(svg, group.title(), &|svg, at| svg.path(group.class(), &group.marker(at, 5.5), ""));
    }
    item(svg, "the same layer, counted as direct convolution", &|svg, at| svg.path("e", &circle(at, 3.5), ""));
    let mut notes = vec!["The area of a marker is the share of the time on the device, given in percent.".to_owned()];
    if !hidden.is_empty() {
        let time: f64 = hidden.iter().map(|layer| layer.time_share).sum();
        let plural = if hidden.len() == 1 { "layer" } else { "layers" };
        let (count, percent) = (hidden.len(), time * 100.0);
        notes.push(format!("Not shown: {count} {plural} without multiply-adds, {percent:.1} % of the time."));
    }
    svg.text("s", (LEFT, line + 22.0), Anchor::Start, &notes.join(" "));
}
