//! The results of verification on one adapter by method, to be read or attached to a bug report.

use super::{Coverage, Deviation, Drawn, Failure, Outcome, Run, Variant};
use crate::error::{ErrorKind, Result};
use crate::gpu::GpuContext;
use crate::kernels::{Kernel, Method};
use crate::options::Precision;
use crate::plan::Plan;
use serde::Serialize;

/// The runs of one method, on operators or on bodies, in one precision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The method, and how it was run.
    pub name: String,
    /// Number format on the device.
    pub precision: &'static str,
    /// The number of runs.
    pub runs: usize,
    /// Runs whose results were wrong or missing.
    pub failed: usize,
    /// The largest relative error.
    pub worst_relative: f64,
    /// The largest error of a value, as a share of its tolerance.
    pub worst_element: f64,
    /// The largest share of the tolerance.
    pub worst_of_tolerance: f64,
    /// The blob with that share, and its worst value; `None` if every run failed.
    pub worst: Option<Deviation>,
}

/// The results of verification on one adapter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Name of the adapter.
    pub adapter: String,
    /// Its backend.
    pub backend: &'static str,
    /// Its driver.
    pub driver: String,
    /// The number of cases that were run.
    pub cases: usize,
    /// Whether the device was lost, which ends the verification.
    pub lost: bool,
    /// By method and precision, sorted by name.
    pub rows: Vec<Row>,
    /// Runs whose results were wrong or missing.
    pub failures: Vec<Failure>,
    /// The properties that were covered.
    pub coverage: Coverage,
}

impl Report {
    /// A report without cases.
    pub(super) fn new(gpu: &GpuContext) -> Self {
        Self {
            adapter: gpu.adapter_name().to_owned(),
            backend: gpu.backend(),
            driver: gpu.driver(),
            cases: 0,
            lost: false,
            rows: Vec::new(),
            failures: Vec::new(),
            coverage: Coverage::new(gpu.target()),
        }
    }

    /// The number of runs in all rows.
    pub fn runs(&self) -> usize {
        self.rows.iter().map(|row| row.runs).sum()
    }

    /// Counts a run of `drawn`. Its outputs are compared with the expected outputs, and the outputs of a split plan
    /// also with `whole`.
    pub(super) fn count(&mut self, drawn: &Drawn, variant: &Variant, run: &Result<Run>, whole: Option<&Run>) {
        let name = row_name(run.as_ref().ok().map(|run| &run.plan), drawn.is_body, variant);
        let outcome = run.as_ref().map(|run| run.outcome(&drawn.expected, whole));
        if let Ok(run) = run {
            self.coverage.count(&run.plan, &drawn.case, variant.checks);
        }
        let row = self.row(&name, Precision::F32.name());
        row.runs += 1;
        if let Ok(outcome) = &outcome {
            row.note(&outcome.worst);
        }
        if !outcome.as_ref().is_ok_and(Outcome::passed) {
            row.failed += 1;
            self.lost |= run.as_ref().is_err_and(|error| error.kind() == ErrorKind::DeviceLost);
            self.failures.push(Failure::new(drawn, name, variant, outcome));
        }
    }

    /// Adds another report of the same adapter.
    pub(super) fn append(&mut self, other: Self) {
        self.cases += other.cases;
        self.lost |= other.lost;
        for row in other.rows {
            let sum = self.row(&row.name, row.precision);
            sum.runs += row.runs;
            sum.failed += row.failed;
            sum.worst_relative = sum.worst_relative.max(row.worst_relative);
            sum.worst_element = sum.worst_element.max(row.worst_element);
            if let Some(worst) = &row.worst {
                sum.note(worst);
            }
        }
        self.failures.extend(other.failures);
        self.coverage.append(other.coverage);
    }

    fn row(&mut self, name: &str, precision: &'static str) -> &mut Row {
        let found = self.rows.binary_search_by(|row| (row.name.as_str(), row.precision).cmp(&(name, precision)));
        let index = found.unwrap_or_else(|index| {
            let empty = Row {
                name: name.to_owned(),
                precision,
                runs: 0,
                failed: 0,
                worst_relative: 0.0,
                worst_element: 0.0,
                worst_of_tolerance: 0.0,
                worst: None,
            };
            self.rows.insert(index, empty);
            index
        });
        &mut self.rows[index]
    }
}

impl Row {
    /// Takes the worst blob of a run into account.
    fn note(&mut self, worst: &Deviation) {
        self.worst_relative = self.worst_relative.max(worst.relative);
        self.worst_element = self.worst_element.max(worst.element);
        if self.worst.is_none() || worst.of_tolerance > self.worst_of_tolerance {
            self.worst_of_tolerance = worst.of_tolerance;
            self.worst = Some(worst.clone());
        }
    }
}

/// The name of the row that counts a run: the method of an operator, or how a body was run and its method. A run that
/// failed counts under the method that was forced.
fn row_name(plan: Option<&Plan>, body: bool, variant: &Variant) -> String {
    let planned = plan.and_then(|plan| {
        let mut methods = plan.steps().iter().map(|step| step.method);
        methods.find(|&method| method != Kernel::LAYOUT.into())
    });
    let method = variant.method.or(planned);
    let method = method.map_or("none", Method::name);
    match (body, variant.fusion) {
        (true, true) => format!("body, fused, {method}"),
        (true, false) => format!("body, unfused, {method}"),
        (false, true) => method.to_owned(),
        (false, false) => format!("{method}, unfused"),
    }
}
