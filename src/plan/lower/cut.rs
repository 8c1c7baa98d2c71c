//! Where the output of an operator is cut into slices, each of which can be bound with all that it reads.
//!
//! The plain case: an extent is one slice. Else a slice computes a range of frames of a band, as long as fits. Where
//! the bands of the output and of an input do not fit each other, and where a dispatch would do too much, it computes a
//! range of rows of a single frame.

use super::Region;
use crate::error::ErrorRepr;
use crate::graph::{BlobId, Conv, Layout, OpKind, Operator};
use crate::kernels::{Method, RowTiles};
use crate::plan::access::Access;
use crate::plan::batch::Workload;
use crate::plan::limits::Rejection;
use crate::plan::partition::Storage;
use crate::plan::select::Selected;
use crate::shape::Shape;
use std::cmp::Reverse;
use std::ops::Range;

/// A region of a blob, and the extent that holds all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Located {
    pub region: Region,
    /// An index into [`Storage::extents`]. A planar blob gets its extents when the operator has been cut.
    pub extent: Option<usize>,
}

/// The part of an operator's output that one dispatch computes, or one for each kernel of its method, and what that
/// reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct OperatorSlice {
    pub output: Located,
    /// One for each input of the operator.
    pub inputs: Vec<Located>,
}

/// Cuts operators.
pub(super) struct Cutter<'a> {
    pub work: &'a Workload<'a>,
    /// By blob.
    pub storages: &'a [Storage],
    /// Bytes that each workspace may have, unless the smallest slices need more.
    pub budgets: &'a [u64],
}

