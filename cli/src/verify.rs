//! `resnet3d verify`: compares every method and whole bodies with the CPU reference.

mod report;

use crate::arguments::{MemoryArguments, duration};
use crate::cli::Common;
use crate::output::{note, print, print_json};
use crate::outputs::Outputs;
use crate::progress::Progress;
use crate::text::{grouped, lines, table};
use anyhow::{Context as _, Result, bail};
use clap::{ArgAction, Args};
use report::{Setting, Verification, Verified};
use resnet3d_wgpu::GpuContext;
use resnet3d_wgpu::low_level::gpu::preferred_adapter;
use resnet3d_wgpu::low_level::verify::presets::{self, PresetCase, PresetRow};
use resnet3d_wgpu::low_level::verify::{Cases, Report, Settings, verify, verify_for};
use std::path::PathBuf;
use std::time::Duration;

/// Compare every method with the CPU reference.
///
/// Draws random operators and small bodies and runs each with every method that supports it, fused and unfused (bodies
/// unfused with every other method), twice with differently filled buffers. The results are compared with a float64
/// reference on the CPU. Half of the cases also run under limits so small that they have to be split, which must not
/// change a bit. The exit code is 1 if any result is wrong.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Verify every usable adapter that --adapter and --backend accept, instead of only the preferred one.
    #[arg(long, action = ArgAction::SetTrue)]
    all_adapters: bool,

    /// The number of random operators to draw. There is a body for every five operators. The default is 200, or with
    /// --for 20 for each seed.
    #[arg(long, value_name = "N")]
    cases: Option<usize>,

    /// Run only the case with this number, as a run over more cases draws it. A failure prints the command that replays
    /// its case.
    #[arg(long, value_name = "N", conflicts_with_all = ["cases", "time", "presets"])]
    case: Option<usize>,

    /// Continue with further seeds for this time on all adapters together, for example 90s, 10m or 2h.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,

    /// Instead of random cases, run every published body at full width on a small clip. This takes several minutes.
    #[arg(long, conflicts_with_all = ["cases", "case", "time", "report", "memory_limit"])]
    presets: bool,

    /// Seed of the cases. The same seed and number draw the same case.
    #[arg(long, value_name = "S", default_value_t = Settings::default().seed)]
    seed: u64,

    /// Also write a JSON report to attach to a bug report: version, system, adapters with drivers, features and limits,
    /// the table, and every failure with the seed and number that reproduce it.
    #[arg(long, value_name = "OUT.json")]
    report: Option<PathBuf>,

    #[command(flatten)]
    memory: MemoryArguments,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d verify                               the default adapter
  resnet3d verify --all-adapters --report report.json
                                                all adapters, to attach to a bug report
  resnet3d verify --limits webgpu               as on the least capable adapter
  resnet3d verify --backend gl --cases 1000 --seed 7
  resnet3d verify --for 10m --seed 1000         new cases for ten minutes
  resnet3d verify --seed 7 --case 42            one case of those, to replay a failure
  resnet3d verify --presets                     R-18 to R-152 and ResNeXt at full width";

impl Arguments {
    /// Runs the command.
    pub fn run(&self, common: &Common) -> Result<()> {
        common.check()?;
        let outputs = Outputs::new([("--report", self.report.as_deref())], common.config_file().as_slice())?;
        common.choice()?;
        if self.presets {
            let options = common.context_options();
            let contexts = if self.all_adapters { GpuContext::all(&options)? } else { vec![common.open()?] };
            return self.presets(&contexts, common);
        }
        let verification = self.verification(common)?;
        if self.report.is_some() {
            let report = serde_json::to_vec_pretty(&verification).context("the result cannot be written as JSON")?;
            outputs.write(&[&report])?;
        }
        if common.json {
            outputs.print_json(&verification)?;
        } else {
            outputs.print(&verification.text())?;
        }
        for line in verification.complaints() {
            note(&line);
        }
        let (failed, runs) = (verification.failed(), verification.runs());
        if failed > 0 {
            bail!("{failed} of {runs} runs failed");
        }
        if !verification.passed {
            bail!("not every adapter could be verified");
        }
        Ok(())
    }

