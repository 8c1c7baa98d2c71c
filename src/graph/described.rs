//! The graph of any described network, with the reference's blob names.
//!
//! The names are Caffe2's. `conv1` and `pool1` are in the stem. Blocks have `res3_0_branch2a`, `2b`, … and `branch1`;
//! the first half of a factored convolution ends in `_mid`. `res3_1_sum` is the last blob of a stage, and `pool3` the
//! pooling after the stage. `pool5` is the mean of the last stage over time and space, and `pred` has the scores of
//! the classes. The names of a fast pathway begin with `t_`. `fuse1` to `fuse4` are its lateral connections, and
//! `fuse1_concat` to `fuse4_concat` the inputs of the slow pathway's stages. With two pathways `pool5` concatenates the
//! means of both, the slow one's first.

use super::{BlobId, GraphBuilder, SlowFrames};
use crate::network::{Block, Description, FastPathway, FirstHalf, Shortcut, Stage, Stem, Unit};

/// Adds the whole `network`, which must be valid, from `data` on. Returns the last blob of the last stage, in the slow
/// pathway if there are two.
pub fn add_network(model: &mut GraphBuilder, network: &Description) -> BlobId {
    let data = model.input("data", 3);
    let fast = network.fast.as_deref();
    let slow = fast
        .map_or(data, |&FastPathway { alpha, spread, .. }| model.sampled("data_slow", SlowFrames { alpha, spread }));
    let mut fast = fast.map(|pathway| (pathway, add_stem(model, data, FAST, &pathway.stem)));
    let mut blob = add_stem(model, slow, "", &network.stem);
    let mut last = blob;
    let mut last_fast = None;
    for (i, stage) in network.stages.iter().enumerate() {
        if let Some((pathway, fast_blob)) = &mut fast {
            blob = add_lateral(model, blob, *fast_blob, pathway, i);
            let stage_output = add_stage(model, *fast_blob, FAST, i + 2, &pathway.stages[i]);
            last_fast = Some(stage_output);
            *fast_blob = add_pool(model, stage_output, FAST, i + 2, &pathway.stages, i);
        }
        last = add_stage(model, blob, "", i + 2, stage);
        blob = add_pool(model, last, "", i + 2, &network.stages, i);
    }
    if let Some(classes) = network.classes {
        let pooled = match last_fast {
            None => model.average_pool(last, "pool5"),
            Some(fast) => {
                let slow = model.average_pool(last, "pool5_slow");
                let fast = model.average_pool(fast, "pool5_fast");
                model.concat(slow, fast, "pool5")
            }
        };
        model.linear(pooled, "pred", classes);
    }
    last
}

/// The prefix of the fast pathway's blob names.
pub(crate) const FAST: &str = "t_";

fn add_stem(model: &mut GraphBuilder, data: BlobId, pathway: &str, stem: &Stem) -> BlobId {
    let mut blob = data;
    for (i, unit) in stem.convs.iter().enumerate() {
        let name = format!("{pathway}conv{}", i + 1);
        blob = add_first_half(model, blob, &name, unit.mid.as_ref());
        blob = model.conv_nd(blob, &name, unit.width, unit.window(), unit.groups);
        // In the reference the stem's affine channel is not named after its convolution.
        blob = model.affine_channel_nd(blob, &format!("{pathway}res_conv{}_bn", i + 1), true);
        blob = model.relu(blob);
    }
    match &stem.pool {
        Some(pool) => model.max_pool(blob, &format!("{pathway}pool1"), pool.window()),
        None => blob,
    }
}

/// Adds the lateral connection `index`: concatenates `slow` and a convolution of `fast` over time.
fn add_lateral(model: &mut GraphBuilder, slow: BlobId, fast: BlobId, pathway: &FastPathway, index: usize) -> BlobId {
    let (lateral, name) = (&pathway.laterals[index], format!("fuse{}", index + 1));
    let window = lateral.window(pathway.alpha);
    let fused = if lateral.relu {
        let fused = model.conv_affine_nd(fast, &name, lateral.width, window, 1, true);
        model.relu(fused)
    } else {
        model.conv_nd(fast, &name, lateral.width, window, 1)
    };
    model.concat(slow, fused, &format!("{name}_concat"))
}

/// Adds the pooling after the stage `index`, if it has one. The last stage's pooling is left out, because nothing would
/// use it.
fn add_pool(
    model: &mut GraphBuilder,
    blob: BlobId,
    pathway: &str,
    id: usize,
    stages: &[Stage],
    index: usize,
) -> BlobId {
    match &stages[index].pool {
        Some(pool) if index + 1 < stages.len() => model.max_pool(blob, &format!("{pathway}pool{id}"), pool.window()),
        _ => blob,
    }
}

fn add_stage(model: &mut GraphBuilder, blob_in: BlobId, pathway: &str, id: usize, stage: &Stage) -> BlobId {
    let mut blob = blob_in;
    for (i, block) in stage.blocks.iter().enumerate() {
        blob = add_block(model, blob, &format!("{pathway}res{id}_{i}"), i + 1 < stage.blocks.len(), block);
    }
    if stage.stop_gradient {
        blob = model.stop_gradient(blob);
    }
    model.end_stage(blob);
    blob
}

/// Adds `ReLU(branch + shortcut)`. The output has the name of the branch if `inplace_sum`, else `<prefix>_sum`.
fn add_block(model: &mut GraphBuilder, blob_in: BlobId, prefix: &str, inplace_sum: bool, block: &Block) -> BlobId {
    let mut branch = blob_in;
    for (letter, unit) in ('a'..).zip(&block.branch) {
        let last = usize::from(letter as u8 - b'a') + 1 == block.branch.len();
        branch = add_unit(model, branch, &format!("{prefix}_branch2{letter}"), unit, !last);
        if !last {
            branch = model.relu(branch);
        }
    }
    let shortcut = match &block.shortcut {
        Shortcut::Identity => blob_in,
        Shortcut::ZeroPad => model.subsample(blob_in, &format!("{prefix}_branch1"), block.width(), block.stride()),
        Shortcut::Projection(unit) => add_unit(model, blob_in, &format!("{prefix}_branch1"), unit, false),
    };
    let sum_name = format!("{prefix}_sum");
    let sum = model.sum(branch, shortcut, (!inplace_sum).then_some(sum_name.as_str()));
    model.relu(sum)
}

fn add_unit(model: &mut GraphBuilder, blob_in: BlobId, name: &str, unit: &Unit, inplace: bool) -> BlobId {
    let blob = add_first_half(model, blob_in, name, unit.mid.as_ref());
    model.conv_affine_nd(blob, name, unit.width, unit.window(), unit.groups, inplace)
}

fn add_first_half(model: &mut GraphBuilder, blob_in: BlobId, name: &str, mid: Option<&FirstHalf>) -> BlobId {
    let Some(mid) = mid else { return blob_in };
    let blob = model.conv_affine_nd(blob_in, &format!("{name}_mid"), mid.width, mid.window(), 1, true);
    if mid.relu { model.relu(blob) } else { blob }
}
