//! One plan on one device. All objects are created once; a run uploads, records, submits and reads back.

use super::GpuContext;
use super::answers::Answers;
use super::constants::{Constants, Packed};
use super::flight::{Flight, SubmittedRun, Ticket};
use super::parallel;
use super::pipelines::{ShaderChecks, ShaderPatch};
use super::profile::{Timestamps, Timing, timed_passes};
use super::recording::{Io, Recording, passes};
use super::resource::{Resource, empty_buffer, filled_buffer, filling};
use super::staging::StagingSet;
use crate::dtype::DType;
use crate::error::{ErrorRepr, Result};
use crate::graph::BlobId;
use crate::kernels::{Grid, Kernel, Workspace};
use crate::plan::{Binding, Command, Dispatch, Plan};
use crate::weights::Weights;
use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;

/// The number of staging sets. While one run computes, the host writes the clip of another, or reads its outputs.
const STAGING_SETS: usize = 2;

/// A dispatch with its bind group.
#[derive(Debug)]
pub(super) struct BoundDispatch {
    pub pipeline: wgpu::ComputePipeline,
    pub bind_group: wgpu::BindGroup,
    pub grid: Grid,
}

/// A plan, ready to run.
///
/// Two runs may be in flight, each with its staging set. They share the buffers of activations, since a device executes
/// submissions in order.
#[derive(Debug)]
pub struct Executor {
    gpu: GpuContext,
    plan: Arc<Plan>,
    commands: Vec<Command>,
    /// The step of each compute pass, without and with timing by step.
    passes: Arc<[usize]>,
    passes_by_step: Arc<[usize]>,
    activations: Vec<wgpu::Buffer>,
    /// The workspaces by index; `None` for those that no dispatch uses.
    scratch: Vec<Option<Resource>>,
    /// Kept alive as long as this executor.
    _constants: Vec<Arc<Packed>>,
    /// By step of the plan.
    dispatches: Vec<Vec<BoundDispatch>>,
    uniforms: wgpu::Buffer,
    /// Staging sets that no run uses.
    idle: Vec<StagingSet>,
    /// The number of staging sets that exist.
    sets: usize,
    /// Runs that use a staging set, the oldest first.
    flights: VecDeque<Arc<Flight>>,
    failed: Arc<AtomicBool>,
}

