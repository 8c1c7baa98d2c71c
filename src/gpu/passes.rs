//! The compute passes of a run: where the order of a plan has to be interrupted.

use crate::plan::Plan;

/// Dispatches of a round that follow one another without a copy, with what is copied in front and behind.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub round: usize,
    /// The step of its dispatches, the last if they are of several.
    pub step: usize,
    /// Pieces of inputs: which input, which piece.
    pub uploads: Vec<(usize, usize)>,
    /// How many, the next in the plan's order.
    pub dispatches: usize,
    /// Pieces of outputs.
    pub readbacks: Vec<(usize, usize)>,
    /// Whether a submission ends behind it.
    pub submit: bool,
}

/// The passes of a run of `plan`, as few as copies and submissions allow, or besides one for every step at least.
pub(super) fn passes(plan: &Plan, by_step: bool) -> Vec<Pass> {
    let mut passes: Vec<Pass> = Vec::new();
    let mut ends = plan.submissions().iter().copied().peekable();
    let mut done = 0;
    for round in 0..plan.rounds() {
        let mut open = false;
        for stretch in plan.stretches() {
            if !open || !stretch.uploads.is_empty() || by_step {
                passes.push(Pass { round, uploads: stretch.uploads.clone(), ..Pass::default() });
            }
            for _ in stretch.dispatches.clone() {
                if passes.last().is_none_or(|pass| pass.submit) {
                    passes.push(Pass { round, ..Pass::default() });
                }
                done += 1;
                let submit = ends.next_if_eq(&done).is_some();
                if let Some(pass) = passes.last_mut() {
                    pass.dispatches += 1;
                    pass.step = stretch.step;
                    pass.submit = submit;
                }
            }
            open = stretch.readbacks.is_empty() && passes.last().is_some_and(|pass| !pass.submit);
            if let Some(pass) = passes.last_mut() {
                pass.readbacks.extend(&stretch.readbacks);
            }
        }
    }
    passes
}
