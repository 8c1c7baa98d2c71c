//! Layout: the graph as it runs on a device, blobs channels innermost, with conversions at its edges, where values change their number
//! format as well.
//!
//! Callers see NCTHW. Kernels load and store four channels at a time, so between the first and the last dispatch a blob
//! is N×T×H×W×C, its channels padded to a multiple of four with zeros. This pass adds an operator behind every input
//! and behind every blob that is read back; none behind an input that only the stem with its pooling reads, which takes it
//! as it comes.

use super::{Blob, BlobId, Conv, Epilogue, Graph, OpKind, Operator};
use crate::dtype::DType;

/// How the values of a blob lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// NCTHW, dense: outside the device.
    #[default]
    Planar,
    /// NTHWC, channels padded with zeros to a multiple of four: inside.
    ChannelsLast,
}

/// Whether `op` reads its input as a caller sees it: a convolution with the pooling behind it, which is that of a clip
/// ([`super::fuse::fuse_pools`]).
fn reads_planar(op: &Operator) -> bool {
    matches!(&op.kind, OpKind::Conv(Conv { epilogue: Epilogue { pool: Some(_), .. }, .. }))
}

/// Puts every blob of `graph` channels last and gives it the number format `dtype`, but for the inputs and new last versions
/// of the blobs `outputs`: they are as callers see them.
pub fn channels_last(graph: &Graph, outputs: &[BlobId], dtype: DType) -> Graph {
    let as_in = |blob: &Blob, layout: Layout| {
        let dtype = match layout {
            Layout::Planar => DType::HOST,
            Layout::ChannelsLast => dtype,
        };
        Blob { layout, dtype, ..blob.clone() }
    };
    let mut blobs: Vec<Blob> = graph.blobs.iter().map(|blob| as_in(blob, Layout::ChannelsLast)).collect();
    let version = |blobs: &mut Vec<Blob>, of: BlobId, layout: Layout| {
        blobs.push(as_in(&blobs[of.0], layout));
        BlobId(blobs.len() - 1)
    };
    let mut operators = Vec::new();
    let convert = |operators: &mut Vec<Operator>, blobs: &[Blob], from: BlobId, to: BlobId, suffix: &str| {
        let name = format!("{}_{suffix}", blobs[from.0].name);
        operators.push(Operator { name, kind: OpKind::Layout, inputs: vec![from], output: to, fused: Vec::new() });
    };

    // What operators read in place of an input, if there are any that do not read the input itself.
    let mut inside = Vec::new();
    for &input in &graph.inputs {
        blobs[input.0] = as_in(&blobs[input.0], Layout::Planar);
        let reads = |op: &Operator| op.inputs.contains(&input) && !reads_planar(op);
        if !(outputs.contains(&input) || graph.output == input || graph.operators.iter().any(reads)) {
            continue;
        }
        let copy = version(&mut blobs, input, Layout::ChannelsLast);
        convert(&mut operators, &blobs, input, copy, "channels_last");
        inside.push((input, copy));
    }
    let read = |id: BlobId| inside.iter().find(|(input, _)| *input == id).map_or(id, |(_, copy)| *copy);

    let mut output = graph.output;
    let mut emit = |operators: &mut Vec<Operator>, blobs: &mut Vec<Blob>, id: BlobId| {
        if outputs.contains(&id) || id == graph.output {
            let planar = version(blobs, id, Layout::Planar);
            convert(operators, blobs, read(id), planar, "planar");
            if id == graph.output {
                output = planar;
            }
        }
    };
    for &input in &graph.inputs {
        emit(&mut operators, &mut blobs, input);
    }
    for op in &graph.operators {
        let inputs = op.inputs.iter().map(|&id| if reads_planar(op) { id } else { read(id) }).collect();
        operators.push(Operator { inputs, ..op.clone() });
        emit(&mut operators, &mut blobs, op.output);
    }
    Graph {
        blobs,
        operators,
        inputs: graph.inputs.clone(),
        slow_frames: graph.slow_frames,
        output,
        stages: graph.stages.clone(),
    }
}