impl Executor {
    /// Creates pipelines, buffers and bind groups for `plan`, and uploads the weights that `constants` lacks.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory);
    /// [`ErrorKind::DeviceLost`](crate::ErrorKind::DeviceLost); [`ErrorKind::Device`](crate::ErrorKind::Device) if the
    /// device refuses, or a shader does not compile; the errors of [`Weights::get`] if `weights` are another network's.
    pub async fn new_async(
        gpu: &GpuContext,
        plan: Plan,
        weights: &Weights,
        constants: &mut Constants,
        checks: ShaderChecks,
        patch: Option<ShaderPatch>,
    ) -> Result<Self> {
        let plan = Arc::new(plan);
        // Each in a separate scope, so that nothing more is allocated once memory runs out, and nothing uses a buffer
        // that failed.
        let mut activations = Vec::new();
        for (index, &bytes) in plan.memory().buffers().iter().enumerate() {
            let make = || Ok(empty_buffer(gpu, &format!("resnet3d.activation{index}"), bytes));
            activations.push(gpu.scoped(make).result().await?);
        }
        let mut scratch = Vec::new();
        for (index, &Workspace { memory, dtype, bytes }) in plan.scratch().iter().enumerate() {
            let make = || Ok(Resource::empty(gpu, &format!("resnet3d.scratch{index}"), memory, dtype, bytes));
            scratch.push(if bytes > 0 { Some(gpu.scoped(make).result().await?) } else { None });
        }
        let (params, offsets) = params(gpu, &plan);
        let fill = || filled_buffer(gpu, "resnet3d.params", wgpu::BufferUsages::UNIFORM, &params);
        let uniforms = gpu.scoped(fill).result().await?;

        let kernels =
            plan.steps().iter().flat_map(|step| &step.dispatches).map(|dispatch| pipeline_key(&plan, dispatch));
        let kernels: HashSet<(Kernel, DType)> = kernels.collect();
        let (compiling, packing) = parallel::both(
            || gpu.pipelines.compile(gpu, &kernels, checks, patch),
            || constants.pack(gpu, &plan, weights),
        );
        // Both finish even if one has failed, so that compiled pipelines are kept.
        let pipelines = compiling.finish().await;
        let packed = constants.keep(packing).await;
        let (pipelines, packed) = (pipelines?, packed?);

        let bind = || {
            let mut offsets = offsets.into_iter();
            let dispatches = plan.steps().iter().zip(&packed).map(|(step, constants)| {
                let label = format!("resnet3d.{}", plan.graph().operators()[step.operator].name);
                let bound = step.dispatches.iter().zip(&mut offsets).map(|(dispatch, offset)| {
                    let pipeline = &pipelines[&pipeline_key(&plan, dispatch)];
                    let uniform = wgpu::BufferBinding {
                        buffer: &uniforms,
                        offset,
                        size: wgpu::BufferSize::new(dispatch.launch.params.len() as u64),
                    };
                    let operands = dispatch.bindings.iter().map(|binding| match *binding {
                        Binding::Constant(index) => constants.part(dispatch.part)[index].binding(None),
                        Binding::Blob { blob, chunk, offset, bytes, .. } => {
                            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                                buffer: &activations[plan.memory().buffers_of(blob)[chunk]],
                                offset,
                                size: wgpu::BufferSize::new(bytes),
                            })
                        }
                        Binding::Scratch { index, bytes } => {
                            let workspace = scratch[index].as_ref();
                            workspace.expect("a workspace that is bound has bytes").binding(Some(bytes))
                        }
                    });
                    let resources = std::iter::once(wgpu::BindingResource::Buffer(uniform)).chain(operands);
                    let entries: Vec<_> = (0..)
                        .zip(resources)
                        .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
                        .collect();
                    let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                        label: Some(&label),
                        layout: &pipeline.layout,
                        entries: &entries,
                    });
                    BoundDispatch { pipeline: pipeline.pipeline.clone(), bind_group, grid: dispatch.launch.grid }
                });
                bound.collect::<Vec<_>>()
            });
            Ok((dispatches.collect::<Vec<_>>(), StagingSet::new(gpu, &plan)))
        };
        let (dispatches, staging) = gpu.scoped(bind).result().await?;
        let commands = plan.commands();
        let executor = Self {
            gpu: gpu.clone(),
            passes: passes(&commands, Timing::Off).into(),
            passes_by_step: passes(&commands, Timing::Layers).into(),
            commands,
            activations,
            scratch,
            _constants: packed,
            dispatches,
            uniforms,
            idle: vec![staging],
            sets: 1,
            flights: VecDeque::new(),
            failed: Arc::default(),
            plan,
        };
        let rehearse = || {
            // This also executes the uploads of weights, which wgpu has staged.
            gpu.queue.submit([executor.rehearsal()]);
            let answers = Answers::default();
            answers.ask_for_the_end(&gpu.queue);
            Ok(answers)
        };
        let answers = gpu.scoped(rehearse).result().await?;
        match poll_fn(|task| answers.poll(gpu, task)).await {
            // OpenGL does not report a buffer without memory, nor the device that is lost for it.
            Ok(()) => gpu.alive().await.map(|()| executor),
            Err(error) => Err(gpu.explained(error).await),
        }
    }

    /// Runs one workgroup of every pipeline. lavapipe compiles a shader when it first runs, and other drivers may defer
    /// work too. Later runs overwrite what it writes.
    fn rehearsal(&self) -> wgpu::CommandBuffer {
        let label = Some("resnet3d.rehearsal");
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes: None });
        let planned = self.plan.steps().iter().flat_map(|step| &step.dispatches);
        let mut seen = HashSet::new();
        for (planned, dispatch) in planned.zip(self.dispatches.iter().flatten()) {
            if !seen.insert(pipeline_key(&self.plan, planned)) {
                continue;
            }
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
        drop(pass);
        encoder.finish()
    }

    /// The plan that it runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The plan, for callers that no longer need the executor.
    pub fn into_plan(self) -> Plan {
        Arc::unwrap_or_clone(self.plan)
    }

    /// The commands of a run, in order.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// Whether a run has failed. No later run can succeed then.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Bytes on the device without weights: activations, workspaces, parameters, staging.
    pub fn bytes(&self) -> u64 {
        let buffers = self.activations.iter().chain([&self.uniforms]).map(wgpu::Buffer::size);
        let workspaces = self.scratch.iter().flatten().map(Resource::bytes);
        buffers.chain(workspaces).sum::<u64>() + self.sets as u64 * StagingSet::bytes(&self.plan)
    }

    /// Fills all activation buffers and workspaces with `value`, for tests that a run does not depend on their
    /// contents.
    pub(super) async fn fill(&self, value: f32) -> Result<()> {
        let fill = || {
            for buffer in &self.activations {
                self.gpu.queue.write_buffer(buffer, 0, &filling(value, buffer.size()));
            }
            for workspace in self.scratch.iter().flatten() {
                workspace.fill(&self.gpu, value);
            }
            self.gpu.queue.submit([]);
            Ok(())
        };
        self.gpu.scoped(fill).result().await?;
        self.gpu.alive().await
    }

    /// Starts a run of the plan on `inputs`: the NCTHW values of the graph's inputs that the caller feeds, in order. If
    /// two runs are in flight, it waits for the older one first.
    ///
    /// After an error of the device no later run succeeds, since buffers may still be waiting to be mapped. Make a new
    /// executor.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if an input has the wrong number of values;
    /// [`ErrorKind::DeviceLost`](crate::ErrorKind::DeviceLost), or [`ErrorKind::Device`](crate::ErrorKind::Device) if
    /// the device fails otherwise.
    pub async fn submit_async(&mut self, inputs: &[&[f32]], timing: Timing) -> Result<Ticket> {
        self.check(inputs)?;
        let mut set = self.staging().await?;
        let (gpu, plan) = (self.gpu.clone(), Arc::clone(&self.plan));
        let passes = match timing {
            Timing::Layers => Arc::clone(&self.passes_by_step),
            Timing::Off | Timing::Total => Arc::clone(&self.passes),
        };
        let failed = Arc::clone(&self.failed);
        let start = || {
            let timed = timed_passes(passes.len(), timing == Timing::Layers);
            if timing != Timing::Off && set.timestamps.as_ref().is_none_or(|known| known.passes() < timed) {
                set.timestamps = Timestamps::new(&gpu, timed);
            }
            set.write(&gpu, &plan, inputs)?;
            let submission = self.record_and_submit(&set, timing);
            let run = SubmittedRun { gpu: gpu.clone(), plan: Arc::clone(&plan), submission, timing, passes, failed };
            Ok(Flight::new(run, set))
        };
        let started = gpu.scoped(start);
        // Stored before anything is awaited, so that dropping this future does not drop the run.
        self.flights.extend(started.peek().cloned());
        let started = started.result().await;
        started.map(Ticket).inspect_err(|_| self.failed.store(true, Ordering::Relaxed))
    }

    /// Records a run into a command encoder of the caller. Inputs are copied from buffers of NCTHW f32, one for each of
    /// the graph's inputs that is fed, and [`Plan::outputs`] are copied into other buffers. Nothing is submitted and
    /// nothing waits. A plan with several micro-batches or submissions is recorded into this one encoder too.
    ///
    /// The buffers are large enough for the values and all different. Inputs have the usage
    /// [`wgpu::BufferUsages::COPY_SRC`], outputs [`wgpu::BufferUsages::COPY_DST`]. None is larger than a binding of the
    /// device.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the number of buffers is wrong, or one is too small;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if one is larger than a binding;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if one lacks its usage. After an error nothing is
    /// recorded.
    pub fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: &[&wgpu::Buffer],
        outputs: &[&wgpu::Buffer],
    ) -> Result<()> {
        let fed = &self.plan.graph().inputs()[..self.plan.graph().clips()];
        let returned: Vec<BlobId> = self.plan.outputs().iter().map(|output| output.blob).collect();
        self.check_buffers("inputs", fed, inputs, wgpu::BufferUsages::COPY_SRC)?;
        self.check_buffers("outputs", &returned, outputs, wgpu::BufferUsages::COPY_DST)?;
        self.recording(Io::Buffers { inputs, outputs }, None, Timing::Off).record(encoder, &self.commands);
        Ok(())
    }

    fn check_buffers(
        &self,
        what: &str,
        blobs: &[BlobId],
        buffers: &[&wgpu::Buffer],
        usage: wgpu::BufferUsages,
    ) -> Result<()> {
        if blobs.len() != buffers.len() {
            return Err(ErrorRepr::Shape {
                what: format!("buffers for {what}"),
                wanted: format!("{} of them", blobs.len()),
                given: buffers.len().to_string(),
            }
            .into());
        }
        let limit = self.gpu.plan_limits().max_binding_bytes;
        for (&blob, buffer) in blobs.iter().zip(buffers) {
            let (name, shape) = (&self.plan.graph().blob(blob).name, self.plan.shape(blob));
            let bytes = shape.bytes();
            if bytes > limit {
                let what = format!("blob {name} ({shape}) in a buffer of the caller's");
                return Err(ErrorRepr::Limit { what, needed: bytes, limit, limit_name: "binding" }.into());
            }
            if buffer.size() < bytes {
                return Err(ErrorRepr::Shape {
                    what: format!("the buffer for {name}"),
                    wanted: format!("{shape} ({bytes} bytes)"),
                    given: format!("{} bytes", buffer.size()),
                }
                .into());
            }
            if !buffer.usage().contains(usage) {
                return Err(ErrorRepr::Unsupported {
                    what: format!("the buffer for {name}"),
                    reason: format!("it has the usages {:?}, which lack {usage:?}", buffer.usage()),
                }
                .into());
            }
        }
        Ok(())
    }

    fn check(&self, inputs: &[&[f32]]) -> Result<()> {
        let graph = self.plan.graph();
        let lens = |ids: &[BlobId]| ids.iter().map(|&id| self.plan.shape(id).len()).collect::<Vec<_>>();
        let (wanted, given) =
            (lens(&graph.inputs()[..graph.clips()]), inputs.iter().map(|i| i.len()).collect::<Vec<_>>());
        if wanted != given {
            return Err(ErrorRepr::Shape {
                what: "inputs of the plan".to_owned(),
                wanted: format!("{wanted:?} values"),
                given: format!("{given:?} values"),
            }
            .into());
        }
        Ok(())
    }

    /// A staging set that no run uses: an idle one, a new one if there are fewer than allowed, or the one of the oldest
    /// run after it has finished.
    async fn staging(&mut self) -> Result<StagingSet> {
        self.reclaim();
        if let Some(set) = self.idle.pop() {
            return Ok(set);
        }
        if self.sets < STAGING_SETS {
            let set = self.gpu.scoped(|| Ok(StagingSet::new(&self.gpu, &self.plan))).result().await?;
            self.sets += 1;
            return Ok(set);
        }
        while let Some(oldest) = self.flights.front() {
            poll_fn(|task| oldest.poll(task)).await;
            self.reclaim();
            if let Some(set) = self.idle.pop() {
                return Ok(set);
            }
        }
        Err(self.gpu.fault("an earlier run of this clip shape has failed"))
    }

    /// Takes back the staging of finished runs.
    fn reclaim(&mut self) {
        let waker = std::task::Waker::noop();
        while let Some(flight) =
            self.flights.pop_front_if(|flight| flight.poll(&mut Context::from_waker(waker)).is_ready())
        {
            self.idle.extend(flight.take_staging());
        }
    }

    /// The run that a new run has to wait for: the oldest one, if no staging set is free.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn run_to_wait_for(&mut self) -> Option<Arc<Flight>> {
        self.reclaim();
        (self.idle.is_empty() && self.sets == STAGING_SETS).then(|| self.flights.front().cloned())?
    }

    fn recording<'a>(&'a self, io: Io<'a>, timestamps: Option<&'a Timestamps>, timing: Timing) -> Recording<'a> {
        let passes = if timing == Timing::Layers { &self.passes_by_step } else { &self.passes };
        Recording {
            plan: &self.plan,
            activations: &self.activations,
            dispatches: &self.dispatches,
            io,
            timestamps: timestamps.filter(|_| timing != Timing::Off),
            timing,
            passes: passes.len(),
            recorded: 0,
        }
    }

    /// Records and submits a run, one submission after the other. Returns the last submission.
    fn record_and_submit(&self, set: &StagingSet, timing: Timing) -> wgpu::SubmissionIndex {
        let mut recording = self.recording(Io::Staging(set), set.timestamps.as_ref(), timing);
        let label = Some("resnet3d.forward");
        let mut submitted = self.commands.split_inclusive(|command| *command == Command::Submit).peekable();
        loop {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
            recording.record(&mut encoder, submitted.next().unwrap_or_default());
            let last = submitted.peek().is_none();
            if let Some(timestamps) = recording.timestamps.filter(|_| last) {
                timestamps.resolve(&mut encoder, timed_passes(recording.passes, timing == Timing::Layers));
            }
            let submission = self.gpu.queue.submit([encoder.finish()]);
            if last {
                return submission;
            }
        }
    }
}

/// The key of a dispatch's pipeline: its kernel, and the number format of its values.
fn pipeline_key(plan: &Plan, dispatch: &Dispatch) -> (Kernel, DType) {
    (dispatch.launch.kernel, dispatch.launch.format.of(plan.dtype()))
}

/// The uniform parameters of all dispatches of a plan, and the offset of each dispatch's.
fn params(gpu: &GpuContext, plan: &Plan) -> (Vec<u8>, Vec<u64>) {
    let align = u64::from(gpu.device.limits().min_uniform_buffer_offset_alignment);
    let (mut params, mut offsets) = (Vec::new(), Vec::new());
    for dispatch in plan.steps().iter().flat_map(|step| &step.dispatches) {
        params.resize((params.len() as u64).next_multiple_of(align) as usize, 0);
        offsets.push(params.len() as u64);
        params.extend_from_slice(&dispatch.launch.params);
    }
    (params, offsets)
}
