//! Tuning: finds the quickest method for each operator on this device, by benchmarks.
//!
//! The planner chooses methods with a fixed table, which rests on measurements on adapters of a class. Tuning times
//! every candidate for every distinct operator of a network, on a clip of one shape, and puts the winners into
//! [`Choices`] for the planner. A candidate must be right to win: its output is compared with that of the direct
//! kernel, with the tolerance of [`crate::verify`]. Then the whole network is timed with the winners and without, and
//! winners that do not make it quicker are dropped. The result is stored on disk if the context has a directory for
//! caches ([`GpuContext::cached_in`]).
//!
//! Choices are made for a single clip, whatever the batch, like those of the table. The results of a tuned network
//! agree with those of the table's methods within the same tolerance, not bit for bit. Tuning again may choose
//! differently.

mod benchmark;
mod network;
mod store;

use crate::error::Result;
use crate::gpu::{GpuContext, ShaderChecks, ShaderPatch};
use crate::graph::Graph;
use crate::kernels::Method;
use crate::plan::{Choices, Numerics, Plan, PlanOptions, signature};
use crate::shape::Shape;
use crate::weights::{Weights, random};
use benchmark::{Benchmark, Operator};
use network::{Network, Winner};
use serde::Serialize;
use std::time::Duration;

pub(crate) use store::load;

/// The result of tuning for one operator, and for all operators with the same signature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tuned {
    /// The first of these operators in the network.
    pub operator: String,
    /// The number of these operators in the network.
    pub count: usize,
    /// The number of methods that were tried.
    pub candidates: usize,
    /// Methods whose output was wrong, or that failed.
    pub refused: Vec<&'static str>,
    /// The method of the fixed table.
    pub table: &'static str,
    /// Its median time in milliseconds; NaN if it was refused.
    pub table_ms: f64,
    /// The chosen method: the table's, unless another is quicker by more than the noise.
    pub chosen: &'static str,
    /// Its median time in milliseconds.
    pub chosen_ms: f64,
    /// Whether the network uses the chosen method. It does not if the network was no quicker with it; then it uses the
    /// table's.
    pub kept: bool,
    /// All methods with right results, the quickest first.
    pub times: Vec<Timed>,
}

/// The time of a method for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Timed {
    /// Its name.
    pub method: &'static str,
    /// Its time in milliseconds: the median of `runs` runs.
    pub ms: f64,
    /// The number of runs; 1 if the first run was much slower than the best method.
    pub runs: usize,
}

/// The setting in which a network is tuned.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The device.
    pub gpu: &'a GpuContext,
    /// The weights.
    pub weights: &'a Weights,
    /// The options with which the network will be planned.
    pub options: &'a PlanOptions,
    /// The checks with which its shaders will be compiled.
    pub checks: ShaderChecks,
    /// A deliberate fault in a shader, for tests that a faulty method does not win.
    pub patch: Option<ShaderPatch>,
}

/// Finds methods, on clips of `shape`, for the operators of `graph` that have none in `choices`, and adds them to
/// `choices`. `progress` is called with the number of operators done and their total. Stored choices are not read, but
/// they are updated, unless the numerics forbid Winograd's method.
///
/// # Errors
/// The errors of [`Plan::new`]; [`ErrorKind::Device`](crate::ErrorKind::Device) if not even the direct kernel runs.
pub fn tune(
    setting: Setting<'_>,
    graph: &Graph,
    shape: Shape,
    choices: &mut Choices,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Tuned>> {
    // Planned with the fixed table, and with the taps, since taps keep operators from being fused.
    let options = PlanOptions { forced: None, choices: Choices::default(), ..setting.options.clone() };
    let setting = Setting { options: &options, ..setting };
    let plan = Plan::new(graph, &[Shape { n: 1, ..shape }], &options)?;
    let benchmarks = benchmarks(&plan, choices);
    let (mut tuned, mut winners) = (Vec::new(), Vec::new());
    for (done, benchmark) in benchmarks.iter().enumerate() {
        progress(done, benchmarks.len());
        let (result, chosen) = benchmark.run(setting)?;
        let signature = benchmark.signature.clone();
        // A table's method whose results are wrong is replaced in any case, whatever that does to the network's time.
        let right = !result.refused.contains(&result.table);
        if right && chosen != benchmark.table {
            let saving = result.count as f64 * (result.table_ms - result.chosen_ms);
            winners.push((tuned.len(), Winner { signature: signature.clone(), method: chosen, saving }));
        }
        choices.insert(signature, if right { benchmark.table } else { chosen });
        tuned.push(result);
    }
    if !winners.is_empty() {
        let mut network = Network::new(setting, graph, Shape { n: 1, ..shape }, choices)?;
        let (indices, winners): (Vec<usize>, Vec<Winner>) = winners.into_iter().unzip();
        let kept = network::keep(choices, &winners, &mut |choices| network.is_quicker_by(choices))?;
        indices.into_iter().zip(kept).for_each(|(index, kept)| tuned[index].kept = kept);
    }
    progress(benchmarks.len(), benchmarks.len());
    // Stricter numerics leave fewer methods to choose from: the winners among them are not stored for other backbones.
    if !tuned.is_empty() && options.numerics == Numerics::Fast {
        store::save(setting.gpu, options.dtype, choices);
    }
    Ok(tuned)
}

/// The distinct operators of `plan` that have a choice of methods and are not in `choices`.
fn benchmarks(plan: &Plan, choices: &Choices) -> Vec<Benchmark> {
    let mut benchmarks: Vec<Benchmark> = Vec::new();
    for step in plan.steps() {
        let op = &plan.graph().operators()[step.operator];
        let (input, output) = (plan.shape(op.inputs[0]), plan.shape(op.output));
        let Some(signature) = signature(&op.kind, input, output, plan.dtype()) else { continue };
        if choices.get(&signature).is_some() {
            continue;
        }
        match benchmarks.iter_mut().find(|benchmark| benchmark.signature == signature) {
            Some(benchmark) => benchmark.count += 1,
            None => benchmarks.push(Benchmark {
                signature,
                operator: Operator::alone(plan, step.operator),
                table: step.method,
                count: 1,
            }),
        }
    }
    benchmarks
}

/// Values from -1 to 1 for a blob.
fn values(name: &str, shape: Shape) -> Vec<f32> {
    random::uniform(name, 0).take(shape.len()).map(|value| value as f32).collect()
}

/// How many repetitions of `seconds` each fit into `time`, within bounds that keep a median meaningful and a wait
/// short.
fn repetitions(time: Duration, seconds: f64) -> usize {
    ((time.as_secs_f64() / seconds.max(1e-6)) as usize).clamp(5, 25)
}

/// The median; NaN if there are no values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The names of methods.
fn names(methods: &[Method]) -> Vec<&'static str> {
    methods.iter().map(|method| method.name()).collect()
}
