//! The results of `verify` as text and as JSON, which can be attached to a bug report.

use crate::adapters::Adapter;
use crate::text::{Facts, lines, table, today};
use resnet3d_wgpu::DeviceLimits;
use resnet3d_wgpu::low_level::dtype::DType;
use resnet3d_wgpu::low_level::gpu::AdapterSummary;
use resnet3d_wgpu::low_level::verify::{Cases, Failure, Report, Settings, Tolerance};
use serde::Serialize;
use std::time::Duration;

/// The bounds that results are held to.
const TOLERANCE: Tolerance = Tolerance::of(DType::F32);

/// The settings of a verification.
pub struct Setting {
    pub settings: Settings,
    pub time: Option<Duration>,
    pub limits: DeviceLimits,
}

/// What `--json` prints and `--report` writes.
#[derive(Debug, Serialize)]
pub struct Verification {
    version: &'static str,
    date: String,
    system: System,
    /// The limits that the adapters were used with.
    limits: String,
    /// The first seed.
    seed: u64,
    /// Operators drawn for each seed, and bodies.
    operators: usize,
    bodies: usize,
    /// The number of the only case; null for the first cases of each seed.
    case: Option<usize>,
    /// The memory limit of each plan in bytes; null without a limit.
    memory_limit: Option<u64>,
    /// The time during which new seeds were tried; null for a single seed.
    seconds: Option<f64>,
    relative_tolerance: f64,
    element_tolerance: f64,
    absolute_tolerance: f64,
    pub passed: bool,
    adapters: Vec<Verified>,
    /// The adapters that the kernels cannot run on.
    unusable: Vec<Adapter>,
}

/// The system of a verification.
#[derive(Debug, Serialize)]
struct System {
    os: &'static str,
    arch: &'static str,
    /// Name and version, if the system states them in a file.
    name: Option<String>,
}

impl System {
    fn this() -> Self {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let name = name.map(|name| name.trim_matches('"').to_owned());
        Self { os: std::env::consts::OS, arch: std::env::consts::ARCH, name }
    }
}

/// An adapter with its results.
#[derive(Debug, Serialize)]
pub struct Verified {
    device: Adapter,
    /// Why there are no results.
    error: Option<String>,
    #[serde(flatten)]
    report: Option<Report>,
}

impl Verified {
    pub fn new(summary: &AdapterSummary, result: anyhow::Result<Report>) -> Self {
        let device = Adapter::new(summary);
        match result {
            Ok(report) => Self { device, error: None, report: Some(report) },
            Err(error) => Self { device, error: Some(format!("{error:#}")), report: None },
        }
    }
}

