//! What became of a run, and how far off it was.

use super::{Drawn, Variant};
use crate::deviation::Deviation;
use crate::error::Error;
use crate::gpu::ShaderChecks;
use serde::Serialize;

/// What became of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The worst blob.
    pub worst: Deviation,
    /// Whether all fillings of the buffers gave the same bits.
    pub repeatable: bool,
    /// Whether a split plan gave the bits of the unsplit one; true of plans that are not split.
    pub as_unsplit: bool,
}

impl Outcome {
    /// Whether the run was right.
    pub fn passed(&self) -> bool {
        self.repeatable && self.as_unsplit && self.worst.passed()
    }
}

/// A run that was not right.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// The case, in words.
    pub case: String,
    /// The seed that draws it.
    pub seed: u64,
    /// Its number among the cases of the seed, from 0.
    pub number: usize,
    /// The row of the report it counts in.
    pub row: String,
    /// Whether shaders had wgpu's run-time checks.
    pub checked: bool,
    /// Whether it was split, under artificial limits.
    pub split: bool,
    /// How far off; `None` if it did not run to its end.
    pub worst: Option<Deviation>,
    /// Whether what the buffers held before made no difference.
    pub repeatable: bool,
    /// Whether splitting made no difference.
    pub as_unsplit: bool,
    /// Why it did not run to its end.
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
