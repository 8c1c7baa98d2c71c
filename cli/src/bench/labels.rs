//! Places names next to points without overlap.

use crate::svg::Anchor;

/// A rectangle in the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rectangle {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rectangle {
    /// The square around a circle.
    pub fn around((x, y): (f64, f64), radius: f64) -> Self {
        Self { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }
    }

    /// Small rectangles side by side along a line.
    pub fn along(from: (f64, f64), to: (f64, f64)) -> impl Iterator<Item = Self> {
        points_along(from, to).map(|at| Self::around(at, 2.0))
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    fn has(&self, (x, y): (f64, f64)) -> bool {
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }

    fn within(&self, other: &Self) -> bool {
        self.left >= other.left && self.right <= other.right && self.top >= other.top && self.bottom <= other.bottom
    }
}

/// Points along a line, at most 4 pixels apart.
fn points_along(from: (f64, f64), to: (f64, f64)) -> impl Iterator<Item = (f64, f64)> {
    let steps = ((to.0 - from.0).hypot(to.1 - from.1) / 4.0).ceil().clamp(1.0, 1e4) as u32;
    (0..=steps).map(move |step| {
        let share = f64::from(step) / f64::from(steps);
        (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share)
    })
}

/// A text for a round marker.
#[derive(Clone, Debug)]
pub struct Label {
    pub text: String,
    /// Centre and radius of the marker.
    pub at: (f64, f64),
    pub radius: f64,
}

/// The position of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    /// The area that the text covers.
    pub area: Rectangle,
    /// The anchor point, on the base line.
    pub text_at: (f64, f64),
    pub anchor: Anchor,
    /// A line from the marker to the text, if they are not side by side.
    pub leader: Option<((f64, f64), (f64, f64))>,
}

/// Places `labels`, the most important first, each as close to its marker as `inside` and the areas `taken` permit;
/// `None` if there is no room. Adds the areas of the placed labels to `taken`. `size` is the font size in pixels.
pub fn place(labels: &[Label], inside: Rectangle, taken: &mut Vec<Rectangle>, size: f64) -> Vec<Option<Placed>> {
    let mut texts: Vec<Rectangle> = Vec::new();
    let mut leaders: Vec<((f64, f64), (f64, f64))> = Vec::new();
    let placed = labels.iter().map(|label| {
        let free = candidates(label, size).find(|candidate| {
            let crosses = |&(from, to): &((f64, f64), (f64, f64))| {
                leaders.iter().any(|&(other_from, other_to)| cross(from, to, other_from, other_to))
                    || points_along(from, to).any(|at| texts.iter().any(|text| text.has(at)))
            };
            candidate.area.within(&inside)
                && !taken.iter().any(|other| candidate.area.overlaps(other))
                && !candidate.leader.as_ref().is_some_and(crosses)
        })?;
        taken.push(free.area);
        texts.push(free.area);
        if let Some((from, to)) = free.leader {
            leaders.push((from, to));
            taken.extend(Rectangle::along(from, to));
        }
        Some(free)
    });
    placed.collect()
}

/// Whether two line segments cross.
fn cross(a: (f64, f64), b: (f64, f64), c: (f64, f64), d: (f64, f64)) -> bool {
    let side = |p: (f64, f64), q: (f64, f64), r: (f64, f64)| (q.0 - p.0) * (r.1 - p.1) - (q.1 - p.1) * (r.0 - p.0);
    side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
}

/// Positions for a text around its marker, the nearest first.
fn candidates(label: &Label, size: f64) -> impl Iterator<Item = Placed> {
    // An estimate on the wide side, because the font of the viewer is not known.
    let (width, height) = (label.text.chars().count() as f64 * size * 0.56, size * 1.2);
    let (x, y) = label.at;
    let distances = (0..16).map(|step| f64::from(step) * 10.0);
    distances.flat_map(move |distance| {
        // To the right first, then alternately up and down.
        let turns = [0, 16, 4, -4, 12, -12, 2, -2, 14, -14, 8, -8, 6, -6, 10, -10];
        let between = [1, -1, 15, -15, 3, -3, 13, -13, 5, -5, 11, -11, 7, -7, 9, -9];
        turns.into_iter().chain(between).map(move |turn| {
            let angle = f64::from(turn) * std::f64::consts::PI / 16.0;
            let (dx, dy) = (angle.cos(), -angle.sin());
            let offset = label.radius + 4.0 + distance;
            let near = (x + dx * offset, y + dy * offset);
            // Always to one side of the marker: a name across it would enclose other markers.
            let (anchor, left) = if dx > -0.1 { (Anchor::Start, near.0) } else { (Anchor::End, near.0 - width) };
            // The middle of the text is at its side; its edge is above or below.
            let top = near.1 - height / 2.0 + dy * height / 2.0;
            let area = Rectangle { left, top, right: left + width, bottom: top + height };
            let edge = (x + dx * (label.radius + 1.0), y + dy * (label.radius + 1.0));
            Placed {
                area,
                text_at: (near.0, top + size * 0.93),
                anchor,
                leader: (distance > 5.0).then_some((edge, (near.0 - dx * 2.0, near.1 - dy * 2.0))),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_crowded_points_do_not_overlap() {
        let label = |index: u32| Label {
            text: format!("res{index}_0_branch2b 10.0 %"),
            at: (300.0 + f64::from(index % 3), 200.0 + f64::from(index / 3)),
            radius: 10.0,
        };
        let labels: Vec<Label> = (0..9).map(label).collect();
        let inside = Rectangle { left: 0.0, top: 0.0, right: 700.0, bottom: 400.0 };
        let mut taken: Vec<Rectangle> = labels.iter().map(|label| Rectangle::around(label.at, label.radius)).collect();
        let markers = taken.clone();
        let placed: Vec<Placed> = place(&labels, inside, &mut taken, 11.0).into_iter().flatten().collect();
        assert_eq!(placed.len(), labels.len());
        for (index, name) in placed.iter().enumerate() {
            assert!(name.area.within(&inside));
            assert!(placed[..index].iter().all(|other| !name.area.overlaps(&other.area)), "{index}");
            assert!(markers.iter().all(|marker| !name.area.overlaps(marker)), "{index}");
        }
        // The first is next to its marker, without a line.
        assert_eq!((placed[0].anchor, placed[0].leader), (Anchor::Start, None));
    }

    #[test]
    fn a_name_without_room_is_left_out() {
        let label = Label { text: "conv1".to_owned(), at: (50.0, 50.0), radius: 5.0 };
        let inside = Rectangle { left: 40.0, top: 40.0, right: 60.0, bottom: 60.0 };
        assert_eq!(place(&[label], inside, &mut Vec::new(), 11.0), [None]);
    }
}
