//! The blocking calls of a backbone: a façade over the asynchronous ones. They do not exist in a browser.

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
    /// Like [`GpuBackbone::prepare_async`], on this thread. If tuning was asked for, it runs first, without a report of
    /// progress.
    ///
    /// This blocks while the driver compiles shaders and weights are uploaded: for some tenths of a second to some
    /// seconds the first time, and for milliseconds if another shape, another backbone of the same context, or a
    /// directory for caches has the kernels already. Tuning takes from seconds to minutes.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::prepare_async`] and [`GpuBackbone::tune`].
    pub fn prepare(&mut self, shape: Shape) -> Result<()> {
        if !self.is_prepared(shape) {
            self.tune(shape, &mut |_, _| ())?;
        }
        let gpu = self.gpu.clone();
        drive(&gpu, self.prepare_async(shape))
    }

    /// The plan of [`GpuBackbone::prepare`] for clips of `shape`. Plans are [low-level](crate::low_level) and not
    /// stable.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::prepare`].
    pub fn plan(&mut self, shape: Shape) -> Result<&Plan> {
        self.prepare(shape)?;
        Ok(self.last_used().plan())
    }

    /// Finds the quickest methods for clips of `shape` by benchmarks, see [`crate::low_level::tuning`], for operators
    /// that neither an earlier call nor a directory for caches knows. `progress` is called with the number of operators
    /// done and their total. Returns the results of the benchmarks. Without [`Options::tuning`](crate::Options::tuning)
    /// it does nothing.
    ///
    /// # Errors
    /// The errors of [`tuning::tune`].
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

    /// Runs the body on `clip`, N×3×T×H×W: a [`&Clip`](crate::Clip), or a [`ClipView`] of values in other memory. The
    /// first clip of a shape is prepared for, see [`GpuBackbone::prepare`].
    ///
    /// This blocks until the features have been read back: during the upload, the work of the device including
    /// everything submitted to its queue earlier, and the readback. The time limit is ten minutes, and a second more
    /// for each 10^8 multiply-adds.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::prepare`]; [`ErrorKind::DeviceLost`](crate::ErrorKind::DeviceLost) if the device is
    /// lost: this backbone cannot be used again, so make a new one on a new context;
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if the device fails otherwise, or takes too long: the next clip
    /// of that shape is prepared for again.
    pub fn forward<'a>(&mut self, clip: impl Into<ClipView<'a>>) -> Result<FeatureMaps> {
        Ok(self.forward_timed(clip, Timing::Off)?.0)
    }

    /// Like [`GpuBackbone::forward`], with timing by the device: `None` if the device has no timestamp queries.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::forward`].
    pub fn forward_timed<'a>(
        &mut self,
        clip: impl Into<ClipView<'a>>,
        timing: Timing,
    ) -> Result<(FeatureMaps, Option<Profile>)> {
        let (ticket, outputs) = self.submit_timed(clip.into(), timing)?.into_parts();
        Ok(outputs.named(ticket.wait()?))
    }

    /// Like [`GpuBackbone::submit_async`], on this thread. It waits only if two clips of that shape are in flight, and
    /// for the first clip of a shape.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::submit_async`] and [`GpuBackbone::prepare`];
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) if the device takes too long.
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

    /// Fills the activation buffers of a prepared shape with `value`, for tests that results do not depend on their
    /// contents.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::prepare`].
    pub fn fill_activations(&mut self, shape: Shape, value: f32) -> Result<()> {
        self.prepare(shape)?;
        self.last_used().fill_activations(value)
    }
}

/// Forwards between the caller's buffers.
impl GpuBackbone {
    /// Like [`GpuBackbone::feature_layouts_async`], on this thread.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::prepare`].
    pub fn feature_layouts(&mut self, shape: Shape) -> Result<Vec<FeatureLayout>> {
        Ok(layouts(self.plan(shape)?))
    }

    /// Like [`GpuBackbone::feature_buffers_async`], on this thread.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::feature_buffers_async`] and [`GpuBackbone::prepare`].
    pub fn feature_buffers(&mut self, shape: Shape) -> Result<Vec<(FeatureLayout, wgpu::Buffer)>> {
        self.prepare(shape)?;
        let gpu = self.gpu.clone();
        drive(&gpu, self.feature_buffers_async(shape))
    }

    /// Like [`GpuBackbone::record_async`], on this thread. It waits only for the first clip of a shape.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::record_async`] and [`GpuBackbone::prepare`].
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
    /// The errors of [`Pending::features`]; [`ErrorKind::Device`](crate::ErrorKind::Device) if the device takes too
    /// long.
    pub fn wait(self) -> Result<FeatureMaps> {
        let (ticket, outputs) = self.into_parts();
        Ok(outputs.named(ticket.wait()?).0)
    }
}
