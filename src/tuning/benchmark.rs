//! Benchmark of one operator: times every method that supports it, checks the results, and chooses the quickest method
//! with right results.

use super::{Setting, Timed, Tuned, median, names, repetitions, values};
use crate::deviation::{Deviation, Tolerance};
use crate::dtype::DType;
use crate::error::{ErrorRepr, Result};
use crate::gpu::{Constants, Executor, Timing};
use crate::graph::{Blob, BlobId, Graph, Layout, OpKind};
use crate::kernels::Method;
use crate::plan::{Plan, PlanOptions};
use crate::shape::Shape;
use std::time::{Duration, Instant};

/// Candidates that take more than `HOPELESS` times as long as the best so far are dropped after one run.
const HOPELESS: f64 = 1.5;

/// The table's method is replaced only if a candidate takes less than this share of its time. Medians of a few runs
/// vary by about the difference from 1.
const MARGIN: f64 = 0.95;

/// The time for the runs of the candidates that are left.
const TIME: Duration = Duration::from_millis(500);

/// An operator alone in a graph, with the shapes of its inputs.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    graph: Graph,
    shapes: Vec<Shape>,
}

impl Operator {
    /// The operator of that index in the graph of `plan`.
    pub fn alone(plan: &Plan, index: usize) -> Self {
        let (graph, mut op) = (plan.graph(), plan.graph().operators()[index].clone());
        let mut read = op.inputs.clone();
        read.sort();
        read.dedup();
        let at = |id: &BlobId| BlobId(read.iter().position(|input| input == id).unwrap_or(read.len()));
        op.inputs = op.inputs.iter().map(at).collect();
        let blob = |&id: &BlobId| Blob { layout: Layout::Planar, dtype: DType::HOST, ..graph.blob(id).clone() };
        let blobs = read.iter().chain([&op.output]).map(blob).collect();
        let shapes = read.iter().map(|&id| plan.shape(id)).collect();
        let inputs = (0..read.len()).map(BlobId).collect();
        let output = BlobId(read.len());
        op.output = output;
        Self {
            graph: Graph { blobs, operators: vec![op], inputs, slow_frames: None, output, stages: Vec::new() },
            shapes,
        }
    }

    fn op(&self) -> &crate::graph::Operator {
        &self.graph.operators[0]
    }

    /// The plan that computes it by `method`; an error if the method cannot.
    fn plan(&self, method: Method, options: &PlanOptions) -> Result<Plan> {
        let options = PlanOptions { taps: Vec::new(), fusion: false, forced: Some(method), ..options.clone() };
        let plan = Plan::new(&self.graph, &self.shapes, &options)?;
        match plan.steps().iter().any(|step| step.method == method) {
            true => Ok(plan),
            false => Err(ErrorRepr::Kernel {
                operator: self.op().name.clone(),
                kernel: method.name().to_owned(),
                reason: "it exceeds the limits of the adapter".to_owned(),
            }
            .into()),
        }
    }

    /// Values for every input.
    fn inputs(&self) -> Vec<Vec<f32>> {
        let inputs = self.graph.blobs.iter().zip(&self.shapes);
        inputs.map(|(blob, &shape)| values(&blob.name, shape)).collect()
    }
}

/// An operator to find a method for.
#[derive(Clone, Debug)]
pub(super) struct Benchmark {
    pub signature: String,
    pub operator: Operator,
    /// The method of the fixed table.
    pub table: Method,
    /// How many operators of the network have this signature.
    pub count: usize,
}

/// A method that is ready to run.
struct Candidate {
    method: Method,
    executor: Executor,
    times: Vec<f64>,
}

impl Candidate {
    fn new(setting: Setting<'_>, operator: &Operator, method: Method) -> Result<Self> {
        let Setting { gpu, weights, options, checks, patch } = setting;
        let plan = operator.plan(method, options)?;
        let executor = Executor::new(gpu, plan, weights, &mut Constants::default(), checks, patch)?;
        Ok(Self { method, executor, times: Vec::new() })
    }

