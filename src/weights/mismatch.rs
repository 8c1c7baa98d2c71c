//! Weights of another network: what is missing, what is there instead.

use super::assemble::Tensors;
use super::names::{Branch, Layer, Naming, Place, parameter};
use crate::error::{Error, ErrorRepr, Result};
use crate::graph::Parameter;
use std::collections::{BTreeMap, BTreeSet};

/// How many names a message lists before it only counts.
const LISTED: usize = 5;

/// The longest name, and the most names, that are compared for likeness.
const COMPARED: (usize, usize) = (96, 4096);

/// Checks that every parameter has all its tensors, and that stem and blocks have no other parts; warns of blocks that the
/// network does not have.
///
/// # Errors
/// [`ErrorKind::MissingBlob`](crate::ErrorKind::MissingBlob) for the first missing one, with a hint that lists the
/// others, the nearest names and the unused ones; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for other
/// parts.
pub(super) fn check(tensors: &Tensors<'_>, wanted: &[Parameter]) -> Result<()> {
    let lacking = |p: &Parameter| -> Option<String> {
        tensors.sources(&p.name).into_iter().find(|name| !tensors.contents.tensors.contains_key(name))
    };
    let missing: Vec<(&Parameter, String)> = wanted.iter().filter_map(|p| Some((p, lacking(p)?))).collect();
    let Some((first, name)) = missing.first() else {
        let counts = block_counts(wanted);
        warn_of_other_blocks(tensors, &counts);
        return refuse_other_parts(&unused(tensors, wanted), tensors, &counts);
    };
    let unused = unused(tensors, wanted);
    let mut hints = Vec::new();
    if *name != first.name {
        hints.push(format!("in this file it would be made from {name:?}"));
    }
    if first.name.contains("_branch2c") && !has_bottlenecks(tensors) {
        hints.push(
            r#"no branch2c is there at all: these may be the weights of basic blocks, "transformation": "basic""#
                .to_owned(),
        );
    }
    let nearest = nearest(name, &unused);
    if !nearest.is_empty() {
        hints.push(format!("nearest in the file: {}", list(&nearest)));
    }
    if missing.len() > 1 {
        let names: Vec<&str> = missing.iter().map(|(p, _)| p.name.as_str()).collect();
        hints.push(format!("{} are missing in all: {}", missing.len(), list(&names)));
    }
    match unused.len() {
        0 => hints.push("every tensor of the file is used".to_owned()),
        n => hints.push(format!("{n} of the file are not used: {}", list(&unused))),
    }
    Err(ErrorRepr::MissingBlob {
        blob: first.name.clone(),
        wanted: format!("{:?}", first.shape),
        hint: format!(" ({})", hints.join("; ")),
    }
    .into())
}

/// The error for a tensor that is not there.
pub(super) fn missing(tensors: &Tensors<'_>, blob: &str, name: &str) -> Error {
    let hint = match tensors.contents.others.get(name) {
        Some(what) => format!(" (it is {what})"),
        None => String::new(),
    };
    ErrorRepr::MissingBlob { blob: blob.to_owned(), wanted: format!("tensor {name:?}"), hint }.into()
}

/// Names of the file that no parameter is made from.
pub(super) fn unused<'a>(tensors: &'a Tensors<'_>, wanted: &[Parameter]) -> Vec<&'a str> {
    let used: BTreeSet<String> = wanted.iter().flat_map(|p| tensors.sources(&p.name)).collect();
    tensors.contents.names().filter(|name| !used.contains(*name)).collect()
}

fn has_bottlenecks(tensors: &Tensors<'_>) -> bool {
    let third = Layer::Block { stage: 2, block: 0, branch: Branch::C };
    tensors.contents.tensors.contains_key(&tensors.names.weight(third))
}

/// How many blocks the network has in each stage.
fn block_counts(wanted: &[Parameter]) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for p in wanted {
        if let Some((Layer::Block { stage, block, .. }, _)) = parameter(&p.name) {
            let count = counts.entry(stage).or_insert(0);
            *count = (block + 1).max(*count);
        }
    }
    counts
}

/// Ignoring what the body does not use is right for heads, momentum and later stages, and would make wrong features of a
/// network whose stem or blocks have parts that these have not: biases, gates, a third convolution.
fn refuse_other_parts(unused: &[&str], tensors: &Tensors<'_>, counts: &BTreeMap<usize, usize>) -> Result<()> {
    let of_body = |name: &str| match tensors.names.place(name) {
        Some(Place::Stem) => true,
        Some(Place::Block { stage, block }) => counts.get(&stage).is_some_and(|&count| block < count),
        None => false,
    };
    let counter = |name: &str| name.ends_with(".num_batches_tracked");
    let nothing = |name: &str| tensors.contents.others.get(name) == Some(&"None");
    let is_other = |name: &&str| of_body(name) && !counter(name) && !nothing(name);
    let other: Vec<&str> = unused.iter().copied().filter(is_other).collect();
    if other.is_empty() {
        return Ok(());
    }
    let mut reason =
        "the stem and the blocks that were asked for have no such parts, and without them the features would \
                      be wrong (a third convolution would be of bottleneck blocks)"
            .to_owned();
    if tensors.names.naming == Naming::Caffe2 && other == ["conv1_b"] {
        // It is in files of Detectron's that begin with MSRA's ResNet-50, and not in Detectron's body.
        reason += "; MSRA's ResNet-50 came with this bias, which Detectron has never read: for what Detectron makes of the \
                   file, take conv1_b out of it";
    }
    Err(ErrorRepr::Unsupported { what: format!("a network with {}", list(&other)), reason }.into())
}

/// A deeper network's first blocks are not the network that was asked for, but may be what is meant.
fn warn_of_other_blocks(tensors: &Tensors<'_>, counts: &BTreeMap<usize, usize>) {
    for (&stage, &block) in counts {
        let name = tensors.names.weight(Layer::Block { stage, block, branch: Branch::A });
        if tensors.contents.tensors.contains_key(&name) {
            log::warn!(
                "the network has {block} blocks in res{stage}, and there are weights for more ({name}): they are of \
                 another network, unless this is meant"
            );
        }
    }
}

/// The names most like `name`, the nearest first; none that have hardly anything in common with it.
fn nearest<'a>(name: &str, names: &[&'a str]) -> Vec<&'a str> {
    let (longest, most) = COMPARED;
    let short = names.iter().filter(|other| other.len() <= longest).take(most);
    let mut ranked: Vec<(usize, &str)> = short.map(|other| (strsim::levenshtein(name, other), *other)).collect();
    ranked.retain(|(distance, _)| *distance <= name.len() / 3);
    ranked.sort_unstable();
    ranked.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Up to [`LISTED`] names, shortened where they are very long.
fn list(names: &[&str]) -> String {
    let short = |name: &&str| name.chars().take(80).collect::<String>();
    let mut text = names.iter().take(LISTED).map(short).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text += ", …";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_few_changes() {
        let names = ["res3_0_branch2b", "res3_0_branch2b_bn_s", "layer2.0.conv2.weight", "res4_0_branch2b_w"];
        assert_eq!(
            nearest("res3_0_branch2b_w", &names),
            ["res4_0_branch2b_w", "res3_0_branch2b", "res3_0_branch2b_bn_s"]
        );
        assert!(nearest("conv1_w", &names).is_empty());
    }
}
