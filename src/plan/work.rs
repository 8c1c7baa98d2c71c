//! What a step really does: multiply-adds and bytes, from its dispatches.

use super::{Binding, Dispatch, Plan, Step};
use crate::graph::{Conv, OpKind, Operator};
use crate::shape::Shape;

/// Multiply-adds of an operator on blobs of these shapes, counted as direct convolution.
pub(super) fn operator_macs(op: &Operator, shapes: &[Shape]) -> u64 {
    let OpKind::Conv(conv) = &op.kind else { return 0 };
    let (input, output) = (shapes[op.inputs[0].index()], shapes[op.output.index()]);
    let convolved = conv.window.output(input.thw()).map_or(output, |thw| output.with(output.c, thw));
    let each: usize = conv.terms().map(Conv::macs_per_output).sum();
    convolved.len() as u64 * each as u64
}

impl Plan {
    /// Multiply-adds that the dispatches of `step` do, in all micro-batches: see
    /// [`Launch::macs`](crate::kernels::Launch::macs). More than [`Plan::operator_macs`] by the padding to whole tiles;
    /// by Winograd's method, fewer.
    pub fn step_macs(&self, step: &Step) -> u64 {
        self.micro_batches as u64 * step.dispatches.iter().map(|dispatch| dispatch.launch.macs).sum::<u64>()
    }

    /// Bytes that the dispatches of `step` move, in all micro-batches, if each reads once what it reads and writes once
    /// what it writes: inputs, weights, outputs, and a workspace once when it is filled and once when it is read. What
    /// several slices read, such as weights and the frames between them, counts for each; the few rows that a range of
    /// rows reads beyond those it computes do not.
    ///
    /// Where weights are cut into parts, each part's dispatches bind the whole output, and it counts for each.
    pub fn step_bytes(&self, step: &Step) -> u64 {
        self.micro_batches as u64
            * step.dispatches.iter().map(|dispatch| self.dispatch_bytes(step, dispatch)).sum::<u64>()
    }

    pub(super) fn dispatch_bytes(&self, step: &Step, dispatch: &Dispatch) -> u64 {
        let op = &self.graph.operators()[step.operator];
        let constants = step.method.constant_bytes(&op.kind, self.shape(op.output).c, self.dtype);
        let blocks = step.method.constant_blocks(&op.kind) as u64;
        let part = step.parts[dispatch.part].len() as u64;
        // The same thing bound twice stands in for one that the operator does not have.
        let bindings = dispatch.bindings.iter().enumerate();
        let distinct = bindings.filter(|(index, binding)| !dispatch.bindings[..*index].contains(binding));
        // Ranges of rows read or write their share of what is bound, as many of a blob's rows as of the output's.
        let (written, height) = (dispatch.region.rows.len() as u64, self.shape(op.output).h as u64);
        let moved = distinct.map(|(_, binding)| match *binding {
            Binding::Blob { blob, ref region, bytes, .. } => {
                let (bound, share) = (region.rows.len() as u64 * height, written * self.shape(blob).h as u64);
                if share < bound { bytes / bound * share + bytes % bound * share / bound } else { bytes }
            }
            Binding::Scratch { bytes, .. } => bytes,
            Binding::Constant(index) => constants[index] / blocks * part,
        });
        moved.sum()
    }
}
