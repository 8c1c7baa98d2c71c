//! Makes the parameters of a body from the tensors of a file: finds, reorders, folds, inflates and checks them.

use super::batch_norm::BatchNorm;
use super::file::WeightFile;
use super::inflate::InflateMode;
use super::mismatch;
use super::names::Names;
use super::raw::{Contents, Element, RawTensor};
use super::{Tensor, WeightOptions, Weights};
use crate::error::{Error, ErrorRepr, Result};
use crate::graph::{Graph, Parameter};
use std::collections::{BTreeMap, BTreeSet};

/// The maximum time kernel to inflate to. The wanted kernel may come from a file, and the size of the weights is
/// proportional to it.
const MAX_INFLATED: usize = 255;

/// How one parameter of the body was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The blob name of the parameter.
    pub blob: String,
    /// The extents of the parameter.
    pub shape: Vec<usize>,
    /// The extents of the first source in the file.
    pub given: Vec<usize>,
    /// The tensors in the file from which the parameter was made. The weight, scale or bias comes first.
    pub sources: Vec<String>,
    /// The element type of the first source in the file: `F32`, …
    pub element: String,
    /// Whether the values were in another order than row-major, such as Fortran's.
    pub transposed: bool,
    /// Whether a batch norm was folded.
    pub folded: bool,
    /// The mode and time kernel of the inflation, if the weight was inflated.
    pub inflated: Option<(InflateMode, usize)>,
}

impl Origin {
    /// Whether the name in the file differs from the blob name.
    pub fn renamed(&self) -> bool {
        self.sources.first().is_some_and(|source| *source != self.blob)
    }
}

/// A name in the file that the body does not use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// The name.
    pub name: String,
    /// The shape of the tensor, or the kind of another value, such as `None`.
    pub what: String,
}

/// The parameters of a body, and how they were made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Loaded {
    /// The parameters.
    pub weights: Weights,
    /// The origin of every parameter, in the order of the operators that use them.
    pub origins: Vec<Origin>,
    /// The rest of the file, sorted by name.
    pub dropped: Vec<Dropped>,
}

/// The tensors of a file and their naming.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tensors<'a> {
    pub file: &'a WeightFile,
    pub contents: &'a Contents,
    pub names: &'a Names,
}

