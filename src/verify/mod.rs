//! Proof by comparison: random operators and bodies, every kernel variant by force, against the CPU reference.
//!
//! `resnet3d verify` and the property tests run the same code. A result agrees if it is within [`Tolerance`], as a
//! whole and value by value. Every plan runs twice, its buffers filled beforehand with NaN and with 1e30, and must give
//! the same bits each time. (NaN alone would prove little: `max(NaN, 0)` may be 0.) Then it runs once more, of bodies
//! every other one, under limits so small that it has to be split, and must give the same bits again. Methods run fused
//! and unfused by turns, and on every other body.

mod cases;
mod coverage;
mod outcome;
pub mod presets;
mod report;
mod split;

pub use crate::deviation::{Deviation, Tolerance};
pub use cases::{Case, Drawn};
pub use coverage::Coverage;
pub use outcome::{Failure, Outcome};
pub use report::{Report, Row};
pub use split::split;

use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::{Constants, Executor, GpuContext, ShaderChecks, ShaderPatch, Timing};
use crate::graph::OpKind;
use crate::graph::fuse::{fuse, fuse_pools};
use crate::kernels::{Kernel, Method, Target};
use crate::plan::{Choices, Numerics, Plan, PlanLimits, PlanOptions};
use crate::reference::{self, Volume};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// The least root mean square of blobs of bodies that are compared, unless all is zero.
const LEAST_LEFT: f64 = 0.05;

/// What the activation buffers hold before a run.
const FILLS: [f32; 2] = [f32::NAN, 1e30];

/// How much to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which cases to draw.
    pub cases: Cases,
    /// The seed of all of them: the same seed and number draw the same case.
    pub seed: u64,
    /// Plan all of them within so much memory, see [`PlanOptions::memory_limit`].
    pub memory_limit: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cases: Cases::First { operators: 200, bodies: 40 }, seed: 1, memory_limit: None }
    }
}

/// Which cases of a seed to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cases {
    /// The first ones.
    First {
        /// Random single operators, with what may be fused behind them.
        operators: usize,
        /// Random small bodies.
        bodies: usize,
    },
    /// The one with this number, as a run that has it among others draws it.
    One(usize),
}

impl Cases {
    /// Their numbers, in order.
    pub fn numbers(self) -> Vec<usize> {
        match self {
            Self::First { operators, bodies } => {
                let operators = (0..operators).map(cases::number_of_operator);
                let mut numbers: Vec<usize> = operators.chain((0..bodies).map(cases::number_of_body)).collect();
                numbers.sort_unstable();
                numbers
            }
            Self::One(number) => vec![number],
        }
    }

    /// How many operators and how many bodies they are.
    pub fn counts(self) -> (usize, usize) {
        match self {
            Self::First { operators, bodies } => (operators, bodies),
            Self::One(number) if cases::is_body(number) => (0, 1),
            Self::One(_) => (1, 0),
        }
    }
}

/// One way to run a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The method forced on every operator it can do.
    pub method: Option<Method>,
    /// Whether operators are fused.
    pub fusion: bool,
    /// Whether shaders keep wgpu's run-time checks.
    pub checks: ShaderChecks,
    /// Artificial limits, under which the plan is split; the result must be that of the unsplit plan bit for bit.
    pub limits: Option<PlanLimits>,
    /// A limit on memory as well, see [`PlanOptions::memory_limit`].
    pub memory_limit: Option<u64>,
    /// A deliberate fault.
    pub patch: Option<ShaderPatch>,
}

/// Verifies `gpu`; `progress` hears how many of how many cases are done.
///
/// # Errors
/// None that drawn cases can have. A wrong result is no error, but a [`Failure`] in the report, and so is an error of
/// planning or of the device. A failure does not keep further cases from being tried, unless the device is lost.
pub fn verify(gpu: &GpuContext, settings: &Settings, progress: &mut dyn FnMut(usize, usize)) -> Result<Report> {
    let numbers = settings.cases.numbers();
    let mut report = Report::new(gpu);
    for (done, &number) in numbers.iter().enumerate() {
        progress(done, numbers.len());
        run_case(gpu, settings, &Drawn::new(settings.seed, number)?, &mut report);
        report.cases += 1;
        if report.lost {
            break;
        }
    }
    progress(numbers.len(), numbers.len());
    Ok(report)
}

