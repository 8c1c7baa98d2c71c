//! The graph of any described network, with the blobs of the reference's.
//!
//! Names are Caffe2's: `conv1` and `pool1`; `res3_0_branch2a`, `2b`, … and `branch1` in blocks, the first half of a factored
//! convolution with `_mid` behind; `res3_1_sum` is the last blob of a stage, `pool3` the pooling behind it; `pool5` is the
//! mean over time and space of the last stage, and `pred` the scores of the classes.

use super::{BlobId, GraphBuilder};
use crate::network::{Block, Description, FirstHalf, Shortcut, Stage, Unit};

/// Adds all of `network`, which must be valid, from `data` on. Returns the last stage's last blob.
pub fn add_network(model: &mut GraphBuilder, network: &Description) -> BlobId {
    let mut blob = model.input("data", 3);
    for (i, unit) in network.stem.convs.iter().enumerate() {
        let name = format!("conv{}", i + 1);
        blob = add_first_half(model, blob, &name, unit.mid.as_ref());
        blob = model.conv_nd(blob, &name, unit.width, unit.window(), unit.groups);
        // The reference's name of the stem's affine channel is not the convolution's.
        blob = model.affine_channel_nd(blob, &format!("res_{name}_bn"), true);
        blob = model.relu(blob);
    }
    if let Some(pool) = &network.stem.pool {
        blob = model.max_pool(blob, "pool1", pool.window());
    }
    let mut last = blob;
    for (i, stage) in network.stages.iter().enumerate() {
        last = add_stage(model, blob, i + 2, stage);
        blob = last;
        // Behind the last stage a pooling would be of no use to anybody.
        if let Some(pool) = stage.pool.as_ref().filter(|_| i + 1 < network.stages.len()) {
            blob = model.max_pool(last, &format!("pool{}", i + 2), pool.window());
        }
    }
    if let Some(classes) = network.classes {
        let pooled = model.average_pool(last, "pool5");
        model.linear(pooled, "pred", classes);
    }
    last
}

fn add_stage(model: &mut GraphBuilder, blob_in: BlobId, id: usize, stage: &Stage) -> BlobId {
    let mut blob = blob_in;
    for (i, block) in stage.blocks.iter().enumerate() {
        blob = add_block(model, blob, &format!("res{id}_{i}"), i + 1 < stage.blocks.len(), block);
    }
    if stage.stop_gradient {
        blob = model.stop_gradient(blob);
    }
    model.end_stage(blob);
    blob
}

/// `ReLU(branch + shortcut)`: onto the branch's own blob where `inplace_sum`, else into `<prefix>_sum`.
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
