//! Planning needs no GPU: costs, memory, limits.

#[path = "plan/memory.rs"]
mod memory;

use resnet3d_wgpu::low_level::dtype::{DType, Format};
use resnet3d_wgpu::low_level::graph::{BlobId, Body, GraphBuilder, Layout, OpKind, Window};
use resnet3d_wgpu::low_level::kernels::{AdapterClass, Compiler, Method, Target};
use resnet3d_wgpu::low_level::plan::{Binding, Plan, PlanLimits, PlanOptions, PlanReport};
use resnet3d_wgpu::{BackboneConfig, ErrorKind, Shape};
use std::collections::{BTreeSet, HashMap};

const CLIP: Shape = Shape::new(1, 3, 8, 224, 224);

fn body(preset: &str) -> Body {
    Body::new(BackboneConfig::preset(preset).unwrap()).unwrap()
}

fn plan(body: &Body, shape: Shape, options: &PlanOptions) -> Plan {
    Plan::new(&body.graph, &[shape], options).unwrap()
}

/// He et al. 2015, Table 1, counts 1.8, 3.6, 3.8, 7.6 and 11.3 billion multiply-adds for 224 x 224 images, with the
/// fully connected layer; parameters without it are exact.
#[test]
fn costs_are_those_of_the_paper() {
    let cases = [
        (r#"{"preset": "r18-conv5", "transformation": "basic", "time_kernel_dim": 1}"#, 1.8e9, 11_176_512),
        (r#"{"preset": "r34-conv5", "time_kernel_dim": 1}"#, 3.6e9, 21_284_672),
        (r#"{"preset": "r50-conv5", "time_kernel_dim": 1}"#, 3.8e9, 23_508_032),
        (r#"{"preset": "r101-conv5", "time_kernel_dim": 1}"#, 7.6e9, 42_500_160),
        (r#"{"preset": "r152-conv5", "time_kernel_dim": 1}"#, 11.3e9, 58_143_808),
    ];
    for (json, macs, parameters) in cases {
        let body = Body::new(BackboneConfig::from_json(json).unwrap()).unwrap();
        for fusion in [true, false] {
            let options = PlanOptions { fusion, ..PlanOptions::default() };
            let got = plan(&body, Shape::new(1, 3, 1, 224, 224), &options).macs() as f64;
            assert!((got / macs - 1.0).abs() < 0.025, "{json}: {got:e} for {macs:e}");
        }
        assert_eq!(body.graph.parameter_count(), parameters, "{json}");
    }
}

/// With a head, the output is not the last blob that is computed. It is delivered all the same, and so is the head if
/// it is tapped.
#[test]
fn a_head_is_planned_behind_the_output() {
    let mut model = GraphBuilder::new();
    let data = model.input("data", 3);
    let window = Window { kernel: [3; 3], pad: [1; 3], ..Window::POINTWISE };
    let stage = model.conv_affine_nd(data, "stage", 64, window, 1, true);
    let stage = model.relu(stage);
    let pooled = model.average_pool(stage, "pool5");
    model.linear(pooled, "pred", 400);
    let graph = model.finish(stage);
    let shape = Shape::new(1, 3, 8, 64, 64);
    let cases: [(&[&str], &[&str]); 3] =
        [(&[], &["stage"]), (&["pred"], &["pred", "stage"]), (&["pool5", "pred"], &["pool5", "pred", "stage"])];
    for (taps, want) in cases {
        let taps: Vec<String> = taps.iter().map(|&tap| tap.to_owned()).collect();
        let options = PlanOptions { taps, ..PlanOptions::default() };
        let whole = Plan::new(&graph, &[shape], &options).unwrap();
        // Within a third of the memory, the means are taken over frames that are computed one after the other.
        let limit = whole.peak_bytes() / 3;
        let small = Plan::new(&graph, &[shape], &PlanOptions { memory_limit: Some(limit), ..options }).unwrap();
        assert!(small.peak_bytes() <= limit && small.dispatches() > whole.dispatches());
        for plan in [&whole, &small] {
            let names: Vec<&str> = plan.outputs().iter().map(|output| output.name.as_str()).collect();
            assert_eq!(names, want);
            let read = plan.schedule().iter().flat_map(|item| &item.readbacks).map(|&(port, _)| port);
            assert_eq!(read.collect::<BTreeSet<_>>().len(), want.len());
            let shape_of = |name: &str| {
                let output = plan.outputs().iter().find(|output| output.name == name);
                output.map(|output| plan.shape(output.blob).to_string())
            };
            assert!(shape_of("pred").is_none_or(|shape| shape == "1x400x1x1x1"));
            assert!(shape_of("pool5").is_none_or(|shape| shape == "1x64x1x1x1"));
            assert_eq!(plan.macs(), (shape.t * 64 * 64 * 64 * 3 * 27 + 64 * 400) as u64);
        }
    }
}

/// Replays the dispatches and checks that every blob is still in its buffer when it is read.
#[test]
fn no_blob_is_overwritten_while_it_is_needed() {
    for preset in BackboneConfig::PRESETS {
        let body = body(preset);
        let stages = body.graph.stages().iter().map(|&id| body.graph.blob(id).name.clone());
        let taps: Vec<String> = stages.chain(["pool1".to_owned(), "res3_0_branch2b".to_owned()]).collect();
        for fusion in [true, false] {
            let options = PlanOptions { taps: taps.clone(), fusion, ..PlanOptions::default() };
            let plan = plan(&body, CLIP, &options);
            let graph = plan.graph();
            // An identity's output is its input.
            let root = |mut id: BlobId| {
                while let Some(op) =
                    graph.operators().iter().find(|op| op.output == id && op.kind == OpKind::StopGradient)
                {
                    id = op.inputs[0];
                }
                id
            };
            let mut holds: Vec<Option<BlobId>> = vec![None; plan.memory().buffers().len()];
            let data = graph.inputs()[0];
            let buffers = |blob: BlobId| plan.memory().buffers_of(blob).iter().copied();
            buffers(data).for_each(|buffer| holds[buffer] = Some(data));
            let mut copied = 0;
            for (index, step) in plan.steps().iter().enumerate() {
                let op = &graph.operators()[step.operator];
                for &input in &op.inputs {
                    let kept = buffers(input).all(|buffer| holds[buffer] == Some(root(input)));
                    assert!(kept, "{preset}: {} reads", op.name);
                    assert!(
                        buffers(input).all(|own| buffers(op.output).all(|other| own != other)),
                        "{preset}: {}",
                        op.name
                    );
                }
                buffers(op.output).for_each(|buffer| holds[buffer] = Some(op.output));
                for output in plan.outputs().iter().filter(|output| output.written_by == Some(index)) {
                    let kept = buffers(output.blob).all(|buffer| holds[buffer] == Some(root(output.blob)));
                    assert!(kept, "{preset}: {}", output.name);
                    copied += 1;
                }
                let room: u64 = buffers(op.output).map(|buffer| plan.memory().buffers()[buffer]).sum();
                assert!(plan.shape(op.output).bytes() <= room, "{preset}: {}", op.name);
            }
            assert_eq!(copied, taps.len(), "{preset}: every output is copied out");
            let inputs_of = |op: usize| &graph.operators()[op].inputs;
            let residual = plan.steps().iter().filter(|step| inputs_of(step.operator).len() == 2);
            for step in residual {
                let [a, b] = inputs_of(step.operator)[..] else { unreachable!() };
                assert!(buffers(a).all(|own| buffers(b).all(|other| own != other)), "input and residual");
            }
        }
    }
}

#[test]
fn grids_stay_within_what_adapters_take() {
    let body = body("r18-conv4");
    for shape in [CLIP, Shape::new(1, 3, 16, 720, 1280)] {
        // Without fusion, the clip is converted to channels-last, with an invocation for each position.
        for (kernel, fusion) in [(Method::by_name("conv_direct_4x8"), true), (None, false)] {
            let options = PlanOptions { forced: kernel, fusion, ..PlanOptions::default() };
            let plan = plan(&body, shape, &options);
            for step in plan.steps() {
                let grids = step.dispatches.iter().map(|dispatch| dispatch.launch.grid);
                for grid in grids {
                    assert!(grid.x <= 65_535 && grid.y <= 65_535, "{grid:?}");
                }
            }
            if shape != CLIP {
                assert!(plan.steps().iter().any(|step| step.dispatches[0].launch.grid.y > 1), "nothing folded");
            }
        }
    }
}

#[test]
fn what_exceeds_the_adapter_is_named() {
    let body = body("r18-conv4");
    let lavapipe = PlanLimits { max_binding_bytes: 128 << 20, ..PlanLimits::default() };
    let limited = |limits: PlanLimits, taps: &[&str], shape: Shape| {
        let taps = taps.iter().map(|&tap| tap.to_owned()).collect();
        let options = PlanOptions { limits, taps, ..PlanOptions::default() };
        Plan::new(&body.graph, &[shape], &options)
    };
    let wide = Shape::new(1, 3, 1, 2000, 2000);
    assert!(limited(lavapipe, &["conv1"], wide).is_ok() && limited(lavapipe, &[], CLIP).is_ok());
    // As a tap, conv1 exists as a blob; otherwise only its pooled values do. Four rows of pool1 need nine rows of
    // conv1, and the convolution after pool1 computes tiles of 4x4 by Winograd's method.
    let endless = Shape::new(1, 3, 1, 40, 600_000);
    let error = limited(lavapipe, &["conv1"], endless).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(error.subject(), Some("blob conv1 (1x64x1x20x300000), 9 rows of 1 frame of it at once,"));
    assert_eq!((error.needed_bytes(), error.limit_bytes()), (Some(9 * 64 * 300_000 * 4), Some(128 << 20)));
    assert_eq!(error.limit_name(), Some("binding"));
    let small_buffers = PlanLimits { max_buffer_bytes: 64 << 20, ..PlanLimits::default() };
    assert!(limited(small_buffers, &["conv1"], wide).is_ok());
    assert_eq!(limited(small_buffers, &["conv1"], endless).unwrap_err().limit_name(), Some("buffer"));
    let tiny = PlanLimits { max_binding_bytes: 64 << 10, ..PlanLimits::default() };
    let error = limited(tiny, &[], Shape::new(1, 3, 8, 32, 32)).unwrap_err().to_string();
    assert!(error.contains("the weight of res2_0_branch2b needs 147456 bytes"), "{error}");
    let error = limited(lavapipe, &["res3_1_sums"], CLIP).unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::UnknownTap, Some("res3_1_sums")), "{error}");
    let narrow = PlanLimits { max_groups: 4, ..PlanLimits::default() };
    let error = limited(narrow, &[], CLIP).unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Kernel, Some("conv1")), "{error}");
}

#[test]
fn inputs_that_do_not_suit_are_named() {
    let body = body("r18-conv4");
    let error = |shape: Shape| Plan::new(&body.graph, &[shape], &PlanOptions::default()).unwrap_err().to_string();
    assert!(error(Shape::new(1, 4, 8, 64, 64)).contains("wanted shape Nx3xTxHxW (3 channels), got 1x4x8x64x64"));
    assert!(error(Shape::new(1, 3, 0, 64, 64)).contains("zero axis"));
    assert!(error(Shape::new(1, 3, 100_000, 4096, 4096)).contains("2^30"));

    let mut model = GraphBuilder::new();
    let data = model.input("data", 4);
    let window = Window { kernel: [1, 5, 5], ..Window::POINTWISE };
    let out = model.conv_nd(data, "conv", 4, window, 1);
    let graph = model.finish(out);
    let error = Plan::new(&graph, &[Shape::new(1, 4, 1, 3, 3)], &PlanOptions::default()).unwrap_err();
    assert!(error.to_string().contains("does not fit"), "{error}");

    let mut model = GraphBuilder::new();
    let [a, b] = [model.input("a", 4), model.input("b", 4)];
    let out = model.sum(a, b, Some("sum"));
    let graph = model.finish(out);
    let shapes = [Shape::new(1, 4, 1, 3, 3), Shape::new(1, 4, 1, 3, 4)];
    let error = Plan::new(&graph, &shapes, &PlanOptions::default()).unwrap_err();
    assert!(error.to_string().contains("addend b: wanted shape 1x4x1x3x3, got 1x4x1x3x4"), "{error}");
}

/// A clip's features do not depend on its batch, so neither do the methods that compute them.
#[test]
fn methods_are_chosen_for_a_single_clip() {
    for preset in BackboneConfig::PRESETS {
        let body = body(preset);
        for subgroup_size in [Some(8), None] {
            let target = Target { subgroup_size, ..Target::typical(AdapterClass::Software) };
            for shape in [Shape::new(1, 3, 3, 64, 96), Shape::new(1, 3, 4, 112, 112)] {
                let methods = |n: usize| -> Vec<Method> {
                    let options = PlanOptions { target, ..PlanOptions::default() };
                    let plan = plan(&body, Shape { n, ..shape }, &options);
                    plan.steps().iter().map(|step| step.method).collect()
                };
                let alone = methods(1);
                assert!([2, 5, 32].into_iter().all(|n| methods(n) == alone), "{preset} {shape} {target:?}");
            }
        }
    }
}

#[test]
fn the_report_adds_up() {
    let config = BackboneConfig::r18_conv4();
    let body = Body::new(&config).unwrap();
    for target in Target::all_typical() {
        let plan = plan(&body, CLIP, &PlanOptions { target, ..PlanOptions::default() });
        let report = PlanReport::new(&config, &body, &plan);
        assert_eq!(report.macs, report.ops.iter().map(|op| op.macs).sum::<u64>());
        // 30.25 GFLOP at two for a multiply-add.
        assert_eq!(report.macs, 15_125_053_440);
        assert_eq!(report.params, 4_857_152);
        let by = |prefix: &str| {
            report.ops.iter().filter(|op| op.kernel.is_some_and(|name| name.starts_with(prefix))).count()
        };
        let in_domain = by("winograd_4x4_gemm");
        // On a GPU, the Winograd domain is not worth its memory traffic for the 1x3x3 convolutions of res2.
        let fused = by("winograd_2x2_fused");
        assert_eq!((in_domain, fused), if target.class == AdapterClass::Software { (6, 0) } else { (4, 2) });
        let dispatches = report.ops.len() + 2 * in_domain + 1;
        // Winograd's method has three dispatches, and a layout conversion follows the last layer. For a software
        // adapter, the workspaces are cut to need less memory.
        match target.class {
            AdapterClass::Software => assert!(report.dispatches > dispatches),
            AdapterClass::Gpu => assert_eq!(report.dispatches, dispatches),
        }
        assert_eq!(report.memory.scratch_bytes > 0, in_domain > 0);
        assert_eq!(report.memory.peak_bytes, report.memory.buffers.iter().map(|b| b.bytes).sum::<u64>());
        assert!(report.ops.iter().all(|op| op.buffer < report.memory.buffers.len()));
        assert_eq!(report.ops.last().unwrap().output, "res4_1_sum");
        assert_eq!(report.ops.last().unwrap().shape, Shape::new(1, 256, 8, 14, 14));
    }
}

/// The work of a step, counted by hand for kernels with and without padding.
#[test]
fn work_is_counted_from_the_dispatches() {
    struct Case {
        method: &'static str,
        input: Shape,
        dim_out: usize,
        kernel: [usize; 3],
        macs: u64,
        /// Values of four bytes: input, weights, bias, workspaces (written and read), output.
        values: u64,
    }
    let res2 = Shape::new(1, 64, 8, 56, 56);
    let odd = Shape::new(2, 6, 3, 5, 5);
    let f4 = 36 * 8 * 14 * 14 * 64;
    let cases = [
        // 25,088 positions are a multiple of 32 and of 512, and 64 channels are a whole block: nothing is padded.
        Case {
            method: "conv_gemm_subgroup_64x4",
            input: res2,
            dim_out: 64,
            kernel: [1, 1, 1],
            macs: 25_088 * 64 * 64,
            values: 2 * 25_088 * 64 + 64 * 64 + 64,
        },
        // 6,272 tiles of 2x2, a multiple of 32, with 16 products each; no workspaces.
        Case {
            method: "winograd_2x2_fused",
            input: res2,
            dim_out: 64,
            kernel: [1, 3, 3],
            macs: 16 * 6_272 * 64 * 64,
            values: 2 * 25_088 * 64 + 16 * 64 * 64 + 64,
        },
        // 1,568 tiles of 4x4, a multiple of 32, with 36 products each.
        Case {
            method: "winograd_4x4_gemm_subgroup_64x4",
            input: res2,
            dim_out: 64,
            kernel: [1, 3, 3],
            macs: f4 * 64,
            values: 2 * 25_088 * 64 + 36 * 64 * 64 + 2 * 64 + 4 * f4,
        },
        // 150 positions are padded to 512, 10 channels to 16, and 6 to 8.
        Case {
            method: "conv_gemm_16x8",
            input: odd,
            dim_out: 10,
            kernel: [3, 3, 3],
            macs: 512 * 16 * 27 * 8,
            values: 150 * (8 + 12) + 16 * 27 * 8 + 16,
        },
        // Three tiles of 64 positions; 27 taps of two channel vectors are 54 k indices, staged by fours.
        Case {
            method: "conv_gemm_tiled",
            input: odd,
            dim_out: 10,
            kernel: [3, 3, 3],
            macs: 3 * 64 * 64 * 56 * 4,
            values: 150 * (8 + 12) + 64 * 27 * 8 + 64,
        },
        // The same, with twice the invocations.
        Case {
            method: "conv_gemm_tiled_compact",
            input: odd,
            dim_out: 10,
            kernel: [3, 3, 3],
            macs: 3 * 64 * 64 * 56 * 4,
            values: 150 * (8 + 12) + 64 * 27 * 8 + 64,
        },
        // The same, with four times the invocations.
        Case {
            method: "conv_gemm_tiled_sliced",
            input: odd,
            dim_out: 10,
            kernel: [3, 3, 3],
            macs: 3 * 64 * 64 * 56 * 4,
            values: 150 * (8 + 12) + 64 * 27 * 8 + 64,
        },
        // Two tiles of 128 positions, and k indices staged by twos.
        Case {
            method: "conv_gemm_tiled_wide",
            input: odd,
            dim_out: 10,
            kernel: [3, 3, 3],
            macs: 2 * 128 * 64 * 54 * 4,
            values: 150 * (8 + 12) + 64 * 27 * 8 + 64,
        },
        // Rows of 5 need two tiles of four columns; 10 channels need two tiles of eight.
        Case {
            method: "conv_direct_4x8",
            input: odd,
            dim_out: 10,
            kernel: [3, 3, 3],
            macs: 2 * 3 * 5 * 8 * 16 * 27 * 6,
            values: 150 * (8 + 12) + 16 * 27 * 6 + 16,
        },
    ];
    for Case { method, input, dim_out, kernel, macs, values } in cases {
        let mut model = GraphBuilder::new();
        let data = model.input("data", input.c);
        let window = Window { kernel, pad: kernel.map(|k| k / 2), ..Window::POINTWISE };
        let blob = model.conv_affine_nd(data, "conv", dim_out, window, 1, false);
        let graph = model.finish(blob);
        let forced = Method::by_name(method);
        // For a GPU target, the work of a step is not split.
        let target = Target { subgroup_size: Some(8), ..Target::typical(AdapterClass::Gpu) };
        let plan = Plan::new(&graph, &[input], &PlanOptions { forced, target, ..PlanOptions::default() }).unwrap();
        let step = plan.steps().iter().find(|step| Some(step.method) == forced).unwrap();
        assert_eq!((plan.step_macs(step), plan.step_bytes(step)), (macs, values * 4), "{method}");
        let conversion = &plan.steps()[0];
        assert_eq!(plan.step_macs(conversion), 0);
        let (planar, padded) = (input.bytes(), Shape { c: input.c.next_multiple_of(4), ..input }.bytes());
        assert_eq!(plan.step_bytes(conversion), planar + padded, "{method}");
    }
}

/// The longest kernels take FXC several times as long as the others, whatever GPU it compiles for.
#[test]
fn fxc_is_given_what_it_compiles_soonest() {
    let kernels = |compiler| {
        let target = Target { subgroup_size: None, compiler, ..Target::large_gpu() };
        let options = PlanOptions { target, ..PlanOptions::default() };
        let clip = Shape::new(1, 3, 8, 224, 224);
        let presets: Vec<Plan> =
            BackboneConfig::PRESETS.iter().map(|preset| plan(&body(preset), clip, &options)).collect();
        let steps = presets.iter().flat_map(|plan| plan.steps());
        let launches = steps.flat_map(|step| &step.dispatches).map(|dispatch| dispatch.launch.kernel.name());
        launches.collect::<BTreeSet<&str>>()
    };
    let long = |name: &&str| {
        let tiled = name.contains("tiled") || name.contains("fused");
        name.contains("projected") || name.contains("16x8") || tiled && !name.contains("compact")
    };
    assert_eq!(kernels(Compiler::Fxc).into_iter().filter(long).collect::<Vec<_>>(), [""; 0]);
    assert!(kernels(Compiler::Dxc).iter().filter(|name| long(name)).count() > 3, "which others get");
}

#[test]
fn split_plans_do_no_less() {
    let body = body("r18-conv4");
    let whole = plan(&body, Shape::new(4, 3, 32, 64, 64), &PlanOptions::default());
    let limits = PlanLimits { max_binding_bytes: 7 << 20, ..PlanLimits::default() };
    let split = plan(&body, Shape::new(4, 3, 32, 64, 64), &PlanOptions { limits, ..PlanOptions::default() });
    assert!(split.micro_batches() > 1 && split.steps().iter().any(|step| step.slices() > 1));
    assert_eq!(whole.steps().len(), split.steps().len());
    for (a, b) in whole.steps().iter().zip(split.steps()) {
        assert_eq!(a.method, b.method);
        assert!(whole.step_macs(a) <= split.step_macs(b) && whole.step_bytes(a) <= split.step_bytes(b));
    }
}

/// Bytes add up by number format: a blob states its format, and a method states the formats of its constants and
/// workspaces.
#[test]
fn bytes_are_those_of_the_number_formats() {
    let mut whole = 0;
    let bytes = |values: HashMap<DType, usize>| values.into_iter().map(|(dtype, len)| dtype.bytes_of(len)).sum::<u64>();
    for (preset, target, dtype) in BackboneConfig::PRESETS.iter().flat_map(|preset| {
        Target::all_typical().flat_map(move |target| DType::ALL.iter().map(move |&dtype| (preset, target, dtype)))
    }) {
        let plan = plan(&body(preset), CLIP, &PlanOptions { target, dtype, ..PlanOptions::default() });
        let graph = plan.graph();
        let (mut blobs, mut constants, mut is_whole) = (HashMap::new(), HashMap::new(), true);
        for (id, storage) in plan.storages() {
            let (blob, shape) = (graph.blob(id), plan.shape(id));
            let (channels, format) = match blob.layout {
                Layout::Planar => (shape.c, DType::HOST),
                Layout::ChannelsLast => (shape.c.next_multiple_of(4), plan.dtype()),
            };
            assert_eq!(blob.dtype, format, "{preset}: {}", blob.name);
            // The extents of a blob may overlap.
            is_whole &= storage.extents().len() == 1;
            // An identity's output is its input.
            if !graph.operators().iter().any(|op| op.output == id && op.kind == OpKind::StopGradient) {
                *blobs.entry(blob.dtype).or_default() += Shape { c: channels, ..shape }.len();
            }
        }
        if is_whole {
            whole += 1;
            assert_eq!(plan.memory().unshared_bytes(), bytes(blobs), "{preset}");
            let outside = graph.inputs().iter().copied().chain(plan.outputs().iter().map(|output| output.blob));
            let outside: usize = outside.map(|id| plan.shape(id).len()).sum();
            let staged = plan.uploads().buffers().iter().chain(plan.readbacks().buffers()).sum::<u64>();
            assert_eq!(staged, DType::HOST.bytes_of(outside), "{preset}");
        }
        for step in plan.steps() {
            let op = &graph.operators()[step.operator];
            let lens = step.method.constant_lens(&op.kind, plan.shape(op.output).c);
            for (index, len) in lens.into_iter().enumerate() {
                *constants.entry(step.method.constant_format(index).of(plan.dtype())).or_default() += len;
            }
        }
        assert_eq!(plan.weight_bytes(), bytes(constants), "{preset}");
        for workspace in plan.scratch() {
            assert!(workspace.bytes.is_multiple_of(workspace.dtype.bytes_of(4)), "{preset}: {workspace:?}");
        }
    }
    assert!(whole > 5, "{whole} plans have every blob in one piece");
}

/// What is bound has the number format that the kernel states for its operand.
#[test]
fn operands_have_the_number_formats_of_their_kernels() {
    let mut kernels = BTreeSet::new();
    let methods: Vec<Option<Method>> = Method::all().map(Some).chain([None]).collect();
    let body = body("r50-conv4");
    for target in [Target::typical(AdapterClass::Software), Target::large_gpu()] {
        for (&forced, fusion) in methods.iter().flat_map(|method| [(method, true), (method, false)]) {
            let options = PlanOptions { target, forced, fusion, ..PlanOptions::default() };
            let plan = plan(&body, Shape::new(1, 3, 4, 32, 32), &options);
            for step in plan.steps() {
                // One of the blobs that a conversion binds is at the edge of the graph.
                if plan.graph().operators()[step.operator].kind == OpKind::Layout {
                    continue;
                }
                for dispatch in &step.dispatches {
                    let launch = &dispatch.launch;
                    kernels.insert(launch.kernel.name());
                    for (index, binding) in dispatch.bindings.iter().enumerate() {
                        // A second binding of the same region stands in for an absent operand, and is not read.
                        if dispatch.bindings[..index].contains(binding) {
                            continue;
                        }
                        let wanted = match launch.format {
                            Format::Plan => launch.kernel.formats()[index],
                            Format::F32 => Format::F32,
                        };
                        let bound = match *binding {
                            Binding::Blob { blob, .. } => match plan.graph().blob(blob).layout {
                                Layout::Planar => Format::F32,
                                Layout::ChannelsLast => Format::Plan,
                            },
                            Binding::Constant(index) => step.method.constant_format(index),
                            Binding::Scratch { .. } => Format::F32,
                        };
                        assert_eq!(wanted, bound, "{} binding {}", launch.kernel.name(), index + 1);
                    }
                }
            }
        }
    }
    assert!(kernels.len() > 20, "{kernels:?}");
}
