//! `resnet3d plan`: shows the network for a clip, operator by operator.

use crate::arguments::{MemoryArguments, choice, choice_by, clip_shape, taps};
use crate::chart;
use crate::cli::Common;
use crate::network::{describe, describe_pixels, network_for, open};
use crate::outputs::Outputs;
use crate::text::{Facts, grouped, lines, mib, table};
use anyhow::Result;
use clap::Args;
use resnet3d_wgpu::clip::sampling::Sampling;
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::graph::{Affine, Axes, Conv, Layout, OpKind, Operator, Window};
use resnet3d_wgpu::low_level::kernels::{AdapterClass, Target};
use resnet3d_wgpu::low_level::plan::{CommandReport, Plan, PlanLimits, PlanOptions, PlanReport, Step};
use resnet3d_wgpu::low_level::tap_names;
use resnet3d_wgpu::weights::Family;
use resnet3d_wgpu::{Checkpoint, DeviceLimits, Shape, Taps, wgpu};
use serde::Serialize;
use std::path::PathBuf;

/// Show every operator of the network for a clip, and the memory that it needs.
///
/// The table has blobs by the names of the reference, shapes, parameters, multiply-adds, kernels and buffers. No GPU is
/// needed. Multiply-adds are counted as direct convolution.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Shape of the clip: batch, channels, frames, height, width.
    #[arg(long, value_name = "NxCxTxHxW", value_parser = clip_shape)]
    clip: String,

    /// Blobs to return in addition to the last: `all` (or `stages`), or comma-separated names. Fusion keeps these
    /// blobs.
    #[arg(long, value_name = "all|stages|NAME,…", value_parser = taps)]
    taps: Option<Taps>,

    /// Show the reference's operators instead of the fused ones.
    #[arg(long)]
    no_fusion: bool,

    /// The class of the adapter to choose kernels for.
    #[arg(long, default_value = "software", value_parser = choice_by(AdapterClass::ALL, AdapterClass::name))]
    class: AdapterClass,

    /// Plan for an adapter whose bindings are limited to this many MiB, which shows what is split; lavapipe has 128.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    max_binding: Option<u32>,

    /// The weight file whose network to plan. Only names and shapes are read.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    weights: Option<PathBuf>,

    /// The project that the weights come from, if the file does not tell.
    #[arg(long, value_name = "NAME", requires = "weights", value_parser = choice(Family::ALL))]
    family: Option<Family>,

    #[command(flatten)]
    memory: MemoryArguments,

    /// Show the commands of a run instead: copies, dispatches, submissions. With --json, in addition to the rest.
    #[arg(long)]
    commands: bool,

    /// Also draw the buffers over time with their blobs.
    #[arg(long, value_name = "OUT.svg")]
    svg: Option<PathBuf>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d plan --clip 1x3x8x224x224
  resnet3d plan --clip 1x3x3x187x333 --config '{\"transformation\": \"basic\"}' --no-fusion
  resnet3d plan --clip 1x3x8x224x224 --config r50-conv5 --taps all --json
  resnet3d plan --clip 1x3x250x224x224 --max-binding 128
  resnet3d plan --clip 1x3x64x720x1280 --max-binding 128 --memory-limit 1G
  resnet3d plan --clip 1x3x8x224x224 --commands
  resnet3d plan --clip 1x3x8x224x224 --svg memory.svg";