    /// Runs once and records the time: that of the operator alone if the device has timestamps, else that of the whole
    /// run.
    fn run(&mut self, inputs: &[Vec<f32>]) -> Result<Vec<f32>> {
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let started = Instant::now();
        let (mut outputs, profile) = self.executor.run(&inputs, Timing::Layers)?;
        let whole = started.elapsed();
        let plan = self.executor.plan();
        let step = plan.steps().iter().position(|step| plan.graph().operators()[step.operator].kind != OpKind::Layout);
        let time = profile.zip(step).and_then(|(profile, step)| profile.steps.get(step).copied());
        self.times.push(time.unwrap_or(whole).as_secs_f64() * 1e3);
        Ok(outputs.swap_remove(0))
    }

    fn timed(&self) -> Timed {
        Timed { method: self.method.name(), ms: self.median(), runs: self.times.len() }
    }

    fn median(&self) -> f64 {
        median(self.times.clone())
    }
}

impl Benchmark {
    /// Runs every candidate. Returns the results, and the chosen method.
    ///
    /// # Errors
    /// The errors of the reference method. A candidate that fails is dropped.
    pub fn run(&self, setting: Setting<'_>) -> Result<(Tuned, Method)> {
        let options = setting.options;
        let inputs = self.operator.inputs();
        let candidate = |method| Candidate::new(setting, &self.operator, method);
        let reference = Method::reference(&self.operator.op().kind).unwrap_or(self.table);
        let want: Vec<f64> = candidate(reference)?.run(&inputs)?.into_iter().map(f64::from).collect();

        let mut methods = Method::candidates(&self.operator.op().kind, options.target);
        let kind = &self.operator.op().kind;
        methods.retain(|&method| options.numerics.allow(method, kind));
        // The table's method first: it is kept in any case, and the others are compared with it.
        methods.sort_by_key(|&method| method != self.table);
        let mut left: Vec<Candidate> = Vec::new();
        let (mut refused, mut times) = (Vec::new(), Vec::new());
        let mut best = f64::INFINITY;
        for &method in &methods {
            let tried = candidate(method).and_then(|mut candidate| {
                // So that an output which the method did not write is NaN.
                candidate.executor.fill_activations(f32::NAN)?;
                let got = candidate.run(&inputs)?;
                let tolerance = Tolerance::of(options.dtype);
                Ok((candidate, Deviation::measure(&self.operator.op().name, &got, &want, tolerance)))
            });
            match tried {
                Ok((candidate, deviation)) if deviation.passed() => {
                    best = best.min(candidate.median());
                    left.push(candidate);
                    let is_hopeless = |candidate: &mut Candidate| {
                        candidate.method != self.table && candidate.median() > HOPELESS * best
                    };
                    times.extend(left.extract_if(.., is_hopeless).map(|candidate| candidate.timed()));
                }
                Ok((_, deviation)) => {
                    let beyond = deviation.of_tolerance;
                    log::warn!("{}: {} is off by {beyond:.2} times the tolerance", self.signature, method.name());
                    refused.push(method);
                }
                Err(error) => {
                    log::debug!("{}: {} is dropped: {error}", self.signature, method.name());
                    refused.push(method);
                }
            }
        }
        let seconds = left.iter().map(Candidate::median).sum::<f64>() / 1e3;
        for _ in 0..repetitions(TIME, seconds) {
            for candidate in &mut left {
                candidate.run(&inputs)?;
            }
        }

        times.extend(left.iter().map(Candidate::timed));
        times.sort_by(|a, b| a.ms.total_cmp(&b.ms));
        let find = |method: Method| left.iter().find(|candidate| candidate.method == method);
        let table_ms = find(self.table).map_or(f64::NAN, Candidate::median);
        let quickest = left.iter().min_by(|a, b| a.median().total_cmp(&b.median()));
        let (quickest, quickest_ms) = quickest.map_or((reference, f64::NAN), |found| (found.method, found.median()));
        let keep = quickest_ms >= MARGIN * table_ms;
        let (chosen, chosen_ms) = if keep { (self.table, table_ms) } else { (quickest, quickest_ms) };
        let tuned = Tuned {
            operator: self.operator.op().name.clone(),
            count: self.count,
            candidates: methods.len(),
            refused: names(&refused),
            table: self.table.name(),
            table_ms,
            chosen: chosen.name(),
            chosen_ms,
            kept: true,
            times,
        };
        Ok((tuned, chosen))
    }
}
