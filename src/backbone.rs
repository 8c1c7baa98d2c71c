//! The library's main interface: a network, its weights and a device, from clips to features.

#[cfg(not(target_arch = "wasm32"))]
mod blocking;
mod pending;
mod recorded;

pub use pending::Pending;
pub use recorded::{CLIP_USAGE, FeatureLayout};

use crate::clip::ClipView;
use crate::dtype::DType;
use crate::error::{ErrorKind, ErrorRepr, Result};
use crate::features::FeatureMaps;
use crate::gpu::{Constants, Executor, GpuContext, ShaderChecks, Timing};
use crate::graph::Body;
use crate::network::Network;
use crate::options::{Options, Taps};
use crate::plan::{Choices, Numerics, Plan, PlanOptions};
use crate::shape::Shape;
use crate::weights::Weights;

/// The number of clip shapes that stay prepared. The least recently used one is dropped for a new one.
const KEPT_PLANS: usize = 4;

/// A ResNet3D body on a device.
///
/// It is `Send` and `Sync`: it can be moved to another thread, and one thread at a time can run it. Backbones on clones
/// of one [`GpuContext`] can run on separate threads; the device executes their work one after the other. A forward
/// takes no lock of this crate.
///
/// ```no_run
/// use resnet3d_wgpu::{BackboneConfig, Clip, ContextOptions, GpuBackbone, GpuContext, Options, Shape, Weights};
///
/// let gpu = GpuContext::new(ContextOptions::default())?;
/// let config = BackboneConfig::r18_conv4();
/// let weights = Weights::load("r18.safetensors", &config)?;
/// let mut backbone = GpuBackbone::new(&gpu, &config, &weights, Options::default())?;
/// let shape = Shape::new(1, 3, 8, 224, 224);
/// let clip = Clip::new(shape, vec![0.0; shape.len()])?;
/// let features = backbone.forward(&clip)?;
/// assert_eq!(features.last().shape, Shape::new(1, 256, 8, 14, 14));
/// # Ok::<(), resnet3d_wgpu::Error>(())
/// ```
#[derive(Debug)]
pub struct GpuBackbone {
    gpu: GpuContext,
    body: Body,
    weights: Weights,
    plan_options: PlanOptions,
    checks: ShaderChecks,
    constants: Constants,
    tuning: bool,
    /// Prepared shapes, the most recently used one last.
    executors: Vec<(Shape, Executor)>,
}

impl GpuBackbone {
    /// The body of `network`, which may be a [`crate::BackboneConfig`], with `weights`, on the device of `gpu`. Nothing
    /// is uploaded before a clip shape is known.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]; [`ErrorKind::MissingBlob`] or [`ErrorKind::Shape`] if `weights` are those of another
    /// network; [`ErrorKind::UnknownTap`]; [`ErrorKind::Unsupported`] for options that contradict each other.
    pub fn new(gpu: &GpuContext, network: impl Into<Network>, weights: &Weights, options: Options) -> Result<Self> {
        check(&options)?;
        let body = Body::new(network)?;
        for parameter in body.graph.parameters() {
            weights.get(&parameter.name, &parameter.shape)?;
        }
        let taps = tap_names(&body, &options.taps)?;
        let adapter = gpu.plan_limits();
        Ok(Self {
            gpu: gpu.clone(),
            body,
            weights: weights.clone(),
            plan_options: PlanOptions {
                taps,
                fusion: options.fusion,
                projections: None,
                dtype: options.precision.into(),
                target: gpu.target(),
                forced: options.method,
                choices: if options.tuning { tuned_before(gpu, options.precision.into()) } else { Choices::default() },
                numerics: options.numerics,
                limits: options.limits.map_or(adapter, |limits| limits.within(adapter)),
                memory_limit: options.memory_limit,
            },
            checks: options.checks,
            constants: Constants::default(),
            tuning: options.tuning,
            executors: Vec::new(),
        })
    }

    /// Plans for clips of `shape` and creates everything that a run needs, unless that has been done. It does not tune:
    /// [`GpuBackbone::tune`] does.
    ///
    /// Planning, packing weights and, natively, compiling are done while the future is polled. This takes some tenths
    /// of a second to some seconds the first time, and milliseconds if another shape, another backbone of the same
    /// context, or a directory for caches has the kernels already.
    ///
    /// # Errors
    /// The errors of [`Plan::new`] and of [`Executor::new_async`].
    pub async fn prepare_async(&mut self, shape: Shape) -> Result<()> {
        self.executor(shape).await.map(drop)
    }

    /// The plan of [`GpuBackbone::prepare_async`] for clips of `shape`. Plans are [low-level](crate::low_level) and not
    /// stable.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::prepare_async`].
    pub async fn plan_async(&mut self, shape: Shape) -> Result<&Plan> {
        Ok(self.executor(shape).await?.plan())
    }

