//! The outcome of a run, and failures.

use super::{Drawn, Variant};
use crate::deviation::Deviation;
use crate::error::Error;
use crate::gpu::ShaderChecks;
use serde::Serialize;

/// The outcome of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The blob with the largest deviation.
    pub worst: Deviation,
    /// Whether all fillings of the buffers gave the same bits.
    pub repeatable: bool,
    /// Whether a split plan gave the bits of the unsplit plan; true for an unsplit plan.
    pub as_unsplit: bool,
}

impl Outcome {
    /// Whether the run was right.
    pub fn passed(&self) -> bool {
        self.repeatable && self.as_unsplit && self.worst.passed()
    }
}

/// A run whose result was wrong or missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// The description of the case.
    pub case: String,
    /// The seed that draws the case.
    pub seed: u64,
    /// The number of the case among those of the seed, from 0.
    pub number: usize,
    /// The row of the report that counts it.
    pub row: String,
    /// Whether shaders had wgpu's run-time checks.
    pub checked: bool,
    /// Whether the plan was split under artificial limits.
    pub split: bool,
    /// The largest deviation; `None` if the run failed.
    pub worst: Option<Deviation>,
    /// Whether all fillings of the buffers gave the same bits.
    pub repeatable: bool,
    /// Whether a split plan gave the bits of the unsplit plan.
    pub as_unsplit: bool,
    /// The error, if the run failed.
    pub error: Option<String>,
}

impl Failure {
    pub(super) fn new(
        drawn: &Drawn,
        row: String,
        variant: &Variant,
        outcome: std::result::Result<Outcome, &Error>,
    ) -> Self {
        Self {
            case: drawn.case.description.clone(),
            seed: drawn.seed,
            number: drawn.number,
            row,
            checked: variant.checks == ShaderChecks::Checked,
            split: variant.limits.is_some() || variant.memory_limit.is_some(),
            repeatable: outcome.as_ref().is_ok_and(|outcome| outcome.repeatable),
            as_unsplit: outcome.as_ref().is_ok_and(|outcome| outcome.as_unsplit),
            error: outcome.as_ref().err().map(ToString::to_string),
            worst: outcome.ok().map(|outcome| outcome.worst),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}, case {}: {}: {}: ", self.seed, self.number, self.row, self.case)?;
        if let Some(error) = &self.error {
            return f.write_str(error);
        }
        if let Some(Deviation { blob, of_tolerance, index, got, want, .. }) = &self.worst {
            write!(f, "blob {blob} is off by {of_tolerance:.2} times the tolerance, ")?;
            write!(f, "worst at {index}: {got} for {want}")?;
        }
        if !self.repeatable {
            write!(f, "; it depends on what its buffers held before")?;
        }
        if !self.as_unsplit {
            write!(f, "; it is not the unsplit result bit for bit")?;
        }
        Ok(())
    }
}