impl Cutter<'_> {
    /// The slices of `op`, in order.
    ///
    /// # Errors
    /// [`Rejection::Limit`] if the smallest slice exceeds a binding.
    pub fn slices(&self, op: &Operator, selected: &Selected) -> Result<Vec<OperatorSlice>, Rejection> {
        let mut slices = Vec::new();
        for (extent, region) in self.output_extents(op) {
            let band = &region.rows;
            let slice = |region: Region| self.slice(op, selected.method, region, band, extent);
            let wanted = |region: &Region, slice: &OperatorSlice| {
                self.is_light(op, region) && self.fits_budget(op, selected.method, slice, least_rows(selected.method))
            };
            if let Ok(whole) = slice(region.clone())
                && wanted(&region, &whole)
            {
                slices.push(whole);
                continue;
            }
            let step = self.frame_step(op, band);
            let rows = self.row_ranges(op, selected.method, band, step == 1 || region.frames.len() == 1)?;
            let step = if rows.len() == 1 { step } else { 1 };
            let mut start = region.frames.start;
            while start < region.frames.end {
                let frames = |end: usize| start..end.min(region.frames.end);
                let mut end = frames(start + step).end;
                let least = rows.iter().map(|rows| slice(Region::new(frames(end), rows.clone())));
                let mut cut = least.collect::<Result<Vec<_>, _>>()?;
                // More frames, as long as that is one slice.
                while let [longest] = &mut cut[..]
                    && end < region.frames.end
                {
                    let next = Region::new(frames(end + step), band.clone());
                    match slice(next.clone()) {
                        Ok(longer) if wanted(&next, &longer) => *longest = longer,
                        _ => break,
                    }
                    end = next.frames.end;
                }
                slices.extend(cut);
                start = end;
            }
        }
        Ok(slices)
    }

    /// The regions of the output of `op` that lie together, with the extents that they are. A planar output has what
    /// its input has, each frame of a band once.
    fn output_extents(&self, op: &Operator) -> Vec<(Option<usize>, Region)> {
        let extents = |id: BlobId| self.storages[id.index()].extents().iter().map(|extent| extent.region.clone());
        if self.work.graph.blob(op.output).layout == Layout::ChannelsLast {
            return extents(op.output).enumerate().map(|(index, region)| (Some(index), region)).collect();
        }
        let mut regions: Vec<Region> = extents(op.inputs[0]).collect();
        for next in 1..regions.len() {
            if regions[next].rows == regions[next - 1].rows {
                regions[next - 1].frames.end = regions[next].frames.start;
            }
        }
        regions.into_iter().map(|region| (None, region)).collect()
    }

    /// Slices of a band begin at frames that are multiples of this: where the output is aligned, and what is addressed
    /// like it.
    fn frame_step(&self, op: &Operator, band: &Range<usize>) -> usize {
        let inputs = op.inputs.iter().enumerate().filter(|(input, _)| self.work.access(op, *input) == Access::Same);
        let addressed = inputs.map(|(_, &id)| id).chain([op.output]);
        addressed.map(|id| self.work.frame_step(id, band.len())).max().unwrap_or(1)
    }

    /// The rows of a band of the output of `op`, cut so that what each range reads of an input is in one band of that;
    /// and where a dispatch would do too much, if bindings can begin between rows.
    ///
    /// # Errors
    /// [`Rejection::Limit`] if a binding would have to begin where it cannot.
    fn row_ranges(
        &self,
        op: &Operator,
        method: Method,
        band: &Range<usize>,
        aligned: bool,
    ) -> Result<Vec<Range<usize>>, Rejection> {
        let shape = self.work.shape(op.output);
        if shape.n > 1 {
            return Ok(Vec::from([band.clone()]));
        }
        let held = |rows: &Range<usize>| (0..op.inputs.len()).all(|input| self.rows_read(op, input, rows).is_some());
        let light = |rows: &Range<usize>| !aligned || self.is_light(op, &Region::new(0..1, rows.clone()));
        if held(band) && light(band) {
            return Ok(Vec::from([band.clone()]));
        }
        let unit = self.work.row_unit(shape).next_multiple_of(least_rows(method));
        let mut ranges = Vec::new();
        let mut start = band.start;
        while start < band.end {
            let mut end = (start + unit).min(band.end);
            while end < band.end {
                let next = start..(end + unit).min(band.end);
                if !held(&next) || !light(&next) {
                    break;
                }
                end = next.end;
            }
            if !aligned || !held(&(start..end)) {
                return Err(self.needs_all(op.output));
            }
            ranges.push(start..end);
            start = end;
        }
        Ok(ranges)
    }

    /// Whether a dispatch may do as much work as that region of the output of `op`, as a direct convolution.
    fn is_light(&self, op: &Operator, region: &Region) -> bool {
        let OpKind::Conv(conv) = &op.kind else { return true };
        let pooled = conv.epilogue.pool.as_ref().map_or(1, |pool| pool.stride.iter().product());
        let output = Shape { t: region.frames.len(), h: region.rows.len(), ..self.work.shape(op.output) };
        let each: usize = conv.terms().map(Conv::macs_per_output).sum();
        (output.len() as u64).saturating_mul((each * pooled) as u64) <= self.work.options.limits.max_macs
    }

    /// The slice that computes a region of the output of `op`, which lies in that band and extent.
    ///
    /// # Errors
    /// [`Rejection::Limit`] if it cannot be bound with all that it reads, or its smallest workspaces cannot.
    fn slice(
        &self,
        op: &Operator,
        method: Method,
        region: Region,
        band: &Range<usize>,
        extent: Option<usize>,
    ) -> Result<OperatorSlice, Rejection> {
        let limits = &self.work.options.limits;
        let inputs = (0..op.inputs.len()).map(|input| self.input(op, input, &region, band));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        self.check(op.output, &region)?;
        let slice = OperatorSlice { output: Located { region, extent }, inputs };
        for workspace in self.work.workspaces_of(op, method, &slice, least_rows(method)) {
            let frames = slice.output.region.frames.len();
            let what = || format!("a workspace of {}, {frames} frames at once,", op.name);
            let checked = limits.check_binding_in(workspace.memory, workspace.dtype, workspace.bytes, what);
            checked.map_err(Rejection::Limit)?;
        }
        Ok(slice)
    }

    /// What is bound of an input of `op` to compute a region of its output: what is addressed like the output; or the
    /// frames that are read, and a few before them where a binding could not begin otherwise, with all rows of their
    /// band.
    fn input(&self, op: &Operator, input: usize, output: &Region, band: &Range<usize>) -> Result<Located, Rejection> {
        let (id, access) = (op.inputs[input], self.work.access(op, input));
        let (shape, storage) = (self.work.shape(id), &self.storages[id.index()]);
        let is_planar = self.work.graph.blob(id).layout == Layout::Planar;
        let (rows, frames) = match access {
            Access::Same => (band.clone(), output.frames.clone()),
            _ => {
                let rows = self.rows_read(op, input, &output.rows).ok_or_else(|| self.needs_all(id))?;
                (rows, access.reads(0, output.frames.clone(), shape.t))
            }
        };
        let located = if is_planar {
            let rows = if access == Access::Same { output.rows.clone() } else { rows };
            Located { region: Region::new(frames, rows), extent: None }
        } else {
            let frames = if shape.n > 1 { 0..shape.t } else { frames };
            let index = storage.holder(&rows, &frames).ok_or_else(|| self.needs_all(id))?;
            let extent = &storage.extents()[index];
            let region = if access == Access::Same {
                output.clone()
            } else {
                let (first, step) = (extent.region.frames.start, self.work.frame_step(id, rows.len()));
                let aligned = first + (frames.start - first) / step * step;
                Region::new(aligned..frames.end, rows)
            };
            // Inputs that are joined have other widths, so that a region may begin where no binding can.
            let offset = extent.offset + self.work.bytes_before(id, &extent.region, &region);
            if !offset.is_multiple_of(self.work.options.limits.alignment()) {
                return Err(self.needs_all(id));
            }
            Located { region, extent: Some(index) }
        };
        self.check(id, &located.region)?;
        Ok(located)
    }

    /// Whether a region of a blob can be bound.
    fn check(&self, id: BlobId, region: &Region) -> Result<(), Rejection> {
        let needed = region.row_count() as u64 * self.work.row_bytes(id);
        let what = || {
            let count = region.frames.len();
            let frames = if count == 1 { "frame" } else { "frames" };
            format!("blob {} ({}), {count} {frames} of it at once,", self.work.graph.blob(id).name, self.work.shape(id))
        };
        self.work.options.limits.check_binding(needed, what).map_err(Rejection::Limit)
    }

    /// That nothing less than all of a blob would do.
    fn needs_all(&self, id: BlobId) -> Rejection {
        let (name, shape) = (&self.work.graph.blob(id).name, self.work.shape(id));
        let error = ErrorRepr::Limit {
            what: format!("blob {name} ({shape}), all frames of it at once,"),
            needed: self.work.bytes(id),
            limit: self.work.options.limits.bindable(),
            limit_name: "binding",
        };
        Rejection::Limit(error.into())
    }

    /// The band with all rows of an input that the rows `out` of the output read. A planar input is stored for whoever
    /// reads it: then it is just these rows, if as many frames as one frame of output reads can be bound.
    fn rows_read(&self, op: &Operator, input: usize, out: &Range<usize>) -> Option<Range<usize>> {
        let (id, access) = (op.inputs[input], self.work.access(op, input));
        if access == Access::Same {
            return Some(out.clone());
        }
        let shape = self.work.shape(id);
        let needed = access.reads(1, out.clone(), shape.h);
        if self.work.graph.blob(id).layout == Layout::Planar {
            let frames = access.span(0, 1).min(shape.t);
            let bytes = (frames * needed.len()) as u64 * self.work.row_bytes(id);
            return (bytes <= self.work.options.limits.bindable()).then_some(needed);
        }
        let holds = |band: &&Range<usize>| band.start <= needed.start && needed.end <= band.end;
        self.storages[id.index()].bands().rev().find(holds).cloned()
    }

    /// Whether the workspaces for so many rows of a slice can be bound, and keep to what they may have.
    fn fits_budget(&self, op: &Operator, method: Method, slice: &OperatorSlice, rows: usize) -> bool {
        let limits = &self.work.options.limits;
        let workspaces = self.work.workspaces_of(op, method, slice, rows);
        // The budgets have an entry for every workspace of any operator.
        workspaces.iter().zip(self.budgets).all(|(workspace, &budget)| {
            workspace.bytes <= limits.bindable_in(workspace.memory, workspace.dtype).min(budget)
        })
    }

    /// The rows of a slice, counted from its first, cut where the workspaces for all of them would be too large: where
    /// that pads least, into as few ranges as possible.
    pub fn workspace_rows(&self, op: &Operator, method: Method, slice: &OperatorSlice) -> Vec<Range<usize>> {
        let (shape, region) = (self.work.shape(op.output), &slice.output.region);
        let height = region.rows.len();
        let whole = 0..height;
        let Some(RowTiles { side, workgroup_tiles }) = method.row_tiles() else { return Vec::from([whole]) };
        let ranges = |rows: usize| (0..height).step_by(rows).map(move |first| first..(first + rows).min(height));
        let padded = |rows: usize| -> usize {
            let columns = shape.n * region.frames.len() * shape.w.div_ceil(side);
            ranges(rows).map(|rows| (columns * rows.len().div_ceil(side)).next_multiple_of(workgroup_tiles)).sum()
        };
        let choices = (1..=height.div_ceil(side)).map(|tiles| tiles * side);
        let kept = choices.filter(|&rows| rows == side || self.fits_budget(op, method, slice, rows));
        let best = kept.min_by_key(|&rows| (padded(rows), Reverse(rows)));
        ranges(best.unwrap_or(side)).collect()
    }
}

/// The fewest rows of output that a method computes at once.
fn least_rows(method: Method) -> usize {
    method.row_tiles().map_or(1, |tiles| tiles.side)
}
