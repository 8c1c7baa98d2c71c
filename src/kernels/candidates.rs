//! Which methods an operator is computed by, in the order of preference: the fixed table of choices.
//!
//! Lists are made for a target. They are not filtered: [`Method::candidates`] drops what the target cannot run and what
//! cannot compute the operator.

use super::conv_gemm::Gemm;
use super::conv_pool::ConvPool;
use super::table::Kernel;
use super::winograd::{Winograd, WinogradTile};
use super::{AdapterClass, Method, OperandMemory, Target, TextureSupport, conv_depthwise, conv_depthwise_walk};
use super::{affine, average_pool, concat, max_pool, relu, subsample, sum, winograd_fused};
use crate::graph::{Conv, OpKind};
use std::cmp::Reverse;

/// The methods for `kind` on `target`, the preferred first.
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

/// The plainest way to compute `kind`; `None` where there is only one.
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
        // To a CPU workgroup memory is memory like any other, and a barrier a switch between all its invocations.
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
        // No GPU has timed groups by the kernels from registers, whose tiles are large and partly zeros then.
        AdapterClass::Gpu if conv.groups > 1 => [depthwise, direct, fused, winograd, gemms].concat(),
        AdapterClass::Software | AdapterClass::Gpu => [depthwise, fused, winograd, gemms, direct].concat(),
    }
}

/// The methods for a convolution of every channel by itself: on software adapters the one that loads least, on others
/// the one of many small invocations, whose neighbours share what they load through caches.
fn depthwise(target: Target) -> Vec<Method> {
    let walks = conv_depthwise_walk::Stride::ALL.iter().map(|&stride| Kernel::ConvDepthwiseWalk(stride).into());
    let plain = [Kernel::ConvDepthwise(conv_depthwise::ConvDepthwise).into()];
    match target.class {
        AdapterClass::Software => walks.chain(plain).collect(),
        AdapterClass::Gpu => plain.into_iter().chain(walks).collect(),
    }
}

/// The methods for a convolution with the pooling behind it.
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

/// Whether weights are loaded less cheaply from there than from the other kind of memory.
fn is_expensive(memory: OperandMemory, textures: TextureSupport) -> bool {
    (memory == OperandMemory::Texture) != (textures == TextureSupport::Faster)
}

/// The implicit GEMMs from registers: the widest tile loads least for each product, unless it pads much more, or spans
/// more groups, between which there are zeros. Each with its weights where they are loaded more cheaply, then where
/// they are not.
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
