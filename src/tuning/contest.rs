//! One operator, every method that can do it: which is right, and which of those is quickest.

use super::{Setting, Timed, Tuned, median, names, rounds, values};
use crate::deviation::Deviation;
use crate::dtype::DType;
use crate::error::{ErrorRepr, Result};
use crate::gpu::{Constants, Executor, Timing};
use crate::graph::{Blob, BlobId, Graph, Layout, OpKind};
use crate::kernels::Method;
use crate::plan::{Plan, PlanOptions};
use crate::shape::Shape;
use std::time::{Duration, Instant};

/// Candidates that take so many times the time of the best so far are out after one run.
const HOPELESS: f64 = 1.5;

/// How much quicker than the table's method a candidate has to be. Medians of some runs waver by as much.
const MARGIN: f64 = 0.95;

/// For the runs of the candidates that are left.
const TIME: Duration = Duration::from_millis(500);

/// An operator as a graph of its own, with what it is computed on.
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
        let at = |id: &BlobId| BlobId(read.iter().position(|own| own == id).unwrap_or(read.len()));
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

    /// The plan that computes it by `method`; an error if that cannot.
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
pub(super) struct Contest {
    pub signature: String,
    pub operator: Operator,
    /// The method of the fixed table.
    pub table: Method,
    /// How many operators of the network are of this kind.
    pub count: usize,
}

/// A method that is ready to run.
struct Contender {
    method: Method,
    executor: Executor,
    times: Vec<f64>,
}

impl Contender {
    fn new(setting: Setting<'_>, operator: &Operator, method: Method) -> Result<Self> {
        let Setting { gpu, weights, options, checks, patch } = setting;
        let plan = operator.plan(method, options)?;
        let executor = Executor::new(gpu, plan, weights, &mut Constants::default(), checks, patch)?;
        Ok(Self { method, executor, times: Vec::new() })
    }

    /// Runs once, and notes the time of the operator alone where the device can tell, else that of the whole run.
    fn run(&mut self, inputs: &[Vec<f32>]) -> Result<Vec<f32>> {
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let started = Instant::now();
        let (mut outputs, profile) = self.executor.run(&inputs, Timing::Layers)?;
        let whole = started.elapsed();
        let plan = self.executor.plan();
        let own = plan.steps().iter().position(|step| plan.graph().operators()[step.operator].kind != OpKind::Layout);
        let time = profile.zip(own).and_then(|(profile, own)| profile.steps.get(own).copied());
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

impl Contest {
    /// Tries every candidate. What it found, and the method that is chosen.
    ///
    /// # Errors
    /// Those of the reference; a candidate that fails is out.
    pub fn hold(&self, setting: Setting<'_>) -> Result<(Tuned, Method)> {
        let options = setting.options;
        let inputs = self.operator.inputs();
        let contender = |method| Contender::new(setting, &self.operator, method);
        let reference = Method::reference(&self.operator.op().kind).unwrap_or(self.table);
        let want: Vec<f64> = contender(reference)?.run(&inputs)?.into_iter().map(f64::from).collect();

        let mut candidates = Method::candidates(&self.operator.op().kind, options.target);
        let kind = &self.operator.op().kind;
        candidates.retain(|&method| options.numerics.allow(method, kind));
        // The table's first: it is kept in any case, and what is hopeless is so beside it.
        candidates.sort_by_key(|&method| method != self.table);
        let mut left: Vec<Contender> = Vec::new();
        let (mut refused, mut times) = (Vec::new(), Vec::new());
        let mut best = f64::INFINITY;
        for &method in &candidates {
            let tried = contender(method).and_then(|mut own| {
                // A value that nobody wrote shows.
                own.executor.fill_activations(f32::NAN)?;
                let got = own.run(&inputs)?;
                Ok((own, Deviation::measure(&self.operator.op().name, &got, &want)))
            });
            match tried {
                Ok((own, deviation)) if deviation.of_tolerance <= 1.0 => {
                    best = best.min(own.median());
                    left.push(own);
                    let worth = |own: &mut Contender| own.method == self.table || own.median() <= HOPELESS * best;
                    times.extend(left.extract_if(.., |own| !worth(own)).map(|own| own.timed()));
                }
                Ok((_, deviation)) => {
                    let beyond = deviation.of_tolerance;
                    log::warn!("{}: {} is off by {beyond:.2} times the tolerance", self.signature, method.name());
                    refused.push(method);
                }
                Err(error) => {
                    log::debug!("{}: {} is out: {error}", self.signature, method.name());
                    refused.push(method);
                }
            }
        }
        let round = left.iter().map(Contender::median).sum::<f64>() / 1e3;
        for _ in 0..rounds(TIME, round) {
            for own in &mut left {
                own.run(&inputs)?;
            }
        }

        times.extend(left.iter().map(Contender::timed));
        times.sort_by(|a, b| a.ms.total_cmp(&b.ms));
        let time = |method: Method| left.iter().find(|own| own.method == method).map_or(f64::NAN, Contender::median);
        let table_ms = time(self.table);
        let quickest = left.iter().min_by(|a, b| a.median().total_cmp(&b.median()));
        let (quickest, quickest_ms) = quickest.map_or((reference, f64::NAN), |own| (own.method, own.median()));
        let keep = quickest_ms >= MARGIN * table_ms;
        let (chosen, chosen_ms) = if keep { (self.table, table_ms) } else { (quickest, quickest_ms) };
        let tuned = Tuned {
            operator: self.operator.op().name.clone(),
            count: self.count,
            candidates: candidates.len(),
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
