//! What a step really does: multiply-adds and bytes, from its dispatches.

use super::{Binding, Dispatch, Plan, Step};

impl Plan {
    /// Multiply-adds that the dispatches of `step` do, in all rounds: see [`Launch::macs`](crate::kernels::Launch::macs).
    /// More than [`Plan::operator_macs`] by the padding to whole tiles; by Winograd's method, fewer.
    pub fn step_macs(&self, step: &Step) -> u64 {
        self.rounds as u64 * step.dispatches.iter().map(|dispatch| dispatch.launch.macs()).sum::<u64>()
    }

    /// Bytes that the dispatches of `step` move, in all rounds, if each reads once what it reads and writes once what it
    /// writes: inputs, weights, outputs, and a workspace once when it is filled and once when it is read. What several
    /// slices read, such as weights and the frames between them, counts for each; the few rows that ranges of rows read beyond
    /// their own do not.
    ///
    /// Where weights are cut into parts, each part's dispatches bind the whole output, and it counts for each.
    pub fn step_bytes(&self, step: &Step) -> u64 {
        self.rounds as u64 * step.dispatches.iter().map(|dispatch| self.dispatch_bytes(step, dispatch)).sum::<u64>()
    }

    fn dispatch_bytes(&self, step: &Step, dispatch: &Dispatch) -> u64 {
        let op = &self.graph.operators()[step.operator];
        let constants = step.method.constant_lens(&op.kind, self.shape(op.output).c);
        let blocks = step.method.constant_blocks(&op.kind) as u64;
        let part = step.parts[dispatch.part].len() as u64;
        // The same thing bound twice stands in for one that the operator does not have.
        let own = dispatch.bindings.iter().enumerate();
        let own = own.filter(|(index, binding)| !dispatch.bindings[..*index].contains(binding));
        // Ranges of rows bind whole frames, and read or write their share of them.
        let (rows, height) = (dispatch.rows.len() as u64, self.shape(op.output).h as u64);
        own.map(|(_, binding)| match *binding {
            Binding::Frames { bytes, .. } => bytes / height * rows + bytes % height * rows / height,
            Binding::Scratch { bytes, .. } => bytes,
            Binding::Constant(index) => constants[index] as u64 * 4 / blocks * part,
        })
        .sum()
    }
}
