//! Tuning: which method is quickest for an operator on this very device, found by trying.
//!
//! The planner chooses methods by a fixed table, which is made of measurements on adapters of a class. Tuning times
//! every candidate for every distinct operator of a network on a clip of one shape, and puts what won into [`Choices`]
//! for the planner. A candidate has to be right before it may win: its output is compared with that of the direct
//! kernel, with the tolerance of [`crate::verify`]. Then the whole network runs with what won beside itself without,
//! and what does not make it quicker is dropped. What is left is kept on disk where the context has a directory for
//! caches ([`GpuContext::cached_in`]).
//!
//! Choices are made for a single clip, whatever the batch, as those of the table are. Results of a tuned network agree
//! with those of the table's within the same tolerance, not bit for bit, and another tuning may choose otherwise.

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

/// What tuning found for one operator, and all like it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tuned {
    /// The first operator of the kind in the network.
    pub operator: String,
    /// How many of its operators are of the kind.
    pub count: usize,
    /// How many methods were tried.
    pub candidates: usize,
    /// Those whose output was wrong, or that failed.
    pub refused: Vec<&'static str>,
    /// The method of the fixed table.
    pub table: &'static str,
    /// Its time in milliseconds, a median; NaN if it was refused.
    pub table_ms: f64,
    /// The method chosen: the table's, unless another is quicker by more than the noise.
    pub chosen: &'static str,
    /// Its time in milliseconds, a median.
    pub chosen_ms: f64,
    /// Whether the network is computed so: not where it was no quicker for it as a whole, and follows the table.
    pub kept: bool,
    /// Every method that was right, the quickest first.
    pub times: Vec<Timed>,
}

/// How long a method took for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Timed {
    /// Its name.
    pub method: &'static str,
    /// Its time in milliseconds: the median of so many runs.
    pub ms: f64,
    /// A single one where that was hopeless.
    pub runs: usize,
}

/// What a network is tuned on and for.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The device.
    pub gpu: &'a GpuContext,
    /// The weights.
    pub weights: &'a Weights,
    /// How the network will be planned.
    pub options: &'a PlanOptions,
    /// How its shaders will be compiled.
    pub checks: ShaderChecks,
    /// A deliberate fault in a shader, which must not win.
    pub patch: Option<ShaderPatch>,
}

/// Finds methods for those operators of `graph`, on clips of `shape`, that `choices` has none for, and adds them;
/// `progress` hears how many of how many are done. What a context has on disk is not read, but kept up to
/// date, unless Winograd's method was forbidden.
///
/// # Errors
/// Those of [`Plan::new`]; [`ErrorKind::Device`](crate::ErrorKind::Device) if not even the direct kernel runs.
pub fn tune(
    setting: Setting<'_>,
    graph: &Graph,
    shape: Shape,
    choices: &mut Choices,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Tuned>> {
    // What the fixed table says, for what runs: taps keep operators from being fused.
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
    // Stricter numerics leave fewer methods to choose from: what won among them is not stored for other backbones.
    if !tuned.is_empty() && options.numerics == Numerics::Fast {
        store::save(setting.gpu, options.dtype, choices);
    }
    Ok(tuned)
}

/// The distinct operators of `plan` with something to choose that `choices` does not know.
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
