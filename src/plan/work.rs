//! The work of a step: multiply-adds and bytes, counted from its dispatches.

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
    /// [`Launch::macs`](crate::kernels::Launch::macs). The padding to whole tiles makes them more than
    /// [`Plan::operator_macs`]; Winograd's method makes them fewer.
    pub fn step_macs(&self, step: &Step) -> u64 {
        self.micro_batches as u64 * step.dispatches.iter().map(|dispatch| dispatch.launch.macs).sum::<u64>()
    }

    /// Bytes that the dispatches of `step` move, in all micro-batches, if a dispatch reads every value of its inputs
    /// once and writes every value of its output once: inputs, weights, outputs, and a workspace once when it is filled
    /// and once when it is read. Values that several slices read, such as weights and the frames that slices share,
    /// count for each slice. The few rows that a range of rows reads beyond those that it computes do not count.
    ///
    /// If weights are cut into parts, the dispatches of each part bind the whole output, so it counts for each part.
    pub fn step_bytes(&self, step: &Step) -> u64 {
        self.micro_batches as u64
            * step.dispatches.iter().map(|dispatch| self.dispatch_bytes(step, dispatch)).sum::<u64>()
    }

    pub(super) fn dispatch_bytes(&self, step: &Step, dispatch: &Dispatch) -> u64 {
        let op = &self.graph.operators()[step.operator];
        let constants = step.method.constant_bytes(&op.kind, self.shape(op.output).c, self.dtype);
        let blocks = step.method.constant_blocks(&op.kind) as u64;
        let part = step.parts[dispatch.part].len() as u64;
        // A resource that is bound twice stands in for an operand that the operator does not have.
        let bindings = dispatch.bindings.iter().enumerate();
        let distinct = bindings.filter(|(index, binding)| !dispatch.bindings[..*index].contains(binding));
        // A range of rows reads or writes its share of what is bound: the same share of a blob's height as of the
        // output's.
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