impl Tensors<'_> {
    /// The parameters of `graph`, which must be a body's.
    pub fn assemble(&self, graph: &Graph, options: &WeightOptions) -> Result<Loaded> {
        let wanted = graph.parameters();
        mismatch::check(self, &wanted)?;
        self.check_sharing(&wanted)?;
        let mut tensors = BTreeMap::new();
        let mut origins = Vec::with_capacity(wanted.len());
        for parameter in wanted {
            let (mut values, origin) = self.parameter(&parameter, options)?;
            let fast_columns = self.names.leading_fast_columns;
            if parameter.name == "pred_w" && fast_columns < parameter.shape[1] {
                // The slow pathway's columns come first here.
                values.chunks_exact_mut(parameter.shape[1]).for_each(|row| row.rotate_left(fast_columns));
            }
            tensors.insert(parameter.name, Tensor::new(parameter.shape, values)?);
            origins.push(origin);
        }
        let weights = Weights::from_tensors(graph, tensors)?;
        let used: BTreeSet<&str> = origins.iter().flat_map(|o| &o.sources).map(String::as_str).collect();
        let tensors = self.contents.tensors.iter().map(|(name, tensor)| (name, format!("{:?}", tensor.shape)));
        let others = self.contents.others.iter().map(|(name, what)| (name, (*what).to_owned()));
        let unused = tensors.chain(others).filter(|(name, _)| !used.contains(name.as_str()));
        let mut dropped: Vec<Dropped> = unused.map(|(name, what)| Dropped { name: name.clone(), what }).collect();
        dropped.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Loaded { weights, origins, dropped })
    }

    /// Refuses to load one array as several parameters, or one value as a larger array. A file may list the same values
    /// under any number of names and with any shape, so a small file could expand to a very large network.
    fn check_sharing(&self, wanted: &[Parameter]) -> Result<()> {
        let names: BTreeSet<String> = wanted.iter().flat_map(|parameter| self.sources(&parameter.name)).collect();
        let tensors = names.iter().filter_map(|name| self.contents.tensors.get(name));
        let bytes = tensors.fold(0usize, |sum, tensor| sum.saturating_add(tensor.bytes()));
        if bytes > self.file.len() {
            return Err(ErrorRepr::Unsupported {
                what: "one array as several parameters".to_owned(),
                reason: format!("the parameters would have {bytes} bytes, but the file has {}", self.file.len()),
            }
            .into());
        }
        Ok(())
    }

    /// The names in this file from which `blob` is made, see [`Names::sources`].
    pub fn sources(&self, blob: &str) -> Vec<String> {
        self.names.sources(blob, self.contents)
    }

    /// The values of one parameter, and their origin. All its sources must be in the file.
    fn parameter(&self, wanted: &Parameter, options: &WeightOptions) -> Result<(Vec<f32>, Origin)> {
        let sources = self.sources(&wanted.name);
        let first = self.tensor(&wanted.name, &sources[0])?;
        let mut origin = Origin {
            blob: wanted.name.clone(),
            shape: wanted.shape.clone(),
            given: first.shape.clone(),
            element: first.element.name().to_owned(),
            transposed: first.is_transposed(),
            folded: sources.len() > 1,
            inflated: None,
            sources,
        };
        if origin.folded {
            return Ok((self.fold(wanted, &origin.sources)?, origin));
        }
        let values = || self.values(&origin.sources[0], first, |v| v as f32);
        if first.shape == wanted.shape {
            return Ok((values()?, origin));
        }
        let wrong = |given: String| {
            ErrorRepr::Shape {
                what: self.describe(&wanted.name, &origin.sources[0]),
                wanted: format!("{:?}", wanted.shape),
                given,
            }
            .into()
        };
        match (wanted.shape.as_slice(), first.shape.as_slice()) {
            // The weight of a linear layer.
            (&[out, dim_in, 1, 1, 1], &[rows, columns]) if [rows, columns] == [out, dim_in] => Ok((values()?, origin)),
            (&[out, per_group, kt, kh, kw], given) if given == [out, per_group, kh, kw] => {
                if kt == 1 {
                    return Ok((values()?, origin));
                }
                let Some(mode) = options.inflate else {
                    return Err(ErrorRepr::NeedsInflation {
                        blob: wanted.name.clone(),
                        wanted: format!("{:?}", wanted.shape),
                        given: format!("{given:?}"),
                        modes: InflateMode::ALL.iter().map(ToString::to_string).collect(),
                    }
                    .into());
                };
                if kt > MAX_INFLATED {
                    let limit = format!("at most {MAX_INFLATED} for inflated weights");
                    return Err(Error::config("time_kernel_dim", limit, kt));
                }
                let inflated = mode.inflate(&values()?, kh * kw, kt, &wanted.name, options.seed);
                origin.inflated = Some((mode, kt));
                Ok((inflated, origin))
            }
            (&[out, per_group, _, kh, kw], &[a, b, kt, c, d]) if [a, b, c, d] == [out, per_group, kh, kw] => {
                Err(wrong(format!("{:?}: a time kernel of {kt}, and only 2-D weights can be inflated", first.shape)))
            }
            _ => Err(wrong(format!("{:?}", first.shape))),
        }
    }

    /// Folds a batch norm into `wanted`, the scale or bias of an affine channel. `sources` are in the order of
    /// [`Names::sources`].
    fn fold(&self, wanted: &Parameter, sources: &[String]) -> Result<Vec<f32>> {
        let part = |index: usize| -> Result<Vec<f64>> {
            let name = &sources[index];
            let tensor = self.tensor(&wanted.name, name)?;
            if tensor.shape != wanted.shape {
                return Err(ErrorRepr::Shape {
                    what: self.describe(&wanted.name, name),
                    wanted: format!("{:?}", wanted.shape),
                    given: format!("{:?}", tensor.shape),
                }
                .into());
            }
            self.values(name, tensor, |v| v)
        };
        let is_bias = wanted.name.ends_with("_b");
        let (scale, bias) = if is_bias { (1, 0) } else { (0, 1) };
        let eps = self.names.eps_of(&wanted.name);
        let norm = BatchNorm { scale: part(scale)?, bias: part(bias)?, mean: part(2)?, variance: part(3)?, eps };
        Ok(if is_bias { norm.affine_bias() } else { norm.affine_scale() })
    }

    fn tensor(&self, blob: &str, name: &str) -> Result<&RawTensor> {
        self.contents.tensors.get(name).ok_or_else(|| mismatch::missing(self, blob, name))
    }

    fn values<T>(&self, name: &str, tensor: &RawTensor, narrow: fn(f64) -> T) -> Result<Vec<T>> {
        tensor.values(self.file, narrow)?.ok_or_else(|| {
            ErrorRepr::ElementType {
                what: format!("weights: tensor {name:?}"),
                wanted: Element::WANTED,
                given: tensor.element.name().to_owned(),
            }
            .into()
        })
    }

    /// The blob, and its name in the file if that differs.
    fn describe(&self, blob: &str, name: &str) -> String {
        if blob == name { format!("weights: blob {blob:?}") } else { format!("weights: {name:?}, for blob {blob:?}") }
    }
}
