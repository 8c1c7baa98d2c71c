//! Stage four: from regions to dispatches.
//!
//! First the workspaces get their budgets ([`workspaces`]). Then every operator is cut into slices ([`cut`]),
//! independently of the others. A slice becomes one dispatch for each kernel of the method. These dispatches are
//! repeated for each part of the weights, and for each range of rows if the workspaces for all rows would be too large.
//! To a kernel, each of these is an operator on smaller blobs ([`Slice`]). In the plain case an operator is one slice,
//! and a slice is one dispatch for each kernel.

mod cut;
mod workspaces;

pub(super) use cut::{Located, OperatorSlice};

use super::access::Access;
use super::batch::Workload;
use super::limits::Rejection;
use super::partition::{Granularity, Partition, Storage};
use super::region::Region;
use super::select::Selected;
use super::{Binding, Dispatch, Step};
use crate::graph::{BlobId, Layout, Operator};
use crate::kernels::{Method, Operand, Slice, Workspace};
use crate::shape::Shape;
use cut::Cutter;
use std::ops::Range;

/// All dispatches, before they have an order and blobs have buffers.
pub(super) struct Lowered {
    pub steps: Vec<Step>,
    /// By step, its slices.
    pub slices: Vec<Vec<LoweredSlice>>,
    /// By blob, planar ones included.
    pub storages: Vec<Storage>,
    /// All workspaces, each as large as any dispatch needs it.
    pub workspaces: Vec<Workspace>,
}

/// A slice with its dispatches.
pub(super) struct LoweredSlice {
    pub regions: OperatorSlice,
    /// Its range among the dispatches of the step.
    pub dispatches: Range<usize>,
}

/// Lowers every operator of a workload to dispatches on the extents of a partition.
///
/// # Errors
/// [`Rejection::Limit`] if the smallest slice of an operator exceeds a binding; [`Rejection::Error`] from a kernel.
pub(super) fn lower(work: &Workload, partition: Partition, granularity: &Granularity) -> Result<Lowered, Rejection> {
    let budgets = workspaces::budgets(work, &partition, granularity.workspace_bytes);
    let Partition { storages: inside } = partition;
    let cutter = Cutter { work, storages: &inside, budgets: &budgets };
    let mut storages = inside.clone();
    let mut lowered = Vec::new();
    let mut workspaces = Vec::new();
    for (operator, op, selected) in work.computed() {
        let mut regions = cutter.slices(op, selected)?;
        work.place_planar(op, &mut regions, &mut storages, granularity.packed_bytes(&work.options.limits));
        let mut dispatches = Vec::new();
        let mut slices = Vec::new();
        for regions in regions {
            let first = dispatches.len();
            for rows in cutter.workspace_rows(op, selected.method, &regions) {
                let needed = work.workspaces_of(op, selected.method, &regions, rows.len());
                workspaces::share(&mut workspaces, &needed);
                for part in 0..selected.parts.len() {
                    dispatches.extend(work.dispatches(op, selected, &regions, rows.clone(), part, &storages)?);
                }
            }
            slices.push(LoweredSlice { regions, dispatches: first..dispatches.len() });
        }
        let Selected { method, parts, .. } = selected.clone();
        lowered.push((Step { operator, method, parts, dispatches }, slices));
    }
    let (steps, slices) = lowered.into_iter().unzip();
    Ok(Lowered { steps, slices, storages, workspaces })
}

