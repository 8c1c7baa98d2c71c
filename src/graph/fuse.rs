//! Fusion: rewrites a graph into fewer operators that compute the same values.
//!
//! A convolution takes over the operators after it as long as nothing else reads the values between: its affine
//! channel (folded into the weights at upload), the residual sum and the ReLU (applied before storing). This turns the
//! 69 operators of R-18 into 22. A stop-gradient after a convolution is the identity and is fused too.
//!
//! A convolution of a clip can also take over the max pooling after it ([`fuse_pools`]) if there is a kernel for it.
//! This is the stem, whose blob is the largest of all.
//!
//! [`project`] continues from there for targets where it is profitable: the convolution of a projected shortcut becomes
//! a second operand pair of the convolution that adds it.
//!
//! A tapped blob must exist, so it ends a chain. All other operators stay and run with separate kernels.

use super::{BlobId, Conv, Graph, OpKind, Operator, Window};

/// Rewrites `graph`, keeping the blobs `keep` and the output.
pub fn fuse(graph: &Graph, keep: &[BlobId]) -> Graph {
    rewrite(graph, keep, |_, conv, next| {
        let epilogue = &conv.epilogue;
        let plain = !epilogue.residual && !epilogue.relu;
        epilogue.pool.is_none()
            && match &next.kind {
                OpKind::Affine(_) => epilogue.affine.is_none() && plain,
                OpKind::Sum => plain,
                OpKind::Relu => !epilogue.relu,
                OpKind::StopGradient => true,
                OpKind::Conv(_) | OpKind::MaxPool(_) | OpKind::AveragePool(_) => false,
                OpKind::Subsample(_) | OpKind::Concat | OpKind::Layout => false,
            }
    })
}

/// Rewrites the result of [`fuse`]: convolutions of the graph's inputs take over the max pooling after them if `takes`
/// accepts the pair.
pub fn fuse_pools(graph: &Graph, keep: &[BlobId], takes: impl Fn(&Conv, &Window) -> bool) -> Graph {
    rewrite(graph, keep, |input, conv, next| match &next.kind {
        OpKind::MaxPool(window) => graph.inputs.contains(&input) && conv.epilogue.pool.is_none() && takes(conv, window),
        _ => false,
    })
}

/// Fuses operators into the convolutions in front of them, one by one, as long as `takes` accepts the next. `takes`
/// gets the convolution's input, the convolution and the next operator.
fn rewrite(graph: &Graph, keep: &[BlobId], takes: impl Fn(BlobId, &Conv, &Operator) -> bool) -> Graph {
    let mut uses = vec![0usize; graph.blobs.len()];
    for &id in graph.operators.iter().flat_map(|op| &op.inputs) {
        uses[id.0] += 1;
    }
    for &id in keep.iter().chain([&graph.output]) {
        // Not "used once", because the blob has to be stored.
        uses[id.0] += 2;
    }

    // `slots[i]` is the operator at position i, with the operators fused into it.
    let mut slots: Vec<Option<Operator>> = graph.operators.iter().cloned().map(Some).collect();
    for start in 0..slots.len() {
        let mut at = start;
        while let Some(next) = successor(&slots, at, &uses, &takes) {
            let taken = slots[next].take().expect("successor() returns the position of an operator");
            let mut op = slots[at].take().expect("`at` is the position of the convolution");
            absorb(&mut op, taken);
            // The fused operator runs at the position of the last one, where all inputs, including the residual, are
            // computed.
            slots[next] = Some(op);
            at = next;
        }
    }
    compact(graph, slots.into_iter().flatten().collect())
}