/// Runs a case in all ways whose turn it is, whole and split, and adds to the report what comes of each.
fn run_case(gpu: &GpuContext, settings: &Settings, drawn: &Drawn, report: &mut Report) {
    let Drawn { case, is_body, index, .. } = drawn;
    let mut splits = drawn.splits();
    // Cheap to alternate, and both forms of every shader are seen.
    let checks = [ShaderChecks::Unchecked, ShaderChecks::Checked][index % 2];
    let ways = by_turns(variants(case, gpu.target(), checks), *index, *is_body);
    // Of what can be run in a few ways only, each is split in several.
    let most_splits = if ways.len() < 5 { 4 } else { 1 };
    let attempt = |variant: &Variant, fills: &[f32]| run(gpu, case, plan(gpu, case, variant)?, variant, fills);
    for variant in ways {
        let variant = Variant { memory_limit: settings.memory_limit, ..variant };
        let whole = attempt(&variant, &FILLS);
        report.count(drawn, &variant, &whole, None);
        let Ok(whole) = whole else {
            if report.lost {
                return;
            }
            continue;
        };
        for _ in 0..most_splits {
            if *is_body && splits.bool() {
                continue;
            }
            let (variant, parts) = match split(gpu, case, &variant, &mut splits) {
                Ok(None) => continue,
                Ok(Some(variant)) => (variant, attempt(&variant, &FILLS[index % 2..][..1])),
                Err(error) => (variant, Err(error)),
            };
            report.count(drawn, &variant, &parts, Some(&whole));
            if report.lost {
                return;
            }
        }
    }
}

/// Those of `variants` whose turn it is with case number `index` of its kind: every method either fused or not, and of
/// bodies, whose operators have been seen singly, every other method.
fn by_turns(variants: Vec<Variant>, index: usize, is_body: bool) -> Vec<Variant> {
    let methods = variants.chunk_by(|a, b| a.method == b.method).enumerate();
    let due = methods.filter(|(place, _)| !is_body || (index + place).is_multiple_of(2));
    due.map(|(place, ways)| ways[(index + place) / 2 % ways.len()]).collect()
}

/// Verifies `gpu` for `time`, and at least once: as [`verify`] with `settings`, then with the next seed, and so on, all
/// in one report. `progress` hears how many cases are done, and the seed.
///
/// # Errors
/// As [`verify`].
pub fn verify_for(
    gpu: &GpuContext,
    settings: &Settings,
    time: Duration,
    progress: &mut dyn FnMut(usize, u64),
) -> Result<Report> {
    let started = Instant::now();
    let mut report = Report::new(gpu);
    for seed in settings.seed.. {
        let before = report.cases;
        let settings = Settings { seed, ..*settings };
        report.append(verify(gpu, &settings, &mut |done, _| progress(before + done, seed))?);
        if report.lost || started.elapsed() >= time {
            break;
        }
    }
    Ok(report)
}

/// Runs one case in one way and compares it with the CPU reference.
///
/// # Errors
/// Errors of planning or of the device.
pub fn check(gpu: &GpuContext, case: &Case, expected: &Expected, variant: &Variant) -> Result<Outcome> {
    let run = |variant: &Variant, fills: &[f32]| run(gpu, case, plan(gpu, case, variant)?, variant, fills);
    let is_split = variant.limits.is_some() || variant.memory_limit.is_some();
    let whole = Variant { limits: None, memory_limit: None, ..*variant };
    let whole = is_split.then(|| run(&whole, &FILLS[..1])).transpose()?;
    Ok(run(variant, &FILLS)?.outcome(expected, whole.as_ref()))
}

/// All ways to run `case`: every method that can do one of its convolutions by force, fused and unfused where that
/// makes a difference.
pub fn variants(case: &Case, target: Target, checks: ShaderChecks) -> Vec<Variant> {
    let mut methods: Vec<Option<Method>> = Vec::new();
    let fused = fuse_pools(&fuse(&case.graph, &[]), &[], |_, _| true);
    for op in case.graph.operators().iter().chain(fused.operators()) {
        let candidates = Method::candidates(&op.kind, target);
        // Operators with a single method run with that whatever is forced, unless they are there only where it is.
        let choice = candidates.len() > 1 || matches!(op.kind, OpKind::Conv(_));
        for method in candidates.iter().filter(|_| choice) {
            if !methods.contains(&Some(*method)) {
                methods.push(Some(*method));
            }
        }
    }
    if methods.is_empty() {
        methods.push(None);
    }
    let fusions: &[bool] = if case.graph.operators().len() > 1 { &[true, false] } else { &[true] };
    let pairs = methods.iter().flat_map(|&method| fusions.iter().map(move |&fusion| (method, fusion)));
    pairs
        .map(|(method, fusion)| Variant { method, fusion, checks, limits: None, memory_limit: None, patch: None })
        .collect()
}

