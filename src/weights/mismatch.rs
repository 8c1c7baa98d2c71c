//! Diagnosis of a file that holds another network: which tensors are missing, and which are there instead.

use super::assemble::Tensors;
use super::names::{Branch, Layer, Naming, Place, parameter};
use crate::error::{Error, ErrorRepr, Result};
use crate::graph::Parameter;
use std::collections::{BTreeMap, BTreeSet};

/// How many names a message lists before it only gives their number.
const LISTED: usize = 5;

/// The maximum length of a name, and the maximum number of names, that the search for similar names compares.
const COMPARED: (usize, usize) = (96, 4096);

/// Checks that the file has all tensors of every parameter, and no extra tensors in the stem and the blocks of the
/// network. Warns if the file has more blocks than the network.
///
/// # Errors
/// [`ErrorKind::MissingBlob`](crate::ErrorKind::MissingBlob) for the first missing tensor, with a hint that lists the
/// other missing ones, the most similar names and the unused ones;
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for extra tensors.
pub(super) fn check(tensors: &Tensors<'_>, wanted: &[Parameter]) -> Result<()> {
    let lacking = |p: &Parameter| -> Option<String> {
        tensors.sources(&p.name).into_iter().find(|name| !tensors.contents.tensors.contains_key(name))
    };
    let missing: Vec<(&Parameter, String)> = wanted.iter().filter_map(|p| Some((p, lacking(p)?))).collect();
    let Some((first, name)) = missing.first() else {
        let counts = block_counts(wanted);
        warn_of_more_blocks(tensors, &counts);
        return refuse_extra_parts(&unused(tensors, wanted), tensors, &counts);
    };
    let unused = unused(tensors, wanted);
    let mut hints = Vec::new();
    if *name != first.name {
        hints.push(format!("in this file it would be made from {name:?}"));
    }
    if first.name.contains("_branch2c") && !has_bottlenecks(tensors) {
        hints.push(
            r#"there is no branch2c at all: these may be the weights of basic blocks, "transformation": "basic""#
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
        n => hints.push(format!("{n} names in the file are not used: {}", list(&unused))),
    }
    Err(ErrorRepr::MissingBlob {
        blob: first.name.clone(),
        wanted: format!("{:?}", first.shape),
        hint: format!(" ({})", hints.join("; ")),
    }
    .into())
}

/// The error for a missing tensor.
pub(super) fn missing(tensors: &Tensors<'_>, blob: &str, name: &str) -> Error {
    let hint = match tensors.contents.others.get(name) {
        Some(what) => format!(" (it is {what})"),
        None => String::new(),
    };
    ErrorRepr::MissingBlob { blob: blob.to_owned(), wanted: format!("tensor {name:?}"), hint }.into()
}

/// Names in the file that no parameter uses.
pub(super) fn unused<'a>(tensors: &'a Tensors<'_>, wanted: &[Parameter]) -> Vec<&'a str> {
    let used: BTreeSet<String> = wanted.iter().flat_map(|p| tensors.sources(&p.name)).collect();
    tensors.contents.names().filter(|name| !used.contains(*name)).collect()
}

fn has_bottlenecks(tensors: &Tensors<'_>) -> bool {
    let third_conv = Layer::Block { stage: 2, block: 0, branch: Branch::C };
    tensors.contents.tensors.contains_key(&tensors.names.weight(third_conv))
}

/// The number of blocks in each stage of the network.
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

/// Refuses unused tensors in the stem or the blocks, such as biases, gates or a third convolution: without them the
/// features would be wrong. Unused tensors elsewhere, such as heads, momentum and later stages, can be ignored.
fn refuse_extra_parts(unused: &[&str], tensors: &Tensors<'_>, counts: &BTreeMap<usize, usize>) -> Result<()> {
    let in_body = |name: &str| match tensors.names.place(name) {
        Some(Place::Stem) => true,
        Some(Place::Block { stage, block }) => counts.get(&stage).is_some_and(|&count| block < count),
        None => false,
    };
    let is_counter = |name: &str| name.ends_with(".num_batches_tracked");
    let is_none = |name: &str| tensors.contents.others.get(name) == Some(&"None");
    let is_extra = |name: &&str| in_body(name) && !is_counter(name) && !is_none(name);
    let extra: Vec<&str> = unused.iter().copied().filter(is_extra).collect();
    if extra.is_empty() {
        return Ok(());
    }
    let mut reason =
        "the stem and the blocks of the network have no such parts, and without them the features would be wrong \
         (a third convolution belongs to bottleneck blocks)"
            .to_owned();
    if tensors.names.naming == Naming::Caffe2 && extra == ["conv1_b"] {
        // Detectron files that started from MSRA's ResNet-50 contain this bias, but Detectron's body does not use it.
        reason += "; MSRA's ResNet-50 comes with this bias, and Detectron never reads it: to get what Detectron \
                   computes, remove conv1_b from the file";
    }
    Err(ErrorRepr::Unsupported { what: format!("a network with {}", list(&extra)), reason }.into())
}

/// Warns if the file has more blocks than the network. The first blocks of a deeper network are another network, but
/// the caller may want exactly those.
fn warn_of_more_blocks(tensors: &Tensors<'_>, counts: &BTreeMap<usize, usize>) {
    for (&stage, &block) in counts {
        let name = tensors.names.weight(Layer::Block { stage, block, branch: Branch::A });
        if tensors.contents.tensors.contains_key(&name) {
            log::warn!(
                "the network has {block} blocks in res{stage}, and the file has weights for more ({name}): unless this \
                 is intended, the weights belong to another network"
            );
        }
    }
}

/// Up to three names with the least edit distance to `name`, the nearest first. The distance is at most a third of the
/// length of `name`.
fn nearest<'a>(name: &str, names: &[&'a str]) -> Vec<&'a str> {
    let (max_len, max_count) = COMPARED;
    let compared = names.iter().filter(|other| other.len() <= max_len).take(max_count);
    let mut ranked: Vec<(usize, &str)> = compared.map(|other| (strsim::levenshtein(name, other), *other)).collect();
    ranked.retain(|(distance, _)| *distance <= name.len() / 3);
    ranked.sort_unstable();
    ranked.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Up to [`LISTED`] names, each cut to 80 characters.
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
    fn nearest_names_have_the_least_edit_distance() {
        let names = ["res3_0_branch2b", "res3_0_branch2b_bn_s", "layer2.0.conv2.weight", "res4_0_branch2b_w"];
        assert_eq!(
            nearest("res3_0_branch2b_w", &names),
            ["res4_0_branch2b_w", "res3_0_branch2b", "res3_0_branch2b_bn_s"]
        );
        assert!(nearest("conv1_w", &names).is_empty());
    }
}