/// Rewrites a fused `graph`, keeping the blobs `keep` and the output: a pointwise convolution that adds a pointwise
/// projection of the block's input takes the projection over. It sums the products of both, and the shortcut's blob no
/// longer exists.
///
/// The 3×3 convolutions that end a basic block are unchanged, because Winograd's method cannot sum the products of both
/// convolutions.
pub fn project(graph: &Graph, keep: &[BlobId]) -> Graph {
    let uses = |id: BlobId| graph.operators.iter().flat_map(|op| &op.inputs).filter(|&&input| input == id).count();
    let pointwise = |conv: &Conv| conv.groups == 1 && conv.window.taps() == 1;
    let plain = |conv: &Conv| !conv.epilogue.residual && !conv.epilogue.relu;
    let mut slots: Vec<Option<Operator>> = graph.operators.iter().cloned().map(Some).collect();
    for at in 0..slots.len() {
        let Some(mut op) = slots[at].clone() else { continue };
        let (OpKind::Conv(conv), Some(&shortcut)) = (&mut op.kind, op.inputs.get(1)) else { continue };
        let Some(source) = graph.operators.iter().position(|other| other.output == shortcut) else { continue };
        let OpKind::Conv(projection) = &graph.operators[source].kind else { continue };
        let needed = keep.contains(&shortcut) || graph.output == shortcut || uses(shortcut) > 1;
        if needed || !pointwise(conv) || !pointwise(projection) || !plain(projection) {
            continue;
        }
        conv.epilogue.projection = Some(Box::new(projection.clone()));
        // In order of execution: after the affine channel of the convolution, before the sum.
        let place = usize::from(conv.epilogue.affine.is_some());
        op.inputs[1] = graph.operators[source].inputs[0];
        let Operator { name, fused, .. } = graph.operators[source].clone();
        op.fused.splice(place..place, [name].into_iter().chain(fused));
        slots[source] = None;
        slots[at] = Some(op);
    }
    compact(graph, slots.into_iter().flatten().collect())
}

/// The position of the operator that the convolution at `at` can take over, if any.
fn successor(
    slots: &[Option<Operator>],
    at: usize,
    uses: &[usize],
    takes: &impl Fn(BlobId, &Conv, &Operator) -> bool,
) -> Option<usize> {
    let op = slots[at].as_ref()?;
    let OpKind::Conv(conv) = &op.kind else { return None };
    if uses[op.output.0] != 1 {
        return None;
    }
    let reads_output = |slot: &Option<Operator>| slot.as_ref().is_some_and(|next| next.inputs.contains(&op.output));
    let next = at + 1 + slots[at + 1..].iter().position(reads_output)?;
    let follower = slots[next].as_ref()?;
    // The branch's convolution takes over the sum, the shortcut's never does. So the shortcut is always computed first.
    let fuses = follower.inputs[0] == op.output && takes(op.inputs[0], conv, follower);
    fuses.then_some(next)
}

/// Fuses `taken` into `op`, the convolution in front of it.
fn absorb(op: &mut Operator, taken: Operator) {
    let OpKind::Conv(conv) = &mut op.kind else { unreachable!("only convolutions have successors") };
    match taken.kind {
        OpKind::Affine(affine) => conv.epilogue.affine = Some(affine),
        OpKind::Sum => {
            conv.epilogue.residual = true;
            op.inputs.push(taken.inputs[1]);
        }
        OpKind::Relu => conv.epilogue.relu = true,
        OpKind::StopGradient => {}
        OpKind::MaxPool(window) => conv.epilogue.pool = Some(Box::new(window)),
        OpKind::Conv(_) | OpKind::AveragePool(_) | OpKind::Subsample(_) | OpKind::Concat | OpKind::Layout => {
            unreachable!("no convolution takes these over")
        }
    }
    op.output = taken.output;
    op.fused.push(taken.name);
}

/// The graph of `operators`, without the blobs that no operator writes any more.
fn compact(graph: &Graph, operators: Vec<Operator>) -> Graph {
    let mut alive = vec![false; graph.blobs.len()];
    for &id in graph.inputs.iter().chain(operators.iter().map(|op| &op.output)) {
        alive[id.0] = true;
    }
    let mut renamed = vec![None; graph.blobs.len()];
    let mut blobs = Vec::new();
    for (index, blob) in graph.blobs.iter().enumerate() {
        if alive[index] {
            renamed[index] = Some(BlobId(blobs.len()));
            blobs.push(blob.clone());
        }
    }
    let rename = |id: BlobId| renamed[id.0].expect("a used blob is an input or some operator's output");
    Graph {
        blobs,
        operators: operators
            .into_iter()
            .map(|op| Operator {
                inputs: op.inputs.iter().map(|&id| rename(id)).collect(),
                output: rename(op.output),
                ..op
            })
            .collect(),
        inputs: graph.inputs.iter().map(|&id| rename(id)).collect(),
        slow_frames: graph.slow_frames,
        output: rename(graph.output),
        stages: graph.stages.iter().filter_map(|&id| renamed[id.0]).collect(),
    }
}
