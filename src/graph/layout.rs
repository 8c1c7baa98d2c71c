//! Layout: puts the channels of blobs last for the device, and adds the conversions of layout and number format at the
//! inputs and outputs.
//!
//! Callers see NCTHW. Kernels load and store four channels at a time, so between the first and the last dispatch a blob
//! is N×T×H×W×C with its channels padded to a multiple of four with zeros. This pass adds a conversion after every
//! input and after every blob that is read back. An input that only the stem with its pooling reads needs none,
//! because that kernel reads NCTHW.

use super::{Blob, BlobId, Conv, Epilogue, Graph, OpKind, Operator};
use crate::dtype::DType;

/// The layout of a blob in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// NCTHW, dense: the layout of callers.
    #[default]
    Planar,
    /// NTHWC, channels padded with zeros to a multiple of four: the layout of kernels.
    ChannelsLast,
}

/// Whether `op` reads its input in the layout of callers. Only a convolution of a clip with fused pooling does
/// ([`super::fuse::fuse_pools`]).
fn reads_planar(op: &Operator) -> bool {
    matches!(&op.kind, OpKind::Conv(Conv { epilogue: Epilogue { pool: Some(_), .. }, .. }))
}

/// Gives every blob of `graph` the layout [`Layout::ChannelsLast`] and the number format `dtype`. The inputs stay in
/// the layout and format of callers, and each of the blobs `outputs` gets a new last version in that layout and format.
pub fn channels_last(graph: &Graph, outputs: &[BlobId], dtype: DType) -> Graph {
    let in_layout = |blob: &Blob, layout: Layout| {
        let dtype = match layout {
            Layout::Planar => DType::HOST,
            Layout::ChannelsLast => dtype,
        };
        Blob { layout, dtype, ..blob.clone() }
    };
    let mut blobs: Vec<Blob> = graph.blobs.iter().map(|blob| in_layout(blob, Layout::ChannelsLast)).collect();
    let add_version = |blobs: &mut Vec<Blob>, blob: BlobId, layout: Layout| {
        blobs.push(in_layout(&blobs[blob.0], layout));
        BlobId(blobs.len() - 1)
    };
    let mut operators = Vec::new();
    let convert = |operators: &mut Vec<Operator>, blobs: &[Blob], from: BlobId, to: BlobId, suffix: &str| {
        let name = format!("{}_{suffix}", blobs[from.0].name);
        operators.push(Operator { name, kind: OpKind::Layout, inputs: vec![from], output: to, fused: Vec::new() });
    };

    // The converted copies of inputs, for the operators that do not read an input in the layout of callers.
    let mut copies = Vec::new();
    for &input in &graph.inputs {
        blobs[input.0] = in_layout(&blobs[input.0], Layout::Planar);
        let reads = |op: &Operator| op.inputs.contains(&input) && !reads_planar(op);
        if !(outputs.contains(&input) || graph.output == input || graph.operators.iter().any(reads)) {
            continue;
        }
        let copy = add_version(&mut blobs, input, Layout::ChannelsLast);
        convert(&mut operators, &blobs, input, copy, "channels_last");
        copies.push((input, copy));
    }
    let read = |id: BlobId| copies.iter().find(|(input, _)| *input == id).map_or(id, |(_, copy)| *copy);

    let mut output = graph.output;
    let mut convert_output = |operators: &mut Vec<Operator>, blobs: &mut Vec<Blob>, id: BlobId| {
        if outputs.contains(&id) || id == graph.output {
            let planar = add_version(blobs, id, Layout::Planar);
            convert(operators, blobs, read(id), planar, "planar");
            if id == graph.output {
                output = planar;
            }
        }
    };
    for &input in &graph.inputs {
        convert_output(&mut operators, &mut blobs, input);
    }
    for op in &graph.operators {
        let inputs = op.inputs.iter().map(|&id| if reads_planar(op) { id } else { read(id) }).collect();
        operators.push(Operator { inputs, ..op.clone() });
        convert_output(&mut operators, &mut blobs, op.output);
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