impl Arguments {
    /// Runs the command.
    pub fn run(&self, common: &Common) -> Result<()> {
        common.check()?;
        let clip: Shape = self.clip.parse()?;
        let weights = self.weights.as_deref().map(|path| ("--weights", path));
        let inputs: Vec<_> = common.config_file().into_iter().chain(weights).collect();
        let outputs = Outputs::new([("--svg", self.svg.as_deref())], &inputs)?;
        let choice = common.choice()?;
        let checkpoint = self.weights.as_deref().map(|path| open(path, self.family)).transpose()?;
        let network = match (&checkpoint, &self.weights) {
            (Some(checkpoint), Some(path)) => network_for(checkpoint, path, choice)?,
            _ => choice.map(|choice| choice.network).unwrap_or_default(),
        };
        let body = Body::new(&network)?;
        let options = PlanOptions {
            taps: tap_names(&body, &self.taps.clone().unwrap_or_default())?,
            fusion: !self.no_fusion,
            dtype: common.precision.into(),
            target: self.target(common.limits),
            limits: self.limits(common.limits),
            memory_limit: self.memory.memory_limit,
            ..PlanOptions::default()
        };
        let plan = Plan::new(&body.graph, &[clip], &options)?;
        let report = PlanReport::new(&network, &body, &plan);
        if self.svg.is_some() {
            outputs.write(&[&chart::svg(&plan).into_bytes()])?;
        }
        let commands = plan.commands();
        let commands = self.commands.then(|| commands.iter().map(|command| plan.report(command)).collect::<Vec<_>>());
        if common.json {
            let source = checkpoint.as_ref().map(Source::new);
            return outputs.print_json(&Report { plan: &report, source, commands });
        }
        let rows = match &commands {
            Some(commands) => command_rows(&plan, commands),
            None => operators(&plan, network.freeze_at()),
        };
        let mut text = rows + "\n" + &summary(&report, options.target.class);
        if let Some(checkpoint) = &checkpoint {
            text += &Source::new(checkpoint).text();
        }
        if let Some(path) = &self.svg {
            text += &format!("picture     {}\n", path.display());
        }
        outputs.print(&text)
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    plan: &'a PlanReport,
    /// The weight file that the network comes from.
    #[serde(flatten)]
    source: Option<Source>,
    /// The commands of a run, with `--commands`.
    #[serde(skip_serializing_if = "Option::is_none")]
    commands: Option<Vec<CommandReport>>,
}

/// The commands of a run as a table.
fn command_rows(plan: &Plan, commands: &[CommandReport]) -> String {
    let mut rows = table(&[">number", "command", "of", "what", "from", "to"]);
    let in_batch = |name: &str, micro_batch: usize| match plan.micro_batches() {
        1 => name.to_owned(),
        _ => format!("{name}, micro-batch {micro_batch}"),
    };
    for (number, command) in commands.iter().enumerate() {
        let [kind, of, what, from, to] = match command {
            CommandReport::CopyIn(copy) | CommandReport::CopyOut(copy) => {
                let staging = format!("staging {} at {}", copy.staging, copy.staging_offset);
                let buffer = format!("buffer {} at {}", copy.buffer, copy.offset);
                let inwards = matches!(command, CommandReport::CopyIn(_));
                let (from, to) = if inwards { (staging, buffer) } else { (buffer, staging) };
                let [[first, end], [top, bottom]] = [copy.frames, copy.rows];
                let what = format!("frames {first}..{end}, rows {top}..{bottom}, {} bytes", grouped(copy.bytes));
                let kind = if inwards { "copy in" } else { "copy out" };
                [kind.to_owned(), in_batch(&copy.blob, copy.micro_batch), what, from, to]
            }
            CommandReport::Dispatch { micro_batch, operator, kernel, workgroups: [x, y], bindings } => {
                let (to, from) =
                    bindings.split_last().map_or((String::new(), &[][..]), |(to, from)| (to.clone(), from));
                let what = format!("{kernel}, {x} x {y} workgroups");
                ["dispatch".to_owned(), in_batch(operator, *micro_batch), what, from.join("; "), to]
            }
            CommandReport::Submit => ["submit", "", "", "", ""].map(str::to_owned),
            _ => continue,
        };
        rows.add_row([number.to_string(), kind, of, what, from, to]);
    }
    lines(&rows).join("\n") + "\n"
}

/// Properties of a weight file besides the network.
#[derive(Debug, Serialize)]
struct Source {
    names: String,
    family: Option<String>,
    /// Properties that no name and no shape shows.
    assumed: Vec<String>,
    preprocess: Option<String>,
    sampling: Option<Sampling>,
}

impl Source {
    fn new(checkpoint: &Checkpoint) -> Self {
        Self {
            names: checkpoint.naming().to_string(),
            family: checkpoint.family().map(|family| family.to_string()),
            assumed: checkpoint.assumed(),
            preprocess: checkpoint.preprocess().as_ref().map(describe_pixels),
            sampling: checkpoint.sampling(),
        }
    }

