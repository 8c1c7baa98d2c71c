//! `resnet3d verify`: every method and whole bodies, on this machine, against the CPU reference.

use crate::cli::Common;
use crate::output::{note, print, print_json};
use crate::progress::Progress;
use crate::text::{Facts, grouped, lines, table};
use anyhow::{Result, bail};
use clap::{ArgAction, Args};
use resnet3d_wgpu::GpuContext;
use resnet3d_wgpu::verify::presets::{self, PresetCase, PresetRow};
use resnet3d_wgpu::verify::{ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE, Report, Settings, verify};
use serde::Serialize;

/// Compare every method with the CPU reference.
///
/// Draws random operators and small bodies, runs each with every method that can do it, fused and unfused, three times
/// with differently filled buffers, and compares the results with a float64 reference on the CPU; half of them also
/// under limits so small that they have to be split, which must not change a bit. Exit code 1 if any is not right.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Verify every usable adapter that --adapter and --backend accept, not only the preferred one.
    #[arg(long, action = ArgAction::SetTrue)]
    all_adapters: bool,

    /// Random operators to draw; there is a body for every five of them.
    #[arg(long, value_name = "N", default_value_t = Settings::default().operators)]
    cases: usize,

    /// Instead of random cases, run every published body at full width, on a small clip. Takes some minutes.
    #[arg(long, conflicts_with = "cases")]
    presets: bool,

    /// Seed of the cases: the same seed draws the same ones.
    #[arg(long, value_name = "S", default_value_t = Settings::default().seed)]
    seed: u64,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d verify                               the adapter that would be used
  resnet3d verify --all-adapters --json         all of them, to attach to a bug report
  resnet3d verify --backend gl --cases 1000 --seed 7
  resnet3d verify --presets                     R-18 to R-152 and ResNeXt, as they are";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Verification {
    version: &'static str,
    seed: u64,
    operators: usize,
    bodies: usize,
    relative_tolerance: f64,
    absolute_tolerance: f64,
    passed: bool,
    adapters: Vec<Report>,
}

impl Arguments {
    /// Does it.
    pub fn run(&self, common: &Common) -> Result<()> {
        common.precision.supported()?;
        let contexts =
            if self.all_adapters { GpuContext::all(&common.context_options())? } else { vec![common.open()?] };
        if self.presets {
            return self.presets(&contexts, common);
        }
        let settings = Settings { operators: self.cases, bodies: self.cases.div_ceil(5), seed: self.seed };
        let mut adapters = Vec::new();
        for gpu in &contexts {
            let progress = Progress::steps("verifying", (settings.operators + settings.bodies) as u64);
            adapters.push(verify(gpu, &settings, &mut |done, _| {
                if done > 0 {
                    progress.step();
                }
            })?);
        }
        let runs: usize = adapters.iter().flat_map(|report| &report.rows).map(|row| row.runs).sum();
        let failed: usize = adapters.iter().map(|report| report.failures.len()).sum();
        let verification = Verification {
            version: env!("CARGO_PKG_VERSION"),
            seed: settings.seed,
            operators: settings.operators,
            bodies: settings.bodies,
            relative_tolerance: RELATIVE_TOLERANCE,
            absolute_tolerance: ABSOLUTE_TOLERANCE,
            passed: failed == 0,
            adapters,
        };
        if common.json {
            print_json(&verification)?;
        } else {
            print(&verification.text(runs))?;
        }
        if failed > 0 {
            bail!("{failed} of {runs} runs are not as they should be");
        }
        Ok(())
    }

    /// Every published body, on every one of `contexts`.
    fn presets(&self, contexts: &[GpuContext], common: &Common) -> Result<()> {
        let bodies = presets::bodies()?;
        let progress = Progress::steps("verifying", bodies.len() as u64);
        let mut rows = Vec::new();
        for (name, config) in &bodies {
            let case = PresetCase::new(name, config, self.seed)?;
            for gpu in contexts {
                rows.push(case.run(gpu)?);
            }
            progress.step();
        }
        drop(progress);
        let failed = rows.iter().filter(|row| !row.passed).count();
        if common.json {
            print_json(&rows)?;
        } else {
            print(&preset_table(&rows))?;
        }
        if failed > 0 {
            bail!("{failed} of {} bodies are not as they should be", rows.len());
        }
        Ok(())
    }
}

/// A line for each body and adapter.
fn preset_table(rows: &[PresetRow]) -> String {
    let mut lines_of = table(&[
        "body",
        "backend",
        ">GMAC",
        ">parameters",
        ">prepare s",
        ">forward ms",
        ">reference s",
        "worst blob",
        ">relative error",
        "",
    ]);
    for row in rows {
        lines_of.add_row([
            row.name.clone(),
            row.backend.to_owned(),
            format!("{:.2}", row.macs as f64 / 1e9),
            grouped(row.parameters),
            format!("{:.1}", row.prepare_ms / 1e3),
            format!("{:.0}", row.forward_ms),
            format!("{:.1}", row.reference_ms / 1e3),
            row.worst.blob.clone(),
            format!("{:.1e}", row.worst.relative),
            if row.passed { String::new() } else { "NOT RIGHT".to_owned() },
        ]);
    }
    lines(&lines_of).join("\n") + "\n"
}

impl Verification {
    /// Tables for people; the failures go to standard error.
    fn text(&self, runs: usize) -> String {
        let mut text = String::new();
        for report in &self.adapters {
            text += &format!("{} on {} ({})\n\n", report.adapter, report.backend, report.driver);
            let mut rows = table(&["method", ">runs", ">failed", ">worst relative error", ">of tolerance"]);
            for row in &report.rows {
                rows.add_row([
                    row.name.clone(),
                    row.runs.to_string(),
                    row.failed.to_string(),
                    format!("{:.1e}", row.worst_relative),
                    format!("{:.2}", row.worst_of_tolerance),
                ]);
            }
            text += &lines(&rows).join("\n");
            text += "\n\n";
            for failure in &report.failures {
                note(&format!("failed: {failure}"));
            }
            let missing = report.coverage.missing();
            if !missing.is_empty() {
                note(&format!("not covered by so few cases: {}", missing.join(", ")));
            }
        }
        let mut facts = Facts::default();
        facts.add("cases", format!("{} operators and {} bodies, seed {}", self.operators, self.bodies, self.seed));
        facts.add(
            "runs",
            format!("{runs}, each with its buffers filled by zeros, NaN and 1e30; split ones with one of these"),
        );
        facts
            .add("tolerance", format!("{RELATIVE_TOLERANCE:e} of the norm plus {ABSOLUTE_TOLERANCE:e} a value, in L2"));
        facts.add("verdict", if self.passed { "all right" } else { "NOT RIGHT" });
        text + &facts.to_string()
    }
}