    /// Verifies random cases on every selected adapter. After a failed adapter, the others are still verified.
    fn verification(&self, common: &Common) -> Result<Verification> {
        let options = common.context_options();
        let all = options.adapters();
        let preferred = preferred_adapter(&all, &options)?;
        let chosen = all.iter().filter(|summary| {
            if self.all_adapters { options.accepts(&summary.info) } else { std::ptr::eq(*summary, preferred) }
        });
        let (usable, unusable): (Vec<_>, Vec<_>) = chosen.partition(|summary| summary.unusable.is_none());
        let operators =
            self.cases.unwrap_or(if self.time.is_some() { 20 } else { Settings::default().cases.counts().0 });
        let cases = match self.case {
            Some(number) => Cases::One(number),
            None => Cases::First { operators, bodies: operators.div_ceil(5) },
        };
        let settings = Settings { cases, seed: self.seed, memory_limit: self.memory.memory_limit };
        let time = self.time.map(|time| time / usable.len().max(1) as u32);
        let mut adapters = Vec::new();
        for summary in usable {
            let result = options.open(summary).map_err(Into::into).and_then(|gpu| self.on(&gpu, &settings, time));
            adapters.push(Verified::new(summary, result));
        }
        let setting = Setting { settings, time: self.time, limits: common.limits };
        Ok(Verification::new(&setting, adapters, &unusable))
    }

    fn on(&self, gpu: &GpuContext, settings: &Settings, time: Option<Duration>) -> Result<Report> {
        log::info!("verifying {} ({})", gpu.adapter_name(), gpu.backend());
        Ok(match time {
            Some(time) => {
                let progress = Progress::counting("cases verified").with_kernels(gpu);
                verify_for(gpu, settings, time, &mut |done, _| progress.at(done, None))?
            }
            None => {
                let cases = settings.cases.numbers().len();
                let progress = Progress::steps("verifying", cases as u64).with_kernels(gpu);
                verify(gpu, settings, &mut |done, total| progress.at(done, Some(total)))?
            }
        })
    }

    /// Verifies every published body on each of `contexts`. A failure does not keep the others from being run.
    fn presets(&self, contexts: &[GpuContext], common: &Common) -> Result<()> {
        let bodies = presets::bodies()?;
        let progress = Progress::steps("verifying", bodies.len() as u64);
        let (mut rows, mut errors) = (Vec::new(), Vec::new());
        for (name, config) in &bodies {
            let case = PresetCase::new(name, config, self.seed)?;
            for gpu in contexts {
                match case.run(gpu) {
                    Ok(row) => rows.push(row),
                    Err(error) => errors.push(format!("failed: {name} on {}: {error}", gpu.backend())),
                }
            }
            progress.step();
        }
        drop(progress);
        if common.json {
            print_json(&rows)?;
        } else {
            print(&preset_table(&rows))?;
        }
        errors.iter().for_each(|error| note(error));
        let failed = errors.len() + rows.iter().filter(|row| !row.passed).count();
        if failed > 0 {
            bail!("{failed} of {} runs of bodies failed", rows.len() + errors.len());
        }
        Ok(())
    }
}

/// A table with a line for each body and adapter.
fn preset_table(rows: &[PresetRow]) -> String {
    let mut preset_rows = table(&[
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
        preset_rows.add_row([
            row.name.clone(),
            row.backend.to_owned(),
            format!("{:.2}", row.macs as f64 / 1e9),
            grouped(row.parameters),
            format!("{:.1}", row.prepare_ms / 1e3),
            format!("{:.0}", row.forward_ms),
            format!("{:.1}", row.reference_ms / 1e3),
            row.worst.blob.clone(),
            format!("{:.1e}", row.worst.relative),
            if row.passed { String::new() } else { "WRONG".to_owned() },
        ]);
    }
    lines(&preset_rows).join("\n") + "\n"
}