impl Workload<'_> {
    /// Gives the planar blobs of `op` an extent for each slice. An input that several operators read has extents for
    /// all of them.
    fn place_planar(&self, op: &Operator, slices: &mut [OperatorSlice], storages: &mut [Storage], packed_bytes: u64) {
        for OperatorSlice { inputs, output } in slices {
            let blobs = op.inputs.iter().chain([&op.output]).zip(inputs.iter_mut().chain([output]));
            for (&id, located) in blobs.filter(|(id, _)| self.graph.blob(**id).layout == Layout::Planar) {
                let bytes = located.region.row_count() as u64 * self.row_bytes(id);
                let storage = &mut storages[id.index()];
                let extent = storage.add_dense(located.region.clone(), bytes, packed_bytes, &self.options.limits);
                located.extent = Some(extent);
            }
        }
    }

    /// The dispatches for some rows of a slice, counted from its first, and one part of the weights.
    fn dispatches(
        &self,
        op: &Operator,
        selected: &Selected,
        regions: &OperatorSlice,
        rows: Range<usize>,
        part: usize,
        storages: &[Storage],
    ) -> Result<Vec<Dispatch>, Rejection> {
        let workspaces = self.workspaces_of(op, selected.method, regions, rows.len());
        let OperatorSlice { output, inputs } = regions;
        let region = Region::new(
            output.region.frames.clone(),
            output.region.rows.start + rows.start..output.region.rows.start + rows.end,
        );
        let slice = self.slice(op, regions, rows, selected.parts[part].clone());
        let launches = selected.method.launches(op, &slice, self.options.limits.max_groups)?;
        let dispatch = |launch: crate::kernels::Launch| {
            let binding = |operand: &Operand| match *operand {
                Operand::Input(input) => self.binding(op.inputs[input], &inputs[input], storages),
                Operand::Output => self.binding(op.output, output, storages),
                Operand::Constant(index) => Binding::Constant(index),
                Operand::Scratch(index) => Binding::Scratch { index, bytes: workspaces[index].bytes },
            };
            let bindings = launch.operands.iter().map(binding).collect();
            Dispatch { region: region.clone(), part, launch, bindings }
        };
        Ok(launches.into_iter().map(dispatch).collect())
    }

    /// `op` as the kernel sees it for some rows of a slice, counted from its first, and these blocks of output
    /// channels.
    fn slice(&self, op: &Operator, regions: &OperatorSlice, rows: Range<usize>, blocks: Range<usize>) -> Slice {
        let OperatorSlice { output: Located { region: output, .. }, inputs } = regions;
        let bound =
            |id: BlobId, region: &Region| Shape { t: region.frames.len(), h: region.rows.len(), ..self.shape(id) };
        let accesses: Vec<Access> = (0..inputs.len()).map(|input| self.access(op, input)).collect();
        let read = || accesses.iter().zip(inputs.iter().map(|located| &located.region));
        let pad_t = |(access, read): (&Access, &Region)| access.padding(0, output.frames.start, read.frames.start);
        let pad_h = |(access, read): (&Access, &Region)| access.padding(1, output.rows.start, read.rows.start);
        Slice {
            inputs: op.inputs.iter().zip(inputs).map(|(&id, located)| bound(id, &located.region)).collect(),
            output: bound(op.output, output),
            output_layout: self.graph.blob(op.output).layout,
            pads_t: read().map(pad_t).collect(),
            pads_h: read().map(pad_h).collect(),
            above: output.rows.start,
            input_h: self.shape(op.inputs[0]).h,
            rows,
            blocks,
        }
    }

    fn binding(&self, blob: BlobId, located: &Located, storages: &[Storage]) -> Binding {
        let Located { region, extent } = located;
        let extent = extent.expect("every region has an extent once planar blobs are placed");
        let extent = &storages[blob.index()].extents()[extent];
        Binding::Blob {
            blob,
            region: region.clone(),
            chunk: extent.chunk,
            offset: extent.offset + self.bytes_before(blob, &extent.region, region),
            bytes: region.row_count() as u64 * self.row_bytes(blob),
        }
    }

    /// Bytes from the start of an extent of a blob to the start of a region in it.
    fn bytes_before(&self, blob: BlobId, extent: &Region, region: &Region) -> u64 {
        let frames = region.frames.start - extent.frames.start;
        let rows = frames * extent.rows.len() + region.rows.start - extent.rows.start;
        rows as u64 * self.row_bytes(blob)
    }

    /// The workspaces of `op` for `rows` rows of a slice.
    fn workspaces_of(&self, op: &Operator, method: Method, slice: &OperatorSlice, rows: usize) -> Vec<Workspace> {
        let input_frames = slice.inputs[0].region.frames.len();
        self.workspaces(op, method, &slice.output.region, input_frames, rows)
    }
}
