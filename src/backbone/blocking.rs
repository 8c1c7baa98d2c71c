//! The calls of a backbone that wait on the calling thread: a façade over those that do not. None of them is there in a
//! browser.

use super::recorded::{FeatureLayout, layouts};
use super::{GpuBackbone, Pending};
use crate::clip::ClipView;
use crate::error::Result;
use crate::features::FeatureMaps;
use crate::gpu::{Profile, Timing, drive};
use crate::plan::Plan;
use crate::shape::Shape;
use crate::tuning::{self, Setting, Tuned};

impl GpuBackbone {
    /// As [`GpuBackbone::prepare_async`], on this thread. Where tuning was asked for it goes before, in silence.
    ///
    /// This blocks while the driver compiles shaders and weights are uploaded: for some tenths of a second to some
    /// seconds the first time, for milliseconds where another shape, another backbone of the same context, or a
    /// directory for caches has the kernels already. Tuning takes from seconds to minutes.
    ///
    /// # Errors
    /// As [`GpuBackbone::prepare_async`] and [`GpuBackbone::tune`].
    pub fn prepare(&mut self, shape: Shape) -> Result<()> {
        if !self.is_prepared(shape) {
            self.tune(shape, &mut |_, _| ())?;
        }
        let gpu = self.gpu.clone();
        drive(&gpu, self.prepare_async(shape))
    }

    /// What [`GpuBackbone::prepare`] has planned for clips of `shape`. A plan is [low-level](crate::low_level), and not
    /// stable.
    ///
    /// # Errors
    /// As [`GpuBackbone::prepare`].
    pub fn plan(&mut self, shape: Shape) -> Result<&Plan> {
        self.prepare(shape)?;
        Ok(self.last_used().plan())
    }

    /// Finds the quickest methods for clips of `shape` by trying, see [`crate::low_level::tuning`]: those that no
    /// earlier call and no directory for caches knows. `progress` hears how many of how many operators are done. What
    /// was tried is returned, and nothing is done where tuning was not asked for.
    ///
    /// # Errors
    /// Those of [`tuning::tune`].
    pub fn tune(&mut self, shape: Shape, progress: &mut dyn FnMut(usize, usize)) -> Result<Vec<Tuned>> {
        if !self.tuning {
            return Ok(Vec::new());
        }
        let mut choices = self.plan_options.choices.clone();
        let setting = Setting {
            gpu: &self.gpu,
            weights: &self.weights,
            options: &self.plan_options,
            checks: self.checks,
            patch: None,
        };
        let tuned = tuning::tune(setting, &self.body.graph, shape, &mut choices, progress)?;
        self.plan_options.choices = choices;
        Ok(tuned)
    }

    /// Runs the body on `clip`, N×3×T×H×W: a [`&Clip`](crate::Clip), or a [`ClipView`] of values that lie elsewhere.
    /// The first clip of a shape is planned for; see [`GpuBackbone::prepare`].
    ///
    /// This blocks until the features have come back: for the upload, for the work of the device and of everything that
    /// was submitted to its queue before, and for the readback. A device that has not finished after ten minutes, and a
    /// second more for each 10^8 multiply-adds, is given up on.
    ///
    /// # Errors
    /// Those of [`GpuBackbone::prepare`]; [`ErrorKind::DeviceLost`](crate::ErrorKind::DeviceLost) if the device is
    /// lost: then this backbone is of no use any more, and a new one is to be made on a new context;
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if the device fails otherwise, or takes too long: the next clip
    /// of that shape is prepared for anew.
    pub fn forward<'a>(&mut self, clip: impl Into<ClipView<'a>>) -> Result<FeatureMaps> {
        Ok(self.forward_timed(clip, Timing::Off)?.0)
    }

    /// As [`GpuBackbone::forward`], with the device's own timing: `None` where the device has no timestamp queries.
    ///
    /// # Errors
    /// As [`GpuBackbone::forward`].
    pub fn forward_timed<'a>(
        &mut self,
        clip: impl Into<ClipView<'a>>,
        timing: Timing,
    ) -> Result<(FeatureMaps, Option<Profile>)> {
        let (ticket, outputs) = self.submit_timed(clip.into(), timing)?.into_parts();
        Ok(outputs.named(ticket.wait()?))
    }

    /// As [`GpuBackbone::submit_async`], on this thread: it waits only where two clips of that shape are on their way,
    /// and for the first clip of a shape.
    ///
    /// # Errors
    /// As [`GpuBackbone::submit_async`] and [`GpuBackbone::prepare`]; [`ErrorKind::Device`](crate::ErrorKind::Device)
    /// if the device takes too long.
    pub fn submit<'a>(&mut self, clip: impl Into<ClipView<'a>>) -> Result<Pending> {
        self.submit_timed(clip.into(), Timing::Off)
    }

    fn submit_timed(&mut self, clip: ClipView<'_>, timing: Timing) -> Result<Pending> {
        self.prepare(clip.shape())?;
        let spatial_scale = self.body.spatial_scale;
        let executor = self.last_used();
        let ticket = executor.submit(&[clip.data()], timing)?;
        Ok(Pending::new(ticket, executor.plan(), spatial_scale))
    }

    /// Fills the activation buffers of a prepared shape with `value`: results must not depend on what they held.
    ///
    /// # Errors
    /// As [`GpuBackbone::prepare`].
    pub fn fill_activations(&mut self, shape: Shape, value: f32) -> Result<()> {
        self.prepare(shape)?;
        self.last_used().fill_activations(value)
    }
}

/// Between buffers of the caller's.
impl GpuBackbone {
    /// As [`GpuBackbone::feature_layouts_async`], on this thread.
    ///
    /// # Errors
    /// As [`GpuBackbone::prepare`].
    pub fn feature_layouts(&mut self, shape: Shape) -> Result<Vec<FeatureLayout>> {
        Ok(layouts(self.plan(shape)?))
    }

    /// As [`GpuBackbone::feature_buffers_async`], on this thread.
    ///
    /// # Errors
    /// As [`GpuBackbone::feature_buffers_async`] and [`GpuBackbone::prepare`].
    pub fn feature_buffers(&mut self, shape: Shape) -> Result<Vec<(FeatureLayout, wgpu::Buffer)>> {
        self.prepare(shape)?;
        let gpu = self.gpu.clone();
        drive(&gpu, self.feature_buffers_async(shape))
    }

    /// As [`GpuBackbone::record_async`], on this thread, which waits only for the first clip of a shape.
    ///
    /// # Errors
    /// As [`GpuBackbone::record_async`] and [`GpuBackbone::prepare`].
    pub fn record(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        shape: Shape,
        clip: &wgpu::Buffer,
        features: &[&wgpu::Buffer],
    ) -> Result<()> {
        self.prepare(shape)?;
        self.last_used().record(encoder, &[clip], features)
    }
}

impl Pending {
    /// Waits for the features.
    ///
    /// # Errors
    /// As [`Pending::features`]; [`ErrorKind::Device`](crate::ErrorKind::Device) if the device takes too long.
    pub fn wait(self) -> Result<FeatureMaps> {
        let (ticket, outputs) = self.into_parts();
        Ok(outputs.named(ticket.wait()?).0)
    }
}
