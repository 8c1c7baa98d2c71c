//! Expansion of a body of *Detect-and-Track* into units.

use super::{Block, Description, Pool, Shortcut, Stage, Stem, Unit};
use crate::config::{BackboneConfig, Transformation};

/// The description of the body of `config`, which must be valid. It has the units that
/// [`crate::graph::resnet::add_resnet_convx_body`] adds.
pub(super) fn reference(config: &BackboneConfig) -> Description {
    let convs = vec![Unit::new(config.feat_dims[0], [1, 7, 7]).strided([1, 2, 2])];
    let pool = Some(Pool::MAX_1X3X3);
    let stages = (0..config.block_counts.len()).map(|index| stage(config, index)).collect();
    Description { stem: Stem { convs, pool }, stages, fast: None, classes: None }
}

fn stage(config: &BackboneConfig, index: usize) -> Stage {
    let [dim_in, dim_out] = [config.feat_dims[index], config.feat_dims[index + 1]];
    let dilation = if index == 3 { config.dilation } else { 1 };
    let strided = index > 0 && dim_in != dim_out && dilation == 1;
    let stride = match (strided, config.time_stride_on) {
        (false, _) => [1, 1, 1],
        (true, false) => [1, 2, 2],
        (true, true) => [2, 2, 2],
    };
    let first = block(config, index, stride, dilation, dim_in != dim_out);
    let others = block(config, index, [1; 3], dilation, false);
    let blocks = std::iter::once(first).chain(std::iter::repeat_n(others, config.block_counts[index] - 1));
    Stage { blocks: blocks.collect(), pool: None, stop_gradient: config.freeze_at == index + 2 }
}

fn block(config: &BackboneConfig, index: usize, stride: [usize; 3], dilation: usize, projected: bool) -> Block {
    let dim_out = config.feat_dims[index + 1];
    let inner = config.dim_inner(index);
    let kernel = [if index == 0 { 1 } else { config.time_kernel_dim }, 3, 3];
    let dilation = [1, dilation, dilation];
    let (on_1x1, on_3x3) = if config.stride_1x1 { (stride, [1; 3]) } else { ([1; 3], stride) };
    let branch = match config.transformation {
        Transformation::Bottleneck => vec![
            Unit::pointwise(inner).strided(on_1x1),
            Unit { dilation, groups: config.num_groups, ..Unit::new(inner, kernel).strided(on_3x3) },
            Unit::pointwise(dim_out),
        ],
        Transformation::Basic => vec![
            Unit::new(inner, kernel).strided(stride),
            Unit { dilation, groups: config.num_groups, ..Unit::new(dim_out, kernel) },
        ],
    };
    let shortcut =
        if projected { Shortcut::Projection(Unit::pointwise(dim_out).strided(stride)) } else { Shortcut::Identity };
    Block { branch, shortcut }
}
