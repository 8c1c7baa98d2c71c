//! The methods for each kind of operator, in the order of preference: the fixed table of choices.
//!
//! Lists are made for a target. They are not filtered: [`Method::candidates`] drops methods that the target cannot run
//! and methods that cannot compute the operator.

use super::conv_gemm::Gemm;
use super::conv_pool::ConvPool;
use super::table::Kernel;
use super::winograd::{Winograd, WinogradTile};
use super::{AdapterClass, Method, OperandMemory, Target, TextureSupport, conv_depthwise, conv_depthwise_walk};
use super::{affine, average_pool, concat, max_pool, relu, subsample, sum, winograd_fused};
use crate::graph::{Conv, OpKind};
use std::cmp::Reverse;

/// The methods for `kind` on `target`, the preferred method first.
pub(super) fn in_order(kind: &OpKind, target: Target) -> Vec<Method> {
    match kind {
        OpKind::Conv(conv) if conv.epilogue.pool.is_some() => pooled(target),
        OpKind::Conv(conv) => convolutions(conv, target),
        OpKind::MaxPool(_) => vec![Kernel::MaxPool(max_pool::MaxPool).into()],
        OpKind::Subsample(_) => vec![Kernel::Subsample(subsample::Subsample).into()],
        OpKind::AveragePool(_) => vec![Kernel::AveragePool(average_pool::AveragePool).into()],
        OpKind::Affine(_) => vec![Kernel::Affine(affine::AffineChannel).into()],
        OpKind::Relu => vec![Kernel::Relu(relu::Relu).into()],
        OpKind::Sum => vec![Kernel::Sum(sum::Sum).into()],
        OpKind::Concat => vec![Kernel::Concat(concat::Concat).into()],
        OpKind::Layout => vec![Kernel::LAYOUT.into()],
        OpKind::StopGradient => Vec::new(),
    }
}

/// The plainest way to compute `kind`; `None` if there is only one way.
pub(super) fn reference(kind: &OpKind) -> Option<Method> {
    match kind {
        OpKind::Conv(conv) => {
            let plainest = [Kernel::DIRECT, Kernel::ConvGemm(Gemm::TILED)].map(Method::from);
            let alone = conv.epilogue.pool.is_none();
            plainest.into_iter().find(|method| alone && method.supports(kind))
        }
        OpKind::MaxPool(_) | OpKind::Subsample(_) | OpKind::AveragePool(_) | OpKind::Affine(_) => None,
        OpKind::Relu | OpKind::Sum | OpKind::Concat | OpKind::Layout | OpKind::StopGradient => None,
    }
}

/// The methods for a convolution.
fn convolutions(conv: &Conv, target: Target) -> Vec<Method> {
    let (registers, tiled) = (from_registers(conv, target.textures), through_workgroup_memory(target).to_vec());
    let gemms = match target.class {
        // On a CPU, workgroup memory is ordinary memory, and a barrier switches between all invocations of a workgroup.
        AdapterClass::Software => [registers, tiled].concat(),
        AdapterClass::Gpu => [tiled, registers].concat(),
    };
    let products = gemms.iter().filter(|gemm| Winograd::PRODUCTS.contains(gemm));
    let tiles =
        |&product: &Gemm| WinogradTile::ALL.iter().map(move |&tile| Method::Winograd(Winograd { tile, product }));
    let winograd: Vec<Method> = products.flat_map(tiles).collect();
    let gemms: Vec<Method> = gemms.into_iter().map(|gemm| Kernel::ConvGemm(gemm).into()).collect();
    let fused = match target.prefers_compact() {
        true => [winograd_fused::WorkgroupTile::Compact, winograd_fused::WorkgroupTile::Narrow],
        false => [winograd_fused::WorkgroupTile::Narrow, winograd_fused::WorkgroupTile::Compact],
    };
    let fused = fused.map(|tile| Kernel::WinogradFused(tile).into()).to_vec();
    let direct = vec![Kernel::DIRECT.into()];
    let depthwise = depthwise(target);
    match target.class {
        // The register kernels have not been timed with groups on any GPU. Their tiles are large and then partly zeros.
        AdapterClass::Gpu if conv.groups > 1 => [depthwise, direct, fused, winograd, gemms].concat(),
        AdapterClass::Software | AdapterClass::Gpu => [depthwise, fused, winograd, gemms, direct].concat(),
    }
}

/// The methods for a depthwise convolution. Software adapters prefer the one with the fewest loads. GPUs prefer the one
/// with many small invocations, whose neighbours share loads through caches.
fn depthwise(target: Target) -> Vec<Method> {
    let walks = conv_depthwise_walk::Stride::ALL.iter().map(|&stride| Kernel::ConvDepthwiseWalk(stride).into());
    let plain = [Kernel::ConvDepthwise(conv_depthwise::ConvDepthwise).into()];
    match target.class {
        AdapterClass::Software => walks.chain(plain).collect(),
        AdapterClass::Gpu => plain.into_iter().chain(walks).collect(),
    }
}

/// The methods for a convolution with pooling after it.
fn pooled(target: Target) -> Vec<Method> {
    let mut kernels = ConvPool::ALL.to_vec();
    let software = target.class == AdapterClass::Software;
    let tiled = through_workgroup_memory(target);
    kernels.sort_by_key(|kernel| {
        let place = tiled.iter().position(|&gemm| gemm == kernel.gemm());
        (place.is_some() == software, place, is_expensive(kernel.gemm().weights(), target.textures))
    });
    kernels.into_iter().map(|kernel| Kernel::ConvPool(kernel).into()).collect()
}

/// The implicit GEMMs through workgroup memory.
fn through_workgroup_memory(target: Target) -> [Gemm; 4] {
    match target.prefers_compact() {
        true => [Gemm::TILED_COMPACT, Gemm::TILED, Gemm::TILED_WIDE, Gemm::TILED_SLICED],
        false => [Gemm::TILED_SLICED, Gemm::TILED, Gemm::TILED_WIDE, Gemm::TILED_COMPACT],
    }
}

/// Whether loading weights from `memory` costs more than from the other kind of memory.
fn is_expensive(memory: OperandMemory, textures: TextureSupport) -> bool {
    (memory == OperandMemory::Texture) != (textures == TextureSupport::Faster)
}

/// The implicit GEMMs from registers, sorted by cost, wider tiles first among equals. A wide tile has the fewest loads
/// for each product, but it may need more padding, or span more groups with zeros between them. Each GEMM comes first
/// with its weights in the cheaper kind of memory, then in the other.
fn from_registers(conv: &Conv, textures: TextureSupport) -> Vec<Gemm> {
    let sorted = |mut gemms: Vec<Gemm>| {
        gemms.sort_by_key(|gemm| {
            (gemm.cost(conv), Reverse(gemm.tile().channels()), is_expensive(gemm.weights(), textures))
        });
        gemms
    };
    let subgroup = sorted(vec![
        Gemm::SUBGROUP_64X4,
        Gemm::SUBGROUP_32X4,
        Gemm::SUBGROUP_16X4,
        Gemm::SUBGROUP_64X4_TEXTURE,
        Gemm::SUBGROUP_32X4_TEXTURE,
        Gemm::SUBGROUP_16X4_TEXTURE,
    ]);
    let registers = sorted(vec![
        Gemm::REGISTERS_16X8,
        Gemm::REGISTERS_8X8,
        Gemm::REGISTERS_16X8_TEXTURE,
        Gemm::REGISTERS_8X8_TEXTURE,
    ]);
    [subgroup, registers].concat()
}