impl Verification {
    pub fn new(setting: &Setting, adapters: Vec<Verified>, unusable: &[&AdapterSummary]) -> Self {
        let is_correct =
            |verified: &Verified| verified.report.as_ref().is_some_and(|report| report.failures.is_empty());
        let (operators, bodies) = setting.settings.cases.counts();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            date: today(),
            system: System::this(),
            limits: setting.limits.to_string(),
            seed: setting.settings.seed,
            operators,
            bodies,
            case: match setting.settings.cases {
                Cases::One(number) => Some(number),
                Cases::First { .. } => None,
            },
            memory_limit: setting.settings.memory_limit,
            seconds: setting.time.map(|time| time.as_secs_f64()),
            relative_tolerance: TOLERANCE.relative,
            element_tolerance: TOLERANCE.element,
            absolute_tolerance: TOLERANCE.absolute,
            passed: adapters.iter().all(is_correct),
            adapters,
            unusable: unusable.iter().map(|summary| Adapter::new(summary)).collect(),
        }
    }

    fn reports(&self) -> impl Iterator<Item = &Report> {
        self.adapters.iter().filter_map(|verified| verified.report.as_ref())
    }

    /// The number of runs on all adapters.
    pub fn runs(&self) -> usize {
        self.reports().map(Report::runs).sum()
    }

    /// The number of failed runs.
    pub fn failed(&self) -> usize {
        self.reports().map(|report| report.failures.len()).sum()
    }

    /// The failures, one per line.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (number, Verified { device, error, report }) in (1..).zip(&self.adapters) {
            let title = format!("{number} {}", device.backend);
            complaints.extend(error.iter().map(|error| format!("{title}: {error}")));
            let Some(report) = report else { continue };
            for failure in &report.failures {
                complaints.push(format!("failed: {title}: {failure}"));
                complaints.push(format!("replay: {}", self.replay(failure, device)));
            }
            if report.lost {
                complaints.push(format!("{title}: the device was lost; the remaining cases were not run"));
            }
            let missing = report.coverage.missing();
            if !missing.is_empty() && self.case.is_none() {
                complaints.push(format!("{title}: not covered by these few cases: {}", missing.join(", ")));
            }
        }
        complaints.extend(self.unusable.iter().map(|adapter| {
            let reason = adapter.unusable.as_deref().unwrap_or_default();
            format!("not verified: {} on {}: {reason}", adapter.name, adapter.backend)
        }));
        complaints
    }

    /// The command that replays the case of a failure.
    fn replay(&self, failure: &Failure, device: &Adapter) -> String {
        let Failure { seed, number, .. } = failure;
        let (backend, adapter) = (device.backend, &device.name);
        let mut command =
            format!("resnet3d verify --seed {seed} --case {number} --backend {backend} --adapter {adapter:?}");
        if self.limits != DeviceLimits::default().to_string() {
            command += &format!(" --limits {}", self.limits);
        }
        if let Some(bytes) = self.memory_limit {
            command += &format!(" --memory-limit {bytes}");
        }
        command
    }

    /// The adapters, and a table by method, precision and adapter, so that the rows of a method are adjacent.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (number, Verified { device, .. }) in (1..).zip(&self.adapters) {
            text += &format!("{number} {}: {} ({})\n", device.backend, device.name, device.driver);
        }
        let mut rows: Vec<_> = (1..)
            .zip(&self.adapters)
            .filter_map(|(number, verified)| Some((number, verified.device.backend, verified.report.as_ref()?)))
            .flat_map(|(number, backend, report)| report.rows.iter().map(move |row| (row, number, backend)))
            .collect();
        rows.sort_by_key(|(row, number, _)| (&row.name, row.precision, *number));
        let headings = ["method", "adapter", "", ">runs", ">failed", ">relative", ">share", "worst at", ">index"];
        let mut table = table(&headings);
        for (row, number, backend) in rows {
            let worst = row.worst.as_ref();
            table.add_row([
                row.name.clone(),
                format!("{number} {backend}"),
                row.precision.to_owned(),
                row.runs.to_string(),
                row.failed.to_string(),
                format!("{:.1e}", row.worst_relative),
                format!("{:.2}", row.worst_of_tolerance),
                worst.map(|worst| worst.blob.clone()).unwrap_or_default(),
                worst.map(|worst| worst.index.to_string()).unwrap_or_default(),
            ]);
        }
        let cases: usize = self.reports().map(|report| report.cases).sum();
        let (operators, bodies, seed) = (self.operators, self.bodies, self.seed);
        let per_seed = format!("{operators} operators and {bodies} bodies");
        let drawn = match (self.case, self.seconds) {
            (Some(number), _) => format!("{cases}: number {number} of seed {seed}, on every adapter above"),
            (None, None) => format!("{cases}: {per_seed}, seed {seed}, on every adapter above"),
            (None, Some(seconds)) => {
                format!("{cases} in {seconds:.0} s: {per_seed} for each seed from {seed} on")
            }
        };
        let Tolerance { relative, element, absolute } = TOLERANCE;
        let mut facts = Facts::default();
        facts
            .add("cases", drawn)
            .add("limits", &self.limits)
            .add(
                "runs",
                format!(
                    "{}, each with buffers that are filled with zeros, NaN and 1e30; split runs with one of these",
                    self.runs()
                ),
            )
            .add("tolerance", format!("L2: {relative:e} of the norm plus {absolute:e} per value"))
            .add("per value", format!("{element:e} of the root mean square plus the value, plus {absolute:e}"))
            .add("worst", "the largest relative error, and the position with the largest share of the tolerance")
            .add("verdict", if self.passed { "all correct" } else { "WRONG" });
        format!("{text}\n{}\n\n{facts}", lines(&table).join("\n"))
    }
}
