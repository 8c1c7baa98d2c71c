//! Fusion: the graph as built, rewritten into fewer operators that compute the same.
//!
//! A convolution takes over what follows it as long as nobody else looks at the values between: its affine channel
//! (folded into the weights when they are uploaded), the residual sum and the ReLU (applied before storing). R-18's 69
//! operators become 22. A stop-gradient behind a convolution goes the same way, being the identity.
//!
//! A convolution of a clip can take over the max pooling behind it as well ([`fuse_pools`]), where there is a kernel for it:
//! the stem's, whose blob is the largest of all.
//!
//! [`project`] goes on from there, for targets that gain by it: a projected shortcut becomes a second term of the
//! convolution that adds it.
//!
//! A tapped blob must exist, so it ends a chain. Nothing else is rewritten: operators that no convolution could take
//! over stay and run with their own kernels.

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

/// Rewrites a graph that [`fuse`] has been through: convolutions of the graph's inputs take over the max pooling behind them
/// where `takes` says so of the two.
pub fn fuse_pools(graph: &Graph, keep: &[BlobId], takes: impl Fn(&Conv, &Window) -> bool) -> Graph {
    rewrite(graph, keep, |input, conv, next| match &next.kind {
        OpKind::MaxPool(window) => graph.inputs.contains(&input) && conv.epilogue.pool.is_none() && takes(conv, window),
        _ => false,
    })
}

/// Lets every convolution do what follows it, one operator after the other, as long as it `takes` the next. `takes` is told
/// what the convolution reads as well.
fn rewrite(graph: &Graph, keep: &[BlobId], takes: impl Fn(BlobId, &Conv, &Operator) -> bool) -> Graph {
    let mut uses = vec![0usize; graph.blobs.len()];
    for &id in graph.operators.iter().flat_map(|op| &op.inputs) {
        uses[id.0] += 1;
    }
    for &id in keep.iter().chain([&graph.output]) {
        uses[id.0] += 2; // never "used once": it has to be stored
    }

    // Every operator is its own group at first; `slots[i]` holds what runs at position i.
    let mut slots: Vec<Option<Operator>> = graph.operators.iter().cloned().map(Some).collect();
    for start in 0..slots.len() {
        let mut at = start;
        while let Some(next) = successor(&slots, at, &uses, &takes) {
            let taken = slots[next].take().expect("successor() names an operator that is there");
            let mut op = slots[at].take().expect("the chain's head is where it was left");
            absorb(&mut op, taken);
            // The group runs where its last member did: by then every input, the residual too, has been computed.
            slots[next] = Some(op);
            at = next;
        }
    }
    compact(graph, slots.into_iter().flatten().collect())
}

/// Rewrites a fused `graph`, keeping the blobs `keep` and the output: a pointwise convolution that adds what another one
/// makes of the block's input takes that over, as further products of its own sums, so that the shortcut's blob never
/// exists.
///
/// The 3×3 convolutions that end a basic block are left as they are: Winograd's method has no such sums.
pub fn project(graph: &Graph, keep: &[BlobId]) -> Graph {
    let uses = |id: BlobId| graph.operators.iter().flat_map(|op| &op.inputs).filter(|&&input| input == id).count();
    let pointwise = |conv: &Conv| conv.groups == 1 && conv.window.taps() == 1;
    let plain = |conv: &Conv| !conv.epilogue.residual && !conv.epilogue.relu;
    let mut slots: Vec<Option<Operator>> = graph.operators.iter().cloned().map(Some).collect();
    for at in 0..slots.len() {
        let Some(mut op) = slots[at].clone() else { continue };
        let (OpKind::Conv(conv), Some(&shortcut)) = (&mut op.kind, op.inputs.get(1)) else { continue };
        let Some(from) = graph.operators.iter().position(|other| other.output == shortcut) else { continue };
        let OpKind::Conv(other) = &graph.operators[from].kind else { continue };
        let needed = keep.contains(&shortcut) || graph.output == shortcut || uses(shortcut) > 1;
        if needed || !pointwise(conv) || !pointwise(other) || !plain(other) {
            continue;
        }
        conv.epilogue.projection = Some(Box::new(other.clone()));
        // In order of execution: behind the convolution's own affine channel, before the sum.
        let place = usize::from(conv.epilogue.affine.is_some());
        op.inputs[1] = graph.operators[from].inputs[0];
        let Operator { name, fused, .. } = graph.operators[from].clone();
        op.fused.splice(place..place, [name].into_iter().chain(fused));
        slots[from] = None;
        slots[at] = Some(op);
    }
    compact(graph, slots.into_iter().flatten().collect())
}

/// The position of the operator that the convolution at `at` can take over, if there is one.
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
    let reads_it = |slot: &Option<Operator>| slot.as_ref().is_some_and(|next| next.inputs.contains(&op.output));
    let next = at + 1 + slots[at + 1..].iter().position(reads_it)?;
    let follower = slots[next].as_ref()?;
    // The branch takes the sum, never the shortcut, so that the shortcut is always computed first.
    let fits = follower.inputs[0] == op.output && takes(op.inputs[0], conv, follower);
    fits.then_some(next)
}

/// Makes `op`, a convolution, do what `taken` did after it.
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
            unreachable!("no convolution takes these")
        }
    }
    op.output = taken.output;
    op.fused.push(taken.name);
}

/// The graph of `operators`, without the blobs that no longer exist.
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
