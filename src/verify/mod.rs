//! Verification: random operators and bodies with every method forced, compared with the CPU reference.
//!
//! `resnet3d verify` and the property tests run the same code. A result is right if it is within [`Tolerance`], as a
//! whole and value by value. Every plan runs twice, with its buffers filled with NaN and with 1e30, and must give the
//! same bits each time. (NaN alone is not enough: `max(NaN, 0)` may be 0.) Operators, and half of the bodies, also run
//! under limits so small that their plans are split, and must give the same bits. Each method runs alternately fused
//! and unfused, and on every other body.

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

/// The minimum root mean square of a body's blobs, except blobs of zeros. Bodies below the minimum are drawn again.
const LEAST_LEFT: f64 = 0.05;

/// The values that fill the activation buffers before a run.
const FILLS: [f32; 2] = [f32::NAN, 1e30];

/// How much to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which cases to draw.
    pub cases: Cases,
    /// The seed of all cases: the same seed and number draw the same case.
    pub seed: u64,
    /// The memory limit of every plan, see [`PlanOptions::memory_limit`].
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
        /// Random operators, each with the operators that may be fused into it.
        operators: usize,
        /// Random small bodies.
        bodies: usize,
    },
    /// The case with this number, which is the same as in a run over several cases.
    One(usize),
}

impl Cases {
    /// The numbers of the cases, in order.
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

    /// The number of operators and the number of bodies.
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
    /// The method that is forced on every operator that it supports.
    pub method: Option<Method>,
    /// Whether operators are fused.
    pub fusion: bool,
    /// Whether shaders keep wgpu's run-time checks.
    pub checks: ShaderChecks,
    /// Artificial limits, under which the plan is split. The result must equal that of the unsplit plan bit for bit.
    pub limits: Option<PlanLimits>,
    /// A limit on memory, see [`PlanOptions::memory_limit`].
    pub memory_limit: Option<u64>,
    /// A deliberate fault.
    pub patch: Option<ShaderPatch>,
}

/// Verifies `gpu`. `progress` is called with the number of cases done and of all cases.
///
/// # Errors
/// None that drawn cases can have. A wrong result is not an error but a [`Failure`] in the report, and so is an error
/// of planning or of the device. Further cases run after a failure, unless the device is lost.
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

/// Runs a case in all ways whose turn it is, whole and split, and adds every result to the report.
fn run_case(gpu: &GpuContext, settings: &Settings, drawn: &Drawn, report: &mut Report) {
    let Drawn { case, is_body, index, .. } = drawn;
    let mut splits = drawn.splits();
    // Alternating costs nothing and covers both forms of every shader.
    let checks = [ShaderChecks::Unchecked, ShaderChecks::Checked][index % 2];
    let ways = by_turns(variants(case, gpu.target(), checks), *index, *is_body);
    // A case with only a few ways to run is split several times in each way.
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

/// The `variants` whose turn it is for operator or body number `index`: for an operator every method, for a body every
/// other method, because operators also run singly. Each method is either fused or unfused.
fn by_turns(variants: Vec<Variant>, index: usize, is_body: bool) -> Vec<Variant> {
    let methods = variants.chunk_by(|a, b| a.method == b.method).enumerate();
    let due = methods.filter(|(place, _)| !is_body || (index + place).is_multiple_of(2));
    due.map(|(place, ways)| ways[(index + place) / 2 % ways.len()]).collect()
}

/// Verifies `gpu` for `time`, and at least once: like [`verify`] with `settings`, then with the next seed, and so on,
/// in one report. `progress` is called with the number of cases done and the seed.
///
/// # Errors
/// Those of [`verify`].
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

/// All ways to run `case`: each method that supports one of its convolutions is forced, with fusion and, if that makes
/// a difference, without.
pub fn variants(case: &Case, target: Target, checks: ShaderChecks) -> Vec<Variant> {
    let mut methods: Vec<Option<Method>> = Vec::new();
    let fused = fuse_pools(&fuse(&case.graph, &[]), &[], |_, _| true);
    for op in case.graph.operators().iter().chain(fused.operators()) {
        let candidates = Method::candidates(&op.kind, target);
        // An operator with a single method runs with that method whatever is forced, unless fusion creates the operator
        // only if the method is forced.
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
    limits = variant.limits.map_or(limits, |artificial| artificial.within(limits));
    limits.max_groups = limits.max_groups.min(case.max_groups);
    let options = PlanOptions {
        taps: case.taps.clone(),
        fusion: variant.fusion,
        projections: Some(true),
        dtype: DType::F32,
        target: gpu.target(),
        forced: variant.method,
        choices: Choices::default(),
        // Other methods compute what the forced one does not support. Their choice must not depend on the limits.
        numerics: if variant.method.is_none_or(Method::is_winograd) { Numerics::Fast } else { Numerics::NoWinograd },
        limits,
        memory_limit: variant.memory_limit,
    };
    Plan::new(&case.graph, &case.input_shapes(), &options)
}

/// The results of the CPU reference for the taps and the last blob of a case, by name.
#[derive(Clone, Debug)]
pub struct Expected(BTreeMap<String, Volume>);

impl Expected {
    /// Runs the reference on `case`.
    ///
    /// # Errors
    /// [`ErrorKind::Clip`](crate::ErrorKind::Clip) for a tap that the case does not have; others that drawn cases
    /// cannot have.
    pub fn of(case: &Case) -> Result<Self> {
        let last = case.graph.blob(case.graph.output()).name.clone();
        let names: Vec<String> = case.taps.iter().cloned().chain([last]).collect();
        let keep = names.iter().map(|name| case.graph.find(name)).collect::<Result<Vec<_>>>()?;
        let inputs: Vec<_> = case.inputs.iter().collect();
        let volumes = reference::execute(&case.graph, &inputs, &case.weights, &keep)?;
        Ok(Self(names.into_iter().zip(volumes).collect()))
    }

    /// Whether the terms of some blob of a body cancel almost completely, as may happen by chance in a narrow body with
    /// few positions. The terms are around 1; their rounding errors remain, and exceed the tolerance for the small sum.
    fn has_cancelled(&self) -> bool {
        self.0.values().any(|blob| {
            let square = blob.data.iter().map(|v| v * v).sum::<f64>() / blob.data.len() as f64;
            square > 0.0 && square.sqrt() < LEAST_LEFT
        })
    }
}

/// The outputs of a plan, for each filling of its buffers.
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
    /// Compares the outputs with the expected outputs and, for a split plan, with the outputs of the `whole` plan.
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
