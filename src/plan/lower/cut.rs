//! Cutting the output of an operator into slices, each of which can be bound together with everything that it reads.
//!
//! In the plain case an extent is one slice. Otherwise a slice computes as many frames of a band as fit. If the bands
//! of the output and of an input do not match, or if a dispatch would do too much work, a slice computes a range of
//! rows of a single frame.

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
    /// An index into [`Storage::extents`]; `None` for a planar blob until the operator has been cut.
    pub extent: Option<usize>,
}

/// The region of an operator's output that one dispatch computes, or one dispatch for each kernel of its method, with
/// the regions of the inputs that it reads.
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
                // More frames, as long as all rows of them fit into one slice.
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

    /// The contiguous regions of the output of `op`, each with its extent. A planar output has the regions of its
    /// input, but without their overlaps in time: each frame of a band once.
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

    /// Slices of a band begin at frames that are multiples of this. There the output is aligned, and so is every input
    /// that is addressed like the output.
    fn frame_step(&self, op: &Operator, band: &Range<usize>) -> usize {
        let inputs = op.inputs.iter().enumerate().filter(|(input, _)| self.work.access(op, *input) == Access::Same);
        let addressed = inputs.map(|(_, &id)| id).chain([op.output]);
        addressed.map(|id| self.work.frame_step(id, band.len())).max().unwrap_or(1)
    }

    /// The rows of a band of the output of `op`, cut into ranges each of which reads from a single band of every input.
    /// If bindings can begin between rows (`aligned`), rows are also cut where a dispatch would do too much work.
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

    /// Whether the work for this region of the output of `op`, counted as direct convolution, is within a submission's.
    fn is_light(&self, op: &Operator, region: &Region) -> bool {
        let OpKind::Conv(conv) = &op.kind else { return true };
        let pooled = conv.epilogue.pool.as_ref().map_or(1, |pool| pool.stride.iter().product());
        let output = Shape { t: region.frames.len(), h: region.rows.len(), ..self.work.shape(op.output) };
        let each: usize = conv.terms().map(Conv::macs_per_output).sum();
        (output.len() as u64).saturating_mul((each * pooled) as u64) <= self.work.options.limits.max_macs
    }

    /// The slice that computes a region of the output of `op`, which lies in this band and extent.
    ///
    /// # Errors
    /// [`Rejection::Limit`] if the region, a region that it reads, or one of its smallest workspaces cannot be bound.
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

    /// The region of an input of `op` that is bound to compute a region of the output. An input that is addressed like
    /// the output has the same region. Of another input it is the frames that are read, and a few before them if a
    /// binding cannot begin at the first, with all rows of their band.
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
            // The inputs of a concatenation have fewer channels than its output, so a region may begin where no binding
            // can.
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

    /// The rejection of a blob that would have to be bound whole.
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

    /// The band of an input that holds all rows that the rows `out` of the output read. A planar input is stored as its
    /// readers need it, so the result is exactly these rows, if they can be bound for the frames that one frame of
    /// output reads.
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

    /// Whether the workspaces for `rows` rows of a slice can be bound and keep to their budgets.
    fn fits_budget(&self, op: &Operator, method: Method, slice: &OperatorSlice, rows: usize) -> bool {
        let limits = &self.work.options.limits;
        let workspaces = self.work.workspaces_of(op, method, slice, rows);
        // The budgets have an entry for every workspace of any operator.
        workspaces.iter().zip(self.budgets).all(|(workspace, &budget)| {
            workspace.bytes <= limits.bindable_in(workspace.memory, workspace.dtype).min(budget)
        })
    }

    /// The rows of a slice, counted from its first, cut into ranges if the workspaces for all rows would be too large:
    /// into ranges with the least padding, and of those the longest.
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
