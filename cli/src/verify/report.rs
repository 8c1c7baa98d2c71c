//! What `verify` found, for people, for programs, and to attach to a report of a defect.

use crate::adapters::Adapter;
use crate::text::{Facts, lines, table, today};
use resnet3d_wgpu::DeviceLimits;
use resnet3d_wgpu::low_level::gpu::AdapterSummary;
use resnet3d_wgpu::low_level::verify::{ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE, Report, Settings};
use serde::Serialize;
use std::time::Duration;

/// How it was verified.
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
    /// How much of the adapters was used.
    limits: String,
    /// The first seed.
    seed: u64,
    /// Drawn for each seed.
    operators: usize,
    bodies: usize,
    /// Bytes of memory that each was planned within; null where it was not limited.
    memory_limit: Option<u64>,
    /// For how long new seeds were tried; null where it was one.
    seconds: Option<f64>,
    relative_tolerance: f64,
    absolute_tolerance: f64,
    pub passed: bool,
    adapters: Vec<Verified>,
    /// Those that the kernels cannot run on.
    unusable: Vec<Adapter>,
}

/// What it ran on.
#[derive(Debug, Serialize)]
struct System {
    os: &'static str,
    arch: &'static str,
    /// Name and version, where the system has a file that says so.
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

/// An adapter, and what was found on it.
#[derive(Debug, Serialize)]
pub struct Verified {
    device: Adapter,
    /// Why nothing was found.
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
        let right = |verified: &Verified| verified.report.as_ref().is_some_and(|report| report.failures.is_empty());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            date: today(),
            system: System::this(),
            limits: setting.limits.to_string(),
            seed: setting.settings.seed,
            operators: setting.settings.operators,
            bodies: setting.settings.bodies,
            memory_limit: setting.settings.memory_limit,
            seconds: setting.time.map(|time| time.as_secs_f64()),
            relative_tolerance: RELATIVE_TOLERANCE,
            absolute_tolerance: ABSOLUTE_TOLERANCE,
            passed: adapters.iter().all(right),
            adapters,
            unusable: unusable.iter().map(|summary| Adapter::new(summary)).collect(),
        }
    }

    fn reports(&self) -> impl Iterator<Item = &Report> {
        self.adapters.iter().filter_map(|verified| verified.report.as_ref())
    }

    /// Runs on all adapters.
    pub fn runs(&self) -> usize {
        self.reports().map(Report::runs).sum()
    }

    /// Runs that were not right.
    pub fn failed(&self) -> usize {
        self.reports().map(|report| report.failures.len()).sum()
    }

    /// What was wrong, line by line.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (number, Verified { device, error, report }) in (1..).zip(&self.adapters) {
            let title = format!("{number} {}", device.backend);
            complaints.extend(error.iter().map(|error| format!("{title}: {error}")));
            let Some(report) = report else { continue };
            complaints.extend(report.failures.iter().map(|failure| format!("failed: {title}: {failure}")));
            if report.lost {
                complaints.push(format!("{title}: the device was lost; what was to come was not tried"));
            }
            let missing = report.coverage.missing();
            if !missing.is_empty() {
                complaints.push(format!("{title}: not covered by so few cases: {}", missing.join(", ")));
            }
        }
        complaints.extend(self.unusable.iter().map(|adapter| {
            let reason = adapter.unusable.as_deref().unwrap_or_default();
            format!("not verified: {} on {}: {reason}", adapter.name, adapter.backend)
        }));
        complaints
    }

    /// Adapters, and a table of adapter, method and precision, the same method on all adapters one below the other.
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
        let drawn = match self.seconds {
            None => format!("{cases}: {per_seed}, seed {seed}, on every adapter above"),
            Some(seconds) => format!("{cases} in {seconds:.0} s: {per_seed} for each seed from {seed} on"),
        };
        let mut facts = Facts::default();
        facts
            .add("cases", drawn)
            .add("limits", &self.limits)
            .add(
                "runs",
                format!(
                    "{}, each with its buffers filled by zeros, NaN and 1e30; split ones with one of these",
                    self.runs()
                ),
            )
            .add("tolerance", format!("{RELATIVE_TOLERANCE:e} of the norm plus {ABSOLUTE_TOLERANCE:e} a value, in L2"))
            .add("worst", "the largest relative error, and where the largest share of the tolerance was used up")
            .add("verdict", if self.passed { "all right" } else { "NOT RIGHT" });
        format!("{text}\n{}\n\n{facts}", lines(&table).join("\n"))
    }
}
