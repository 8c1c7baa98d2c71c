//! Detection of the naming of a file.

use super::{Branch, Layer, Names, Naming, Place, parameter};
use crate::weights::families::{FIRST_OF_VMZ, Hints, blob_name, lateral_of_caffe2, vmz_file_names};
use crate::weights::raw::Contents;
use std::collections::BTreeSet;

/// The rank that the weight of the first convolution must have for a naming to match.
#[derive(Clone, Copy)]
enum Rank {
    Any,
    /// Not five axes.
    Image,
    /// Five axes.
    Video,
}

impl Rank {
    fn matches(self, rank: usize) -> bool {
        match self {
            Self::Any => true,
            Self::Image => rank != 5,
            Self::Video => rank == 5,
        }
    }
}

impl Names {
    /// Finds the naming of the body's tensors by the first convolution of the first block. Returns every naming that
    /// matches, with its prefix: none for unknown names, several if the file holds several networks.
    pub fn find(contents: &Contents) -> Vec<Self> {
        const FIRST: [(Naming, Rank, &str); 15] = [
            (Naming::Torchvision, Rank::Image, "layer1.0.conv1.weight"),
            (Naming::Detectron2, Rank::Any, "res2.0.conv1.weight"),
            (Naming::HuggingFace, Rank::Any, "encoder.stages.0.layers.0.layer.0.convolution.weight"),
            (Naming::TorchvisionVideo, Rank::Video, "layer1.0.conv1.0.weight"),
            (Naming::TorchvisionVideo, Rank::Video, "layer1.0.conv1.0.0.weight"),
            (Naming::PyTorchVideo, Rank::Any, "blocks.1.res_blocks.0.branch2.conv_a.weight"),
            (Naming::PyTorchVideo, Rank::Any, "blocks.1.multipathway_blocks.0.res_blocks.0.branch2.conv_a.weight"),
            (Naming::PySlowFast, Rank::Any, "s2.pathway0_res0.branch2.a.weight"),
            (Naming::ThreeDResNets, Rank::Video, "layer1.0.conv1.weight"),
            (Naming::ThreeDResNets, Rank::Video, "layer1.0.conv1_s.weight"),
            (Naming::Mmaction2, Rank::Any, "layer1.0.conv1.conv.weight"),
            (Naming::Mmaction2, Rank::Any, "slow_path.layer1.0.conv1.conv.weight"),
            (Naming::Mmaction2, Rank::Any, "layer1.0.conv1.conv.conv_s.weight"),
            (Naming::VmzCaffe2, Rank::Any, FIRST_OF_VMZ[0]),
            (Naming::VmzCaffe2, Rank::Any, FIRST_OF_VMZ[1]),
        ];
        let mut found = BTreeSet::new();
        for (name, tensor) in &contents.tensors {
            if parameter(name).is_some() {
                found.insert((Naming::Caffe2, String::new()));
            }
            for (naming, rank, suffix) in FIRST {
                let prefix = name.strip_suffix(suffix).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'));
                // A tensor of that name in a pathway belongs to a larger network.
                let in_pathway = |prefix: &str| prefix.ends_with("slow_path.") || prefix.ends_with("fast_path.");
                let prefix = prefix.filter(|prefix| !in_pathway(prefix) && rank.matches(tensor.shape.len()));
                found.extend(prefix.map(|prefix| (naming, prefix.to_owned())));
            }
        }
        // The stem of VMZ's networks has the same name as in other Caffe2 networks.
        if found.contains(&(Naming::VmzCaffe2, String::new())) {
            found.remove(&(Naming::Caffe2, String::new()));
        }
        if found.is_empty() {
            found = Self::find_without_first(contents);
        }
        let names = found.into_iter().map(|(naming, prefix)| {
            let naming = match naming {
                Naming::Torchvision if contents.tensors.contains_key(&format!("{prefix}stem.conv1.weight")) => {
                    Naming::MaskRcnnBenchmark
                }
                other => other,
            };
            Self::new(naming, prefix).with_file_names(contents)
        });
        names.collect()
    }

    /// Finds the naming of a file without the first convolution by any other convolution, so that the error can name
    /// what is missing. Empty if more than one naming or prefix matches.
    fn find_without_first(contents: &Contents) -> BTreeSet<(Naming, String)> {
        const STAGES: [(Naming, &str); 3] =
            [(Naming::Torchvision, "layer"), (Naming::Detectron2, "res"), (Naming::HuggingFace, "encoder.stages.")];
        let mut found = BTreeSet::new();
        for name in contents.tensors.keys() {
            for (naming, start) in STAGES {
                for (at, _) in name.match_indices(start).take(8) {
                    let names = Self::new(naming, name[..at].to_owned());
                    let Some(Place::Block { stage: stage @ 2..=5, block }) = names.place(name) else { continue };
                    let mut branches = Branch::ALL.into_iter();
                    if branches.any(|branch| names.weight(Layer::Block { stage, block, branch }) == *name) {
                        found.insert((naming, names.prefix));
                    }
                }
            }
        }
        if found.len() > 1 { BTreeSet::new() } else { found }
    }

    /// Adds the names of `contents` that need a table: the names of video networks and of Caffe2's lateral connections.
    fn with_file_names(mut self, contents: &Contents) -> Self {
        if self.naming == Naming::VmzCaffe2 {
            let names = contents.tensors.keys().map(String::as_str);
            self.file_names = vmz_file_names(names, |name| contents.tensors.contains_key(name));
        } else if self.naming == Naming::Caffe2 {
            let laterals = contents.tensors.keys().filter_map(|name| Some((lateral_of_caffe2(name)?, name.clone())));
            self.file_names = laterals.collect();
        } else if self.naming.is_of_video() {
            let hints =
                Hints::new(self.naming, |name| contents.tensors.contains_key(&format!("{}{name}", self.prefix)));
            self.pool_has_index = hints.pool_has_index;
            for name in contents.tensors.keys() {
                if let Some(blob) = self.without_prefix(name).and_then(|name| blob_name(self.naming, name, hints)) {
                    self.file_names.entry(blob).or_insert_with(|| name.clone());
                }
            }
            // In mmaction2's networks with two pathways the classifier takes the fast pathway's channels first.
            if self.naming == Naming::Mmaction2 {
                let is_weight = |blob: &str| blob.starts_with("t_res5_") && blob.ends_with("_w");
                let last_stage = self.file_names.iter().filter(|(blob, _)| is_weight(blob));
                let widths = last_stage.filter_map(|(_, name)| contents.shape(name)?.first().copied());
                self.leading_fast_columns = widths.max().unwrap_or(0);
            }
        }
        self
    }

    /// `name` without the prefix; `None` if it does not begin with the prefix.
    fn without_prefix<'a>(&self, name: &'a str) -> Option<&'a str> {
        // mmaction2's classifier is not under `backbone.`, but beside it.
        let outside = self.prefix.strip_suffix("backbone.").filter(|_| self.naming == Naming::Mmaction2);
        let head = outside.and_then(|prefix| name.strip_prefix(prefix)).filter(|name| name.starts_with("cls_head."));
        head.or_else(|| name.strip_prefix(self.prefix.as_str()))
    }
}
