//! How many multiply-adds a dispatch really does.

use super::{Gemm, Kernel, Launch, WindowParams, conv_depthwise, conv_depthwise_walk, conv_direct, conv_gemm};
use super::{conv_pool, winograd_fused};
use bytemuck::AnyBitPattern;

impl Launch {
    /// Multiply-adds of all invocations, from the parameters they run with: those of the padding to whole tiles of
    /// channels and positions included, and those with the zeros around a blob. 0 for kernels that compute no products
    /// of weights; what Winograd's transforms add and scale is not counted.
    pub fn macs(&self) -> u64 {
        match self.kernel {
            Kernel::ConvDirect(tile) => self.read().map_or(0, |p: conv_direct::Params| {
                let taps = [p.window.kernel_t, p.window.kernel_h, p.window.kernel_w];
                product([p.len, p.group_in_c]) * product(taps) * (tile.columns * 4 * tile.channel_vec4s) as u64
            }),
            Kernel::ConvDepthwise => self.read().map_or(0, |p: conv_depthwise::Params| {
                let taps = [p.window.kernel_t, p.window.kernel_h, p.window.kernel_w];
                u64::from(p.len) * product(taps) * (4 * conv_depthwise::COLUMNS) as u64
            }),
            Kernel::ConvDepthwiseWalk(_) => self.read().map_or(0, |p| conv_depthwise_walk::macs(&p)),
            Kernel::ConvGemm(gemm) | Kernel::ProjectedGemm(gemm) | Kernel::WinogradProduct(gemm) => {
                self.read().map_or(0, |p: conv_gemm::Params| {
                    let entries =
                        entries(gemm, p.window, p.group_quads) + entries(gemm, p.second_window, p.second_quads);
                    u64::from(p.workgroups) * (gemm.run_len() * gemm.tile().channels()) as u64 * 4 * entries
                })
            }
            Kernel::ConvPool(gemm) => self.read().map_or(0, |p: conv_gemm::Params| {
                let each = gemm.tile().channels() * conv_pool::CHANNELS;
                conv_pool::positions(gemm, &p) * each as u64 * entries(gemm, p.window, p.group_quads)
            }),
            Kernel::WinogradFused(spread) => self.read().map_or(0, |p| winograd_fused::macs(spread, &p)),
            Kernel::WinogradInput(..) | Kernel::WinogradOutput(..) => 0,
            Kernel::MaxPool | Kernel::AveragePool | Kernel::Subsample => 0,
            Kernel::Affine | Kernel::Relu | Kernel::Sum | Kernel::Concat | Kernel::Layout => 0,
        }
    }

    /// The parameters, if they are of that type.
    fn read<P: AnyBitPattern>(&self) -> Option<P> {
        bytemuck::try_pod_read_unaligned(&self.params).ok()
    }
}

fn product<const N: usize>(factors: [u32; N]) -> u64 {
    factors.into_iter().map(u64::from).product()
}

/// Entries of a term: input quads under taps, in whole stages.
fn entries(gemm: Gemm, window: WindowParams, quads: u32) -> u64 {
    let entries = product([window.kernel_t, window.kernel_h, window.kernel_w, quads]);
    match gemm {
        Gemm::Tiled(spread) => entries.next_multiple_of(spread.stage() as u64),
        Gemm::Registers(..) | Gemm::Subgroup(..) => entries,
    }
}
