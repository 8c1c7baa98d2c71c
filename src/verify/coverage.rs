//! Counting what random cases have covered, so that a run that misses something can say so.

use super::Case;
use crate::gpu::ShaderChecks;
use crate::graph::OpKind;
use crate::kernels::{Kernel, Target};
use crate::plan::Plan;
use serde::Serialize;
use std::collections::BTreeMap;

/// Dispatches by property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Coverage {
    counts: BTreeMap<String, usize>,
    #[serde(skip)]
    required: Vec<String>,
}

/// Properties that every full run must have met, beside every kernel by name.
const REQUIRED: [&str; 22] = [
    "stride 1",
    "stride 2",
    "stride 3",
    "stride in T",
    "dilation 1",
    "dilation above 1",
    "dilation in T",
    "groups 1",
    "groups above 1",
    "T = 1",
    "odd height or width",
    "even height and width",
    "channels a multiple of 4",
    "channels not a multiple of 4",
    "batch above 1",
    "affine folded",
    "residual fused",
    "ReLU fused",
    "grid folded",
    "tapped",
    "checked shader",
    "unchecked shader",
];

impl Coverage {
    /// Nothing covered yet; required are the kernels that devices like `target` can run, and all other properties.
    pub(super) fn new(target: Target) -> Self {
        let kernels = Kernel::ALL.into_iter().filter(|kernel| kernel.runs_on(target));
        let kernels = kernels.map(|kernel| format!("kernel {}", kernel.name()));
        Self { counts: BTreeMap::new(), required: kernels.chain(REQUIRED.map(str::to_owned)).collect() }
    }

    /// Counts every dispatch of a plan.
    pub(super) fn count(&mut self, plan: &Plan, case: &Case, checks: ShaderChecks) {
        for step in plan.steps() {
            let op = &plan.graph().operators()[step.operator];
            let (input, output) = (plan.shape(op.inputs[0]), plan.shape(op.output));
            let mut met = vec![
                (format!("kernel {}", step.kernel.name()), true),
                ("T = 1".to_owned(), input.t == 1),
                ("batch above 1".to_owned(), input.n > 1),
                ("grid folded".to_owned(), step.dispatches.iter().any(|dispatch| dispatch.launch.grid.y > 1)),
                ("tapped".to_owned(), !case.taps.is_empty()),
                ("checked shader".to_owned(), checks == ShaderChecks::Checked),
                ("unchecked shader".to_owned(), checks == ShaderChecks::Unchecked),
            ];
            let odd = [input.h, input.w, output.h, output.w].iter().any(|n| n % 2 == 1);
            met.push(("odd height or width".to_owned(), odd));
            met.push(("even height and width".to_owned(), !odd));
            let uneven = input.c % 4 != 0 || output.c % 4 != 0;
            met.push(("channels not a multiple of 4".to_owned(), uneven));
            met.push(("channels a multiple of 4".to_owned(), !uneven));
            if let OpKind::Conv(conv) = &op.kind {
                for stride in 1..=3 {
                    met.push((format!("stride {stride}"), conv.window.stride.contains(&stride)));
                }
                met.push(("stride in T".to_owned(), conv.window.stride[0] > 1));
                met.push(("dilation 1".to_owned(), conv.window.dilation == [1; 3]));
                met.push(("dilation above 1".to_owned(), conv.window.dilation != [1; 3]));
                met.push(("dilation in T".to_owned(), conv.window.dilation[0] > 1));
                met.push(("groups 1".to_owned(), conv.groups == 1));
                met.push(("groups above 1".to_owned(), conv.groups > 1));
                met.push(("affine folded".to_owned(), conv.epilogue.affine.is_some()));
                met.push(("residual fused".to_owned(), conv.epilogue.residual));
                met.push(("ReLU fused".to_owned(), conv.epilogue.relu));
            }
            for (property, _) in met.into_iter().filter(|(_, met)| *met) {
                *self.counts.entry(property).or_default() += 1;
            }
        }
    }

    /// Dispatches by property, sorted by name.
    pub fn counts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.counts.iter().map(|(name, &count)| (name.as_str(), count))
    }

    /// What a full run must meet and this one has not.
    pub fn missing(&self) -> Vec<&str> {
        let required = self.required.iter().map(String::as_str);
        required.filter(|&name| !self.counts.contains_key(name)).collect()
    }
}
