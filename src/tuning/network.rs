//! Benchmark of the whole network, with and without the methods that won the benchmarks of single operators. A method
//! that is quicker alone need not be quicker in the network: operators share caches, workspaces and the budget for
//! workspaces.

use super::{Setting, median, repetitions, values};
use crate::error::Result;
use crate::gpu::{Constants, Executor, Timing};
use crate::graph::Graph;
use crate::kernels::Method;
use crate::plan::{Choices, Plan, PlanOptions};
use crate::shape::Shape;
use std::time::{Duration, Instant};

/// The time for pairs of runs, one of each network.
const TIME: Duration = Duration::from_secs(2);

/// A method that was quicker than the table's for the operators of a signature.
#[derive(Clone, Debug)]
pub(super) struct Winner {
    pub signature: String,
    pub method: Method,
    /// Milliseconds of a run that the method is expected to save.
    pub saving: f64,
}

/// Adds winners to `choices`, and returns which it has added. If the network is `quicker` with all winners, it adds
/// all. Otherwise it tries one winner after the other, the most promising first. `quicker` compares with the choices
/// for which it last returned true, at first with the given `choices`.
///
/// # Errors
/// The errors of `quicker`.
pub(super) fn keep(
    choices: &mut Choices,
    winners: &[Winner],
    quicker: &mut dyn FnMut(&Choices) -> Result<bool>,
) -> Result<Vec<bool>> {
    let with = |choices: &Choices, winners: &[Winner]| {
        let mut choices = choices.clone();
        winners.iter().for_each(|winner| choices.insert(winner.signature.clone(), winner.method));
        choices
    };
    let all = with(choices, winners);
    if quicker(&all)? {
        *choices = all;
        return Ok(vec![true; winners.len()]);
    }
    let mut kept = vec![false; winners.len()];
    let mut order: Vec<usize> = (0..winners.len()).collect();
    order.sort_by(|&a, &b| winners[b].saving.total_cmp(&winners[a].saving));
    // A single winner has been tried already.
    for index in order.into_iter().filter(|_| winners.len() > 1) {
        let one_more = with(choices, &winners[index..=index]);
        if quicker(&one_more)? {
            *choices = one_more;
            kept[index] = true;
        }
    }
    Ok(kept)
}

/// A network on one clip, with the best choices so far.
pub(super) struct Network<'a> {
    setting: Setting<'a>,
    graph: &'a Graph,
    shape: Shape,
    clip: Vec<f32>,
    constants: Constants,
    best: Executor,
}

impl<'a> Network<'a> {
    /// # Errors
    /// The errors of [`Plan::new`] and [`Executor::new`].
    pub fn new(setting: Setting<'a>, graph: &'a Graph, shape: Shape, choices: &Choices) -> Result<Self> {
        let mut constants = Constants::default();
        let best = executor(setting, graph, shape, choices, &mut constants)?;
        Ok(Self { setting, graph, shape, clip: values("clip", shape), constants, best })
    }

    /// Whether it is quicker with `choices`, which then become the best so far. Choices that cannot run are not
    /// quicker.
    ///
    /// # Errors
    /// The error of a run that fails.
    pub fn is_quicker_by(&mut self, choices: &Choices) -> Result<bool> {
        let candidate = executor(self.setting, self.graph, self.shape, choices, &mut self.constants);
        let mut candidate = match candidate {
            Ok(candidate) => candidate,
            Err(error) => {
                log::debug!("the network cannot run with the methods that won alone: {error}");
                return Ok(false);
            }
        };
        let mut pair =
            || -> Result<[f64; 2]> { Ok([run(&mut self.best, &self.clip)?, run(&mut candidate, &self.clip)?]) };
        let warm_up: f64 = pair()?.iter().sum();
        let ratios = (0..repetitions(TIME, warm_up)).map(|_| pair().map(|[best, other]| other / best));
        let quicker = median(ratios.collect::<Result<_>>()?) < 1.0;
        if quicker {
            self.best = candidate;
        }
        Ok(quicker)
    }
}

fn executor(
    setting: Setting<'_>,
    graph: &Graph,
    shape: Shape,
    choices: &Choices,
    constants: &mut Constants,
) -> Result<Executor> {
    let Setting { gpu, weights, options, checks, patch } = setting;
    let options = PlanOptions { choices: choices.clone(), ..options.clone() };
    Executor::new(gpu, Plan::new(graph, &[shape], &options)?, weights, constants, checks, patch)
}

/// Seconds of a run, from clip to features.
fn run(executor: &mut Executor, clip: &[f32]) -> Result<f64> {
    let started = Instant::now();
    executor.run(&[clip], Timing::Off)?;
    Ok(started.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn winner(signature: &str, saving: f64) -> Winner {
        Winner { signature: signature.to_owned(), method: Method::by_name("conv_gemm_8x8").unwrap(), saving }
    }

    /// The result for winners that save 1, 3 and 2 ms, if each in `slow` costs more than all the others save.
    fn kept(slow: &[&str]) -> (Vec<bool>, Vec<String>, Vec<usize>) {
        let mut choices = Choices::default();
        choices.insert("known".to_owned(), Method::by_name("conv_gemm_16x8").unwrap());
        let mut best = 0.0;
        let mut tried = Vec::new();
        let mut quicker = |choices: &Choices| {
            tried.push(choices.len());
            let saved = |(signature, _): (&str, Method)| match signature {
                _ if slow.contains(&signature) => -9.0,
                "known" => 0.0,
                _ => 1.0,
            };
            let saved: f64 = choices.iter().map(saved).sum();
            let better = saved > best;
            best = f64::max(saved, best);
            Ok(better)
        };
        let winners = [winner("a", 1.0), winner("b", 3.0), winner("c", 2.0)];
        let kept = keep(&mut choices, &winners, &mut quicker).unwrap();
        (kept, choices.iter().map(|(signature, _)| signature.to_owned()).collect(), tried)
    }

    #[test]
    fn only_what_helps_the_network_is_kept() {
        let names = |kept: &[&str]| kept.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(kept(&[]), (vec![true; 3], names(&["a", "b", "c", "known"]), vec![4]));
        assert_eq!(kept(&["b"]), (vec![true, false, true], names(&["a", "c", "known"]), vec![4, 2, 2, 3]));
        assert_eq!(kept(&["a", "b", "c"]), (vec![false; 3], names(&["known"]), vec![4, 2, 2, 2]));
    }
}
