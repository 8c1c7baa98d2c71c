//! Forwards between buffers of the caller's, recorded into a command encoder of the caller's.

use super::GpuBackbone;
use crate::error::Result;
use crate::plan::Plan;
use crate::shape::Shape;

/// A blob that a forward leaves in a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureLayout {
    /// Blob name, for example `res4_1_sum`.
    pub name: String,
    /// N×C×T×H×W, float32, row-major.
    pub shape: Shape,
}

impl FeatureLayout {
    /// What the buffer is used as, besides whatever the caller does with it.
    pub const USAGE: wgpu::BufferUsages = wgpu::BufferUsages::COPY_DST;

    /// Bytes of its values: what the buffer has at least.
    pub fn bytes(&self) -> u64 {
        self.shape.bytes()
    }
}

/// What the buffer of a clip is used as, besides whatever the caller does with it.
pub const CLIP_USAGE: wgpu::BufferUsages = wgpu::BufferUsages::COPY_SRC;

impl GpuBackbone {
    /// What [`GpuBackbone::record`] leaves of clips of `shape`, a buffer each: the taps in the order asked for, and the
    /// last blob, which comes at the end unless it was asked for. `shape` is prepared for.
    ///
    /// # Errors
    /// As [`GpuBackbone::prepare_async`].
    pub async fn feature_layouts_async(&mut self, shape: Shape) -> Result<Vec<FeatureLayout>> {
        Ok(layouts(self.plan_async(shape).await?))
    }

    /// Buffers for what [`GpuBackbone::record`] leaves of clips of `shape`, for callers that have none: they can be
    /// bound as storage, and copied from.
    ///
    /// # Errors
    /// As [`GpuBackbone::prepare_async`]; [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub async fn feature_buffers_async(&mut self, shape: Shape) -> Result<Vec<(FeatureLayout, wgpu::Buffer)>> {
        let layouts = self.feature_layouts_async(shape).await?;
        let usage = FeatureLayout::USAGE | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let buffers =
            self.gpu.buffers(layouts.iter().map(|layout| (layout.name.as_str(), layout.bytes())), usage).await?;
        Ok(layouts.into_iter().zip(buffers).collect())
    }

    /// Records a forward on a clip of `shape`, N×3×T×H×W, into a command encoder of the caller's. The clip is read from
    /// `clip`, a buffer of NCTHW float32 with [`CLIP_USAGE`]; `features` are left in buffers like those of
    /// [`GpuBackbone::feature_layouts_async`], as many and in that order. Everything is on the device of this
    /// backbone's context, which [`GpuContext::from_wgpu`](crate::GpuContext::from_wgpu) makes of the caller's.
    ///
    /// Nothing is submitted and nothing is read back. Whatever the plan has, several rounds of fewer clips or work that
    /// a [`GpuBackbone::submit_async`] would submit bit by bit, is recorded into this one encoder: a long clip is one
    /// long submission, which a system with a watchdog for GPUs may end. Several forwards may be recorded one after the
    /// other, and others may be submitted meanwhile; all use the same buffers for activations, in the order of their
    /// submission.
    ///
    /// # Errors
    /// Those of [`GpuBackbone::prepare_async`], which goes before where `shape` is new;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) where the clip or a feature is beyond one binding of the device;
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) where a buffer is too small, or there are too few or too many;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where one lacks its usage. Then nothing is recorded.
    /// What else is wrong with a buffer, such as belonging to another device, is found by wgpu when the encoder is
    /// finished.
    pub async fn record_async(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        shape: Shape,
        clip: &wgpu::Buffer,
        features: &[&wgpu::Buffer],
    ) -> Result<()> {
        self.executor(shape).await?.record(encoder, &[clip], features)
    }
}

pub(super) fn layouts(plan: &Plan) -> Vec<FeatureLayout> {
    let layout =
        |output: &crate::plan::Output| FeatureLayout { name: output.name.clone(), shape: plan.shape(output.blob) };
    plan.outputs().iter().map(layout).collect()
}
