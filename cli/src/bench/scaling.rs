//! The diagram of `--sweep`: latency over frames and over clips with fitted lines, and the time per frame.

use super::sweep::{Series, Sweep};
use crate::svg::{Anchor, Axis, Svg, short};
use resnet3d_wgpu::Shape;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 584.0;
/// Left edges of the two columns, and their width.
const COLUMNS: [f64; 2] = [72.0, 548.0];
const COLUMN_WIDTH: f64 = 388.0;
/// Top and bottom of the latencies, and of the times per frame.
const LATENCY: (f64, f64) = (132.0, 386.0);
const PER_FRAME: (f64, f64) = (424.0, 514.0);

const STYLE: &str = "text{font:11px system-ui,Helvetica,Arial,sans-serif;fill:#333}\
.h{font-size:15px;font-weight:600}.s{fill:#666}.t{font-size:12px}.c{font-size:12px;font-weight:600}\
line,path{fill:none}.g{stroke:#e6e6ea}.a{stroke:#888}.l{stroke:#d55e00;stroke-width:1.5}\
.w{stroke:#0072b2;stroke-width:1.2}.m{fill:#0072b2;stroke:#fff;stroke-width:.8}";

/// The picture as SVG; `clip` is the clip that was varied; for `about` see [`Svg::new`].
pub fn svg(sweep: &Sweep, clip: Shape, about: &[String; 3]) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, STYLE, about);
    let Shape { c, t, h, w, .. } = clip;
    let titles =
        [format!("one clip of T frames, 1x{c}xTx{h}x{w}"), format!("N clips of {t} frames, Nx{c}x{t}x{h}x{w}")];
    let names = [("frames", "T"), ("clips", "N")];
    for (((series, left), title), (name, symbol)) in
        [&sweep.frames, &sweep.batch].into_iter().zip(COLUMNS).zip(&titles).zip(names)
    {
        svg.text("c", (left, LATENCY.0 - 32.0), Anchor::Start, title);
        svg.text("s", (left, LATENCY.0 - 15.0), Anchor::Start, &series.sentence(symbol));
        column(&mut svg, series, left, &format!("{name} {symbol}"));
    }
    for ((top, bottom), title) in [(LATENCY, "latency (ms)"), (PER_FRAME, "ms per frame")] {
        svg.turned_text("t", (24.0, (top + bottom) / 2.0), -90.0, Anchor::Middle, title);
    }
    let line = HEIGHT - 14.0;
    svg.path("m", &dot((78.0, line - 4.0)), "");
    svg.text(
        "s",
        (88.0, line),
        Anchor::Start,
        "median, from the clip in memory to the features in memory; bars: minimum and maximum",
    );
    svg.line("l", (548.0, line - 4.0), (566.0, line - 4.0));
    svg.text("s", (572.0, line), Anchor::Start, "fitted line, least squares of the relative errors");
    svg.finish()
}

fn dot((x, y): (f64, f64)) -> String {
    const R: f64 = 4.0;
    format!("M{:.1} {y:.1}a{R} {R} 0 1 0 {} 0a{R} {R} 0 1 0 {} 0z", x - R, 2.0 * R, -2.0 * R)
}

/// One series: latencies above, times per frame below.
fn column(svg: &mut Svg, series: &Series, left: f64, name: &str) {
    let largest = series.points.last().map_or(1.0, |point| point.size as f64);
    let x = Axis { values: (0.0, largest * 1.06), pixels: (left, left + COLUMN_WIDTH), logarithmic: false };
    let frames = |size: f64| {
        let of_one = series.points.first().map_or(1, |point| point.clip.n * point.clip.t);
        size * of_one as f64
    };
    let highest = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::MIN_POSITIVE, f64::max);
    let highest_latency = highest(&mut series.points.iter().map(|point| point.latency_ms.max.max(point.line_ms)));
    let highest_per_frame =
        highest(&mut series.points.iter().map(|point| point.latency_ms.max / frames(point.size as f64)));
    let latency = Axis { values: (0.0, highest_latency * 1.08), pixels: (LATENCY.1, LATENCY.0), logarithmic: false };
    let per_frame =
        Axis { values: (0.0, highest_per_frame * 1.15), pixels: (PER_FRAME.1, PER_FRAME.0), logarithmic: false };
    for (axis, ticks) in [(&latency, latency.ticks()), (&per_frame, per_frame.ticks())] {
        let every = if ticks.len() > 4 && std::ptr::eq(axis, &per_frame) { 2 } else { 1 };
        for tick in ticks.into_iter().step_by(every) {
            svg.line("g", (left, axis.at(tick)), (left + COLUMN_WIDTH, axis.at(tick)));
            svg.text("", (left - 7.0, axis.at(tick) + 4.0), Anchor::End, &short(tick));
        }
    }
    let start = series.points.first().map_or(1.0, |point| point.size as f64);
    // The time per frame of the fitted line is a curve, because more frames share the fixed part.
    let curve: Vec<String> = (0..=120)
        .map(|step| start + (largest - start) * f64::from(step) / 120.0)
        .map(|size| format!("{:.1} {:.1}", x.at(size), per_frame.at(series.line.at(size) / frames(size))))
        .collect();
    svg.path("l", &format!("M{}", curve.join("L")), "");
    svg.line(
        "l",
        (x.at(0.0), latency.at(series.line.fixed_ms.max(0.0))),
        (x.at(largest), latency.at(series.line.at(largest))),
    );
    for point in &series.points {
        let size = point.size as f64;
        let summary = &point.latency_ms;
        let tip = format!("{}: {:.2} ms, {:+.1} % off the line", point.clip, summary.median, point.off_line * 100.0);
        for (axis, over) in [(&latency, 1.0), (&per_frame, frames(size))] {
            svg.line("w", (x.at(size), axis.at(summary.min / over)), (x.at(size), axis.at(summary.max / over)));
            svg.path("m", &dot((x.at(size), axis.at(summary.median / over))), &tip);
        }
        svg.text("", (x.at(size), PER_FRAME.1 + 16.0), Anchor::Middle, &point.size.to_string());
    }
    for (_, bottom) in [LATENCY, PER_FRAME] {
        svg.line("a", (left, bottom), (left + COLUMN_WIDTH, bottom));
    }
    svg.text("t", (left + COLUMN_WIDTH / 2.0, PER_FRAME.1 + 34.0), Anchor::Middle, name);
}