/// The kernels that `variant` of `case` runs.
///
/// # Errors
/// Errors of planning.
pub fn kernels(gpu: &GpuContext, case: &Case, variant: &Variant) -> Result<HashSet<Kernel>> {
    let plan = plan(gpu, case, variant)?;
    let dispatches = plan.steps().iter().flat_map(|step| &step.dispatches);
    Ok(dispatches.map(|dispatch| dispatch.launch.kernel).collect())
}

fn plan(gpu: &GpuContext, case: &Case, variant: &Variant) -> Result<Plan> {
    let mut limits = gpu.plan_limits();
    limits = variant.limits.map_or(limits, |drawn| drawn.within(limits));
    limits.max_groups = limits.max_groups.min(case.max_groups);
    let options = PlanOptions {
        taps: case.taps.clone(),
        fusion: variant.fusion,
        projections: Some(true),
        dtype: DType::F32,
        target: gpu.target(),
        forced: variant.method,
        choices: Choices::default(),
        // What a forced method cannot do others do, whose choice must not depend on the limits.
        numerics: if variant.method.is_none_or(Method::is_winograd) { Numerics::Fast } else { Numerics::NoWinograd },
        limits,
        memory_limit: variant.memory_limit,
    };
    Plan::new(&case.graph, &case.input_shapes(), &options)
}

/// What the CPU reference makes of the taps and the last blob of a case, by name.
#[derive(Clone, Debug)]
pub struct Expected(BTreeMap<String, Volume>);

impl Expected {
    /// Runs the reference on `case`.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) for a tap that the case has not; others that drawn cases cannot
    /// have.
    pub fn of(case: &Case) -> Result<Self> {
        let last = case.graph.blob(case.graph.output()).name.clone();
        let names: Vec<String> = case.taps.iter().cloned().chain([last]).collect();
        let keep = names.iter().map(|name| case.graph.find(name)).collect::<Result<Vec<_>>>()?;
        let inputs: Vec<_> = case.inputs.iter().collect();
        let volumes = reference::execute(&case.graph, &inputs, &case.weights, &keep)?;
        Ok(Self(names.into_iter().zip(volumes).collect()))
    }

    /// Whether next to nothing is left of the values that a blob of a body is the sum of, which are around 1: what a
    /// narrow body of few positions may come to by chance. Their rounding errors are left, beyond any tolerance for
    /// what is.
    fn has_cancelled(&self) -> bool {
        self.0.values().any(|blob| {
            let square = blob.data.iter().map(|v| v * v).sum::<f64>() / blob.data.len() as f64;
            square > 0.0 && square.sqrt() < LEAST_LEFT
        })
    }
}

/// What a plan computed, for each filling of its buffers.
struct Run {
    plan: Plan,
    runs: Vec<Vec<Vec<f32>>>,
}

fn run(gpu: &GpuContext, case: &Case, plan: Plan, variant: &Variant, fills: &[f32]) -> Result<Run> {
    let mut constants = Constants::default();
    let mut executor = Executor::new(gpu, plan, &case.weights, &mut constants, variant.checks, variant.patch)?;
    let inputs: Vec<&[f32]> = case.inputs.iter().map(|clip| clip.data()).collect();
    let mut runs = Vec::new();
    for &fill in fills {
        executor.fill_activations(fill)?;
        runs.push(executor.run(&inputs, Timing::Off)?.0);
    }
    Ok(Run { plan: executor.into_plan(), runs })
}

impl Run {
    /// Compares with what should be, and with the `whole` of what was split.
    fn outcome(&self, expected: &Expected, whole: Option<&Self>) -> Outcome {
        let bits = |values: &Vec<Vec<f32>>| values.iter().flatten().map(|v| v.to_bits()).collect::<Vec<u32>>();
        let first = bits(&self.runs[0]);
        let tolerance = Tolerance::of(self.plan.dtype());
        let deviations = self.runs.iter().flat_map(|values| {
            let outputs = self.plan.outputs().iter().zip(values);
            outputs
                .map(|(output, got)| Deviation::measure(&output.name, got, &expected.0[&output.name].data, tolerance))
        });
        let worst = deviations.max_by(|a, b| a.of_tolerance.total_cmp(&b.of_tolerance));
        Outcome {
            worst: worst.expect("every plan has an output, and runs"),
            repeatable: self.runs[1..].iter().all(|values| bits(values) == first),
            as_unsplit: whole.is_none_or(|whole| bits(&whole.runs[0]) == first),
        }
    }
}
