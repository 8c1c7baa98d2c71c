//! The body, as its weights describe it.
//!
//! Blocks, widths and kernels are those of the tensors in the file; the rest is as in resnet3d's presets: no groups, no
//! dilation, no stride over time, and a block with a stride has it in its first convolution. Affine channels are folded
//! into weight and bias, in float64 and rounded once.

use anyhow::{Context, Result, ensure};
use burn::tensor::activation::relu;
use burn::tensor::module::{conv3d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};
use peer_protocol::Values;
use std::collections::HashMap;

type Weights = HashMap<String, Values>;

/// Stem and blocks.
pub struct Network {
    stem: Conv,
    blocks: Vec<Block>,
}

impl Network {
    /// From tensors with the names of blobs.
    pub fn new(weights: &Weights, device: &Device) -> Result<Self> {
        let stem = Conv::new(weights, "conv1", "res_conv1_bn", [1, 2, 2], device)?;
        let mut blocks = Vec::new();
        for stage in 2..=5 {
            let names = (0..).map(|index| format!("res{stage}_{index}"));
            for prefix in names.take_while(|prefix| weights.contains_key(&format!("{prefix}_branch2a_w"))) {
                blocks.push(Block::new(weights, &prefix, stage, device)?);
            }
        }
        ensure!(!blocks.is_empty(), "there is no tensor res2_0_branch2a_w");
        Ok(Self { stem, blocks })
    }

    /// The last blob of the clip `x`.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let stem = max_pool(relu(self.stem.forward(x)));
        self.blocks.iter().fold(stem, |x, block| block.forward(x))
    }
}

/// A 1x3x3 max pool with stride 1x2x2. Burn pools planes, so channels and frames are joined to one axis.
fn max_pool(x: Tensor<5>) -> Tensor<5> {
    let [n, c, t, h, w] = x.dims();
    let options = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
    let planes = max_pool2d(x.reshape([n, c * t, h, w]), options);
    let [_, _, h, w] = planes.dims();
    planes.reshape([n, c, t, h, w])
}

/// ReLU(branch + shortcut).
struct Block {
    branch: Vec<Conv>,
    shortcut: Option<Conv>,
}

impl Block {
    fn new(weights: &Weights, prefix: &str, stage: usize, device: &Device) -> Result<Self> {
        let conv = |name: &str, by: usize| -> Result<Option<Conv>> {
            let name = format!("{prefix}_{name}");
            if !weights.contains_key(&format!("{name}_w")) {
                return Ok(None);
            }
            Conv::new(weights, &name, &format!("{name}_bn"), [1, by, by], device).map(Some)
        };
        let projected = weights.contains_key(&format!("{prefix}_branch1_w"));
        let by = if projected && stage > 2 { 2 } else { 1 };
        let branch = [conv("branch2a", by)?, conv("branch2b", 1)?, conv("branch2c", 1)?];
        Ok(Self { branch: branch.into_iter().flatten().collect(), shortcut: conv("branch1", by)? })
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(x.clone()),
            None => x.clone(),
        };
        let mut y = x;
        for (index, conv) in self.branch.iter().enumerate() {
            y = conv.forward(if index == 0 { y } else { relu(y) });
        }
        relu(y + shortcut)
    }
}

/// A convolution with its affine channel.
struct Conv {
    weight: Tensor<5>,
    bias: Tensor<1>,
    options: ConvOptions<3>,
}

impl Conv {
    fn new(weights: &Weights, name: &str, affine: &str, stride: [usize; 3], device: &Device) -> Result<Self> {
        let get = |name: String| weights.get(&name).with_context(|| format!("there is no tensor {name}"));
        let (weight, scale, bias) =
            (get(format!("{name}_w"))?, get(format!("{affine}_s"))?, get(format!("{affine}_b"))?);
        ensure!(weight.shape.len() == 5, "{name}_w has {} axes, wanted 5", weight.shape.len());
        let dim_out = weight.shape[0];
        ensure!(scale.data.len() == dim_out && bias.data.len() == dim_out, "{affine} does not fit {name}_w");
        let filters = weight.data.chunks_exact((weight.data.len() / dim_out.max(1)).max(1));
        let folded: Vec<f32> = filters
            .zip(&scale.data)
            .flat_map(|(filter, &scale)| filter.iter().map(move |&w| (f64::from(w) * f64::from(scale)) as f32))
            .collect();
        let padding = [weight.shape[2] / 2, weight.shape[3] / 2, weight.shape[4] / 2];
        Ok(Self {
            weight: Tensor::from_data(TensorData::new(folded, weight.shape.clone()), device),
            bias: Tensor::from_data(TensorData::new(bias.data.clone(), [dim_out]), device),
            options: ConvOptions::new(stride, padding, [1, 1, 1], 1),
        })
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        conv3d(x, self.weight.clone(), Some(self.bias.clone()), self.options.clone())
    }
}