    fn text(&self) -> String {
        let mut facts = Facts::default();
        facts
            .add("names", &self.names)
            .add("family", self.family.as_deref().unwrap_or("unknown"))
            .add("frames", self.preprocess.as_deref().unwrap_or("unknown"));
        if let Some(sampling) = &self.sampling {
            facts.add("clip", format!("{}, from the middle", sampling.describe()));
        }
        if !self.assumed.is_empty() {
            facts.add("assumed", format!("{} (as published: no name and no shape shows it)", self.assumed.join("; ")));
        }
        facts.to_string()
    }
}

impl Arguments {
    /// The target to choose kernels for: that of the class, without features that `limits` excludes.
    fn target(&self, limits: DeviceLimits) -> Target {
        match (limits, self.class) {
            (DeviceLimits::Adapter, class) => Target::typical(class),
            (_, class) => Target { subgroup_size: None, ..Target::typical(class) },
        }
    }

    fn limits(&self, limits: DeviceLimits) -> PlanLimits {
        let maximum = match limits {
            DeviceLimits::Adapter => PlanLimits::default(),
            _ => PlanLimits::from(&wgpu::Limits::defaults()),
        };
        let binding = self.max_binding.map_or(maximum.max_binding_bytes, |mib| u64::from(mib) << 20);
        PlanLimits { max_binding_bytes: binding, ..maximum }.within(maximum)
    }
}

/// A table with a line for each operator, and a mark where training stops the gradient.
fn operators(plan: &Plan, freeze_at: usize) -> String {
    let mut rows =
        table(&[">#", "output", "operator", "reads", ">shape", ">params", ">MMAC", "kernel", ">buffer", "fused"]);
    let graph = plan.graph();
    let name = |id| graph.blob(id).name.as_str();
    // Conversions between layouts have no number: they are dispatches, but not operators of the network.
    let mut numbers = 0..;
    for (index, op) in graph.operators().iter().enumerate() {
        let number = if op.kind == OpKind::Layout { None } else { numbers.next() };
        let step = plan.steps().iter().find(|step| step.operator == index);
        let macs = plan.operator_macs(index);
        rows.add_row([
            number.map_or(String::new(), |number: usize| number.to_string()),
            name(op.output).to_owned(),
            match (&op.kind, graph.blob(op.output).layout) {
                (OpKind::Layout, Layout::ChannelsLast) => "to channels last".to_owned(),
                (OpKind::Layout, Layout::Planar) => "to NCTHW".to_owned(),
                _ => operator(op),
            },
            op.inputs.iter().map(|&id| name(id)).collect::<Vec<_>>().join(", "),
            plan.shape(op.output).to_string(),
            Some(params(op, plan.shape(op.output).c)).filter(|&n| n > 0).map_or("".to_owned(), grouped),
            if macs > 0 { format!("{:.1}", macs as f64 / 1e6) } else { String::new() },
            step.map_or(String::new(), kernel),
            plan.buffer(op.output).to_string(),
            fused(op),
        ]);
    }
    let mut lines = lines(&rows);
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let stops = graph.operators().iter().position(stops_gradient);
    if let Some(line) = stops.map(|index| index + 3).filter(|&line| line <= lines.len()) {
        let note = format!("── gradient stops here: training with freeze_at {freeze_at} keeps all above unchanged ");
        let rest = width.saturating_sub(note.chars().count());
        lines.insert(line, note + &"─".repeat(rest));
    }
    lines.join("\n") + "\n"
}

/// The kernel, and the number of dispatches if the operator is split.
fn kernel(step: &Step) -> String {
    match step.slices() {
        1 => step.method.name().to_owned(),
        count => format!("{} x {count}", step.method.name()),
    }
}

/// Whether training stops the gradient after `op`.
fn stops_gradient(op: &Operator) -> bool {
    op.kind == OpKind::StopGradient || op.fused.iter().any(|name| name.ends_with("_stop_gradient"))
}

/// Kind and window, for example `conv 1x7x7 /1x2x2`.
fn operator(op: &Operator) -> String {
    let window = |window: &Window| {
        let axes = |[t, h, w]: [usize; 3]| format!("{t}x{h}x{w}");
        let mut text = axes(window.kernel);
        if window.stride != [1; 3] {
            text += &format!(" /{}", axes(window.stride));
        }
        if window.dilation != [1; 3] {
            text += &format!(" dilated {}", axes(window.dilation));
        }
        text
    };
    let label = op.kind.label();
    match &op.kind {
        OpKind::Conv(Conv { window: sliding, groups: 1, .. })
        | OpKind::MaxPool(sliding)
        | OpKind::Subsample(sliding) => format!("{label} {}", window(sliding)),
        OpKind::Conv(conv) => format!("{label} {} in {} groups", window(&conv.window), conv.groups),
        OpKind::AveragePool(Axes::Space) => format!("{label} over space"),
        OpKind::AveragePool(Axes::Time) => format!("{label} over time"),
        OpKind::Affine(_) | OpKind::Relu | OpKind::Sum | OpKind::Concat => label.to_owned(),
        OpKind::StopGradient | OpKind::Layout => label.to_owned(),
    }
}

/// The operators that are fused into a convolution, in order. The stop of the gradient is a separate line.
fn fused(op: &Operator) -> String {
    let OpKind::Conv(conv) = &op.kind else {
        return String::new();
    };
    let scaled = conv.epilogue.affine.as_ref().map(|affine| affine.scale.is_some());
    let parts = [
        ("affine", scaled == Some(true)),
        ("bias", scaled == Some(false)),
        ("projection", conv.epilogue.projection.is_some()),
        ("sum", conv.epilogue.residual),
        ("relu", conv.epilogue.relu),
        ("max pool", conv.epilogue.pool.is_some()),
    ];
    let fused = parts.iter().filter(|(_, is_fused)| *is_fused).map(|(name, _)| *name);
    fused.collect::<Vec<_>>().join(", ")
}

/// The number of parameters of an operator with `channels` output channels.
fn params(op: &Operator, channels: usize) -> u64 {
    let affine = |affine: &Affine| (affine.parameters().count() * channels) as u64;
    match &op.kind {
        OpKind::Conv(conv) => {
            let weight = |conv: &Conv| conv.weight_shape().iter().map(|&n| n as u64).product::<u64>();
            conv.terms().map(|pair| weight(pair) + pair.epilogue.affine.as_ref().map_or(0, affine)).sum()
        }
        OpKind::Affine(parameters) => affine(parameters),
        OpKind::Relu | OpKind::MaxPool(_) | OpKind::AveragePool(_) | OpKind::Subsample(_) => 0,
        OpKind::Sum | OpKind::Concat | OpKind::StopGradient | OpKind::Layout => 0,
    }
}

/// The totals of a plan.
pub fn summary(report: &PlanReport, class: AdapterClass) -> String {
    let memory = &report.memory;
    let blob = &report.last;
    let blobs = memory.peak_bytes - memory.scratch_bytes;
    let ratio = blobs as f64 / memory.lower_bound_bytes.max(1) as f64;
    let mut facts = Facts::default();
    facts
        .add("network", describe(&report.config))
        .add("clip", report.clip.to_string())
        .add("result", format!("{blob}, {} channels, spatial scale {}", report.dim_out, scale(report.spatial_scale)))
        .add(
            "work",
            format!(
                "{:.3} GMAC in {} dispatches{}{}, kernels for {}",
                report.macs as f64 / 1e9,
                report.dispatches,
                if report.micro_batches > 1 {
                    format!(" ({} micro-batches)", report.micro_batches)
                } else {
                    String::new()
                },
                if report.submissions > 1 { format!(", {} submissions", report.submissions) } else { String::new() },
                class_line(class)
            ),
        )
        .add("parameters", format!("{} ({} as packed)", grouped(report.params), mib(memory.weight_bytes)))
        .add(
            "memory",
            format!(
                "{} in {} buffers: {} of blobs, {ratio:.2} times the lower bound ({}), {} without sharing; {} of \
                 scratch",
                mib(memory.peak_bytes),
                memory.buffers.len(),
                mib(blobs),
                mib(memory.lower_bound_bytes),
                mib(memory.unshared_bytes),
                mib(memory.scratch_bytes)
            ),
        );
    facts.to_string()
}

/// The name of a class, with a warning if its kernels have not been timed.
pub fn class_line(class: AdapterClass) -> String {
    let warning = if class.is_measured() { "" } else { " (unmeasured: no adapter of this class has been timed)" };
    format!("{}{warning}", class.name())
}

/// A scale as text; as a fraction if it is one over a whole number.
fn scale(scale: f64) -> String {
    let inverse = 1.0 / scale;
    if inverse.fract() == 0.0 { format!("1/{inverse}") } else { format!("{scale}") }
}
