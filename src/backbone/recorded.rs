//! Forwards between buffers of the caller, recorded into a command encoder of the caller.

use super::GpuBackbone;
use crate::error::Result;
use crate::plan::Plan;
use crate::shape::Shape;

/// A blob that a recorded forward copies into a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureLayout {
    /// Blob name, for example `res4_1_sum`.
    pub name: String,
    /// N×C×T×H×W, float32, row-major.
    pub shape: Shape,
}

impl FeatureLayout {
    /// The usage that the buffer needs, in addition to the caller's.
    pub const USAGE: wgpu::BufferUsages = wgpu::BufferUsages::COPY_DST;

    /// Bytes of its values: the least size of the buffer.
    pub fn bytes(&self) -> u64 {
        self.shape.bytes()
    }
}

/// The usage that the buffer of a clip needs, in addition to the caller's.
pub const CLIP_USAGE: wgpu::BufferUsages = wgpu::BufferUsages::COPY_SRC;

impl GpuBackbone {
    /// The features that [`GpuBackbone::record`] writes for clips of `shape`, one buffer each: the taps in the order
    /// asked for, and the last blob, which comes at the end unless it is a tap. This prepares for `shape`.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::prepare_async`].
    pub async fn feature_layouts_async(&mut self, shape: Shape) -> Result<Vec<FeatureLayout>> {
        Ok(layouts(self.plan_async(shape).await?))
    }

    /// Buffers for the features that [`GpuBackbone::record`] writes for clips of `shape`, for callers that have none.
    /// They can be bound as storage and copied from.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::prepare_async`]; [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub async fn feature_buffers_async(&mut self, shape: Shape) -> Result<Vec<(FeatureLayout, wgpu::Buffer)>> {
        let layouts = self.feature_layouts_async(shape).await?;
        let usage = FeatureLayout::USAGE | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let buffers =
            self.gpu.buffers(layouts.iter().map(|layout| (layout.name.as_str(), layout.bytes())), usage).await?;
        Ok(layouts.into_iter().zip(buffers).collect())
    }

    /// Records a forward on a clip of `shape`, N×3×T×H×W, into a command encoder of the caller. The clip is read from
    /// `clip`, a buffer of NCTHW float32 with [`CLIP_USAGE`]. The features are written into the buffers `features`, one
    /// for each of [`GpuBackbone::feature_layouts_async`], in that order. All buffers are on the device of this
    /// backbone's context, which [`GpuContext::from_wgpu`](crate::GpuContext::from_wgpu) makes from the caller's
    /// device.
    ///
    /// Nothing is submitted and nothing is read back. All micro-batches of the plan, and all parts that
    /// [`GpuBackbone::submit_async`] would submit separately, are recorded into this one encoder. So a long clip is one
    /// long submission, which a system with a watchdog for GPUs may end. Several forwards may be recorded one after the
    /// other, and others may be submitted meanwhile; all use the same buffers for activations, in the order of their
    /// submission.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::prepare_async`], which runs first if `shape` is new;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the clip or a feature is larger than a binding of the device;
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if a buffer is too small, or there are too few or too many;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if one lacks its usage. After an error nothing is
    /// recorded. wgpu reports other errors of buffers, such as another device, when the encoder is finished.
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