    /// Runs the body on `clip`, N×3×T×H×W: a [`&Clip`](crate::Clip), or a [`ClipView`] of values in other memory. The
    /// first clip of a shape is prepared for, see [`GpuBackbone::prepare_async`].
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::submit_async`] and [`Pending::features`].
    pub async fn forward_async<'a>(&mut self, clip: impl Into<ClipView<'a>>) -> Result<FeatureMaps> {
        self.submit_async(clip).await?.features().await
    }

    /// Starts a forward and returns as soon as it is submitted, so that others can follow. Submitted forwards are
    /// computed in order. While the device computes one clip, the host writes the next, or reads the features of the
    /// one before. Two clips of a shape can be in flight, and memory is allocated for two; a third waits for the first.
    ///
    /// # Errors
    /// The errors of [`GpuBackbone::prepare_async`]; [`ErrorKind::DeviceLost`] if the device is lost: this backbone
    /// cannot be used again, so make a new one on a new [`GpuContext`]; [`ErrorKind::Device`] if the device fails
    /// otherwise: the next clip of that shape is prepared for again.
    pub async fn submit_async<'a>(&mut self, clip: impl Into<ClipView<'a>>) -> Result<Pending> {
        let clip = clip.into();
        let scale = self.body.spatial_scale;
        let shape = clip.shape();
        let executor = self.executor(shape).await?;
        let ticket = executor.submit_async(&[clip.data()], Timing::Off).await?;
        Ok(Pending::new(ticket, executor.plan(), scale))
    }

    /// Blobs, operators, width and scale of the body. They are [low-level](crate::low_level) and not stable.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Bytes on the device: weights, and the activations and staging of every prepared shape.
    pub fn device_bytes(&self) -> u64 {
        let executors = self.executors.iter().map(|(_, executor)| executor.bytes());
        self.constants.bytes() + executors.sum::<u64>()
    }

    /// Whether there is an executor for clips of `shape`.
    #[cfg(not(target_arch = "wasm32"))]
    fn is_prepared(&self, shape: Shape) -> bool {
        self.executors.iter().any(|(prepared, executor)| *prepared == shape && !executor.has_failed())
    }

    /// The executor of the most recently prepared shape.
    #[cfg(not(target_arch = "wasm32"))]
    fn last_used(&mut self) -> &mut Executor {
        let (_, executor) = self.executors.last_mut().expect("a shape has been prepared");
        executor
    }

    /// The executor for clips of `shape`. It is created if there is none, or if a run of it has failed: then its
    /// buffers may still be waiting to be mapped.
    async fn executor(&mut self, shape: Shape) -> Result<&mut Executor> {
        self.executors.retain(|(_, executor)| !executor.has_failed());
        if let Some(index) = self.executors.iter().position(|(s, _)| *s == shape) {
            self.executors[index..].rotate_left(1);
        } else {
            let plan = Plan::new(&self.body.graph, &[shape], &self.plan_options)?;
            let executor = self.make(plan).await?;
            // Only now, so that a shape that is refused evicts no other.
            if self.executors.len() == KEPT_PLANS {
                self.executors.remove(0);
            }
            self.executors.push((shape, executor));
        }
        let (_, executor) = self.executors.last_mut().expect("just put there");
        Ok(executor)
    }

    /// An executor of `plan`. If there is no memory for one more, the least recently used shape is dropped first. If
    /// that does not help, it is prepared again.
    async fn make(&mut self, plan: Plan) -> Result<Executor> {
        let Self { gpu, weights, constants, checks, executors, .. } = self;
        let mut make = async |plan| Executor::new_async(gpu, plan, weights, constants, *checks, None).await;
        if executors.len() < KEPT_PLANS {
            return make(plan).await;
        }
        match make(plan.clone()).await {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {}
            made => return made,
        }
        let (shape, oldest) = executors.remove(0);
        let oldest = oldest.into_plan();
        let made = make(plan).await;
        if made.is_err()
            && let Ok(oldest) = make(oldest).await
        {
            executors.insert(0, (shape, oldest));
        }
        made
    }
}

/// The quickest methods that an earlier process has found on a device like this. There are none in a browser.
fn tuned_before(gpu: &GpuContext, dtype: DType) -> Choices {
    #[cfg(not(target_arch = "wasm32"))]
    let choices = crate::tuning::load(gpu, dtype);
    #[cfg(target_arch = "wasm32")]
    let choices = {
        let _ = (gpu, dtype);
        Choices::default()
    };
    choices
}

/// Rejects options that contradict each other.
fn check(options: &Options) -> Result<()> {
    match options.method {
        Some(method) if method.is_winograd() && options.numerics != Numerics::Fast => Err(ErrorRepr::Unsupported {
            what: format!("method {} with numerics {}", method.name(), options.numerics),
            reason: "these numerics exclude Winograd's method: choose another method, or numerics fast".to_owned(),
        }
        .into()),
        Some(method) if options.tuning => Err(ErrorRepr::Unsupported {
            what: format!("method {} with tuning", method.name()),
            reason: "with a forced method there is nothing to tune".to_owned(),
        }
        .into()),
        _ => Ok(()),
    }
}

/// The blob names that `taps` stands for.
///
/// # Errors
/// [`ErrorKind::UnknownTap`].
pub fn tap_names(body: &Body, taps: &Taps) -> Result<Vec<String>> {
    match taps {
        Taps::None => Ok(Vec::new()),
        Taps::Stages => Ok(body.graph.stages().iter().map(|&id| body.graph.blob(id).name.clone()).collect()),
        Taps::Named(names) => {
            for name in names {
                body.graph.find(name)?;
            }
            Ok(names.clone())
        }
    }
}
