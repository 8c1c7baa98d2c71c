//! The graph has the reference's blob names, operators and parameters, and fusion keeps what it must.

use resnet3d_wgpu::low_level::dtype::DType;
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::graph::fuse::{fuse, fuse_pools, project};
use resnet3d_wgpu::low_level::graph::layout::channels_last;
use resnet3d_wgpu::low_level::graph::{BlobId, Conv, Graph, GraphBuilder, Layout, OpKind, Window};
use resnet3d_wgpu::low_level::plan::{Plan, PlanOptions};
use resnet3d_wgpu::low_level::reference;
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{BackboneConfig, Shape, Weights, stage_info};
use std::collections::HashSet;

fn body(json: &str) -> Body {
    Body::new(BackboneConfig::from_json(json).unwrap()).unwrap()
}

fn outline(graph: &Graph) -> Vec<String> {
    let name = |id: &_| graph.blob(*id).name.as_str();
    let operators = graph.operators().iter();
    operators
        .map(|op| {
            let inputs: Vec<&str> = op.inputs.iter().map(name).collect();
            format!("{} {} -> {}", op.kind.label(), inputs.join(" + "), name(&op.output))
        })
        .collect()
}

fn convs(graph: &Graph) -> impl Iterator<Item = (&str, &Conv)> {
    graph.operators().iter().filter_map(|op| match &op.kind {
        OpKind::Conv(conv) => Some((op.name.as_str(), conv)),
        _ => None,
    })
}

/// A network with a classifier: a stage, the mean of the stage, a weight and a bias, without a scale.
fn head() -> Graph {
    let mut model = GraphBuilder::new();
    let data = model.input("data", 3);
    let stage = model.conv_affine_nd(data, "stage", 8, Window::POINTWISE, 1, true);
    let stage = model.relu(stage);
    let pooled = model.average_pool(stage, "pool5");
    model.linear(pooled, "pred", 5);
    model.finish(stage)
}

#[test]
fn a_head_has_a_weight_and_a_bias() {
    let graph = head();
    let want = [
        "conv data -> stage",
        "affine_channel stage -> stage",
        "relu stage -> stage",
        "average_pool stage -> pool5_frames",
        "average_pool pool5_frames -> pool5",
        "conv pool5 -> pred",
        "bias pred -> pred",
    ];
    assert_eq!(outline(&graph), want);
    let parameters = graph.parameters();
    let names: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["stage_w", "stage_bn_s", "stage_bn_b", "pred_w", "pred_b"]);
    let shapes: Vec<&[usize]> = parameters.iter().map(|p| &p.shape[..]).collect();
    assert_eq!(shapes[3..], [&[5, 8, 1, 1, 1][..], &[5]]);
    assert_eq!(graph.parameter_count(), 3 * 8 + 2 * 8 + 8 * 5 + 5);
    let fused = fuse(&graph, &[]);
    assert_eq!(outline(&fused)[1..], [want[3], want[4], want[5]]);
    assert_eq!(fused.parameters(), parameters);
    // The fused convolution adds the bias, and has no scale.
    let affine = convs(&fused).last().and_then(|(_, conv)| conv.epilogue.affine.as_ref()).unwrap();
    assert_eq!((affine.scale.as_deref(), &affine.bias[..]), (None, "pred_b"));
}

/// Computed by hand: means of means, and the bias added once.
#[test]
fn a_head_is_the_mean_and_a_product() {
    let graph = head();
    let weights = Weights::random_for(&graph, 3);
    let clip = random::clip(Shape::new(2, 3, 4, 3, 5), 3).unwrap();
    let wanted = ["stage", "pool5_frames", "pool5", "pred"].map(|name| graph.find(name).unwrap());
    let blobs = reference::execute(&graph, &[&clip], &weights, &wanted).unwrap();
    let [stage, frames, pooled, scores] = &blobs[..] else { panic!("four blobs") };
    let shapes = [frames, pooled, scores].map(|blob| blob.shape.to_string());
    assert_eq!(shapes, ["2x8x4x1x1", "2x8x1x1x1", "2x5x1x1x1"]);
    for (index, channel) in stage.data.chunks_exact(4 * 15).enumerate() {
        let mean = channel.iter().sum::<f64>() / 60.0;
        assert!((pooled.data[index] - mean).abs() < 1e-12, "{index}");
        let frame = channel[15..30].iter().sum::<f64>() / 15.0;
        assert!((frames.data[index * 4 + 1] - frame).abs() < 1e-12, "{index}");
    }
    let weight = weights.get("pred_w", &[5, 8, 1, 1, 1]).unwrap();
    let bias = weights.get("pred_b", &[5]).unwrap();
    for (index, &score) in scores.data.iter().enumerate() {
        let (clip, class) = (index / 5, index % 5);
        let product = (0..8).map(|c| f64::from(weight[class * 8 + c]) * pooled.data[clip * 8 + c]).sum::<f64>();
        assert!((score - product - f64::from(bias[class])).abs() < 1e-12, "{index}");
    }
}

/// The operators that `add_ResNet_convX_body` adds for one bottleneck block a stage, read off the reference.
#[test]
fn bottleneck_body_reads_like_the_reference() {
    let body = body(r#"{"block_counts": [1, 2, 1], "feat_dims": [8, 8, 16, 32]}"#);
    let want = [
        "conv data -> conv1",
        "affine_channel conv1 -> conv1",
        "relu conv1 -> conv1",
        "max_pool conv1 -> pool1",
        "conv pool1 -> res2_0_branch2a",
        "affine_channel res2_0_branch2a -> res2_0_branch2a",
        "relu res2_0_branch2a -> res2_0_branch2a",
        "conv res2_0_branch2a -> res2_0_branch2b",
        "affine_channel res2_0_branch2b -> res2_0_branch2b",
        "relu res2_0_branch2b -> res2_0_branch2b",
        "conv res2_0_branch2b -> res2_0_branch2c",
        "affine_channel res2_0_branch2c -> res2_0_branch2c_bn",
        "sum res2_0_branch2c_bn + pool1 -> res2_0_sum",
        "relu res2_0_sum -> res2_0_sum",
        "stop_gradient res2_0_sum -> res2_0_sum",
        "conv res2_0_sum -> res3_0_branch2a",
        "affine_channel res3_0_branch2a -> res3_0_branch2a",
        "relu res3_0_branch2a -> res3_0_branch2a",
        "conv res3_0_branch2a -> res3_0_branch2b",
        "affine_channel res3_0_branch2b -> res3_0_branch2b",
        "relu res3_0_branch2b -> res3_0_branch2b",
        "conv res3_0_branch2b -> res3_0_branch2c",
        "affine_channel res3_0_branch2c -> res3_0_branch2c_bn",
        "conv res2_0_sum -> res3_0_branch1",
        "affine_channel res3_0_branch1 -> res3_0_branch1_bn",
        "sum res3_0_branch2c_bn + res3_0_branch1_bn -> res3_0_branch2c_bn",
        "relu res3_0_branch2c_bn -> res3_0_branch2c_bn",
        "conv res3_0_branch2c_bn -> res3_1_branch2a",
    ];
    let got = outline(&body.graph);
    assert_eq!(got[..want.len()], want);
    assert_eq!(got.last().unwrap(), "relu res4_0_sum -> res4_0_sum");
    assert_eq!((body.dim_out, body.spatial_scale), (32, 1.0 / 16.0));
    assert_eq!(body.graph.blob(body.graph.output()).name, "res4_0_sum");
}

#[test]
fn basic_blocks_have_two_convolutions() {
    let body = body(r#"{"transformation": "basic", "block_counts": [1, 1, 1], "feat_dims": [8, 16, 16, 32]}"#);
    let names: Vec<&str> = convs(&body.graph).map(|(name, _)| name).collect();
    let want = [
        "conv1",
        "res2_0_branch2a",
        "res2_0_branch2b",
        "res2_0_branch1",
        "res3_0_branch2a",
        "res3_0_branch2b",
        "res4_0_branch2a",
        "res4_0_branch2b",
        "res4_0_branch1",
    ];
    assert_eq!(names, want);
}

#[test]
fn parameters_come_in_the_reference_s_order() {
    let body = body(r#"{"block_counts": [1, 1, 1], "feat_dims": [4, 6, 8, 10], "width_per_group": 2}"#);
    let parameters = body.graph.parameters();
    let names: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).take(15).collect();
    let want = [
        "conv1_w",
        "res_conv1_bn_s",
        "res_conv1_bn_b",
        "res2_0_branch2a_w",
        "res2_0_branch2a_bn_s",
        "res2_0_branch2a_bn_b",
        "res2_0_branch2b_w",
        "res2_0_branch2b_bn_s",
        "res2_0_branch2b_bn_b",
        "res2_0_branch2c_w",
        "res2_0_branch2c_bn_s",
        "res2_0_branch2c_bn_b",
        "res2_0_branch1_w",
        "res2_0_branch1_bn_s",
        "res2_0_branch1_bn_b",
    ];
    assert_eq!(names, want);
    assert_eq!(parameters[0].shape, [4, 3, 1, 7, 7]);
    let fused = fuse(&body.graph, &[]).parameters();
    let set = |list: &[resnet3d_wgpu::low_level::graph::Parameter]| {
        list.iter().map(|p| p.name.clone()).collect::<HashSet<_>>()
    };
    assert_eq!(set(&fused), set(&parameters), "fusion keeps every parameter");
}

/// Every field of the configuration, and where it shows.
#[test]
fn every_field_reaches_the_convolutions() {
    struct Case {
        json: &'static str,
        conv: &'static str,
        check: fn(&Conv) -> bool,
    }
    let cases = [
        Case { json: "{}", conv: "res2_0_branch2b", check: |c| c.window.kernel == [1, 3, 3] },
        Case {
            json: "{}",
            conv: "res3_0_branch2b",
            check: |c| c.window.kernel == [3, 3, 3] && c.window.pad == [1, 1, 1],
        },
        Case { json: "{}", conv: "res3_0_branch2a", check: |c| c.window.stride == [1, 2, 2] },
        Case { json: "{}", conv: "res3_0_branch1", check: |c| c.window.stride == [1, 2, 2] },
        Case { json: "{}", conv: "res3_1_branch2a", check: |c| c.window.stride == [1, 1, 1] },
        Case { json: r#"{"stride_1x1": false}"#, conv: "res3_0_branch2a", check: |c| c.window.stride == [1, 1, 1] },
        Case { json: r#"{"stride_1x1": false}"#, conv: "res3_0_branch2b", check: |c| c.window.stride == [1, 2, 2] },
        Case { json: r#"{"time_stride_on": true}"#, conv: "res3_0_branch2a", check: |c| c.window.stride == [2, 2, 2] },
        Case { json: r#"{"time_stride_on": true}"#, conv: "res4_0_branch1", check: |c| c.window.stride == [2, 2, 2] },
        Case { json: r#"{"time_stride_on": true}"#, conv: "conv1", check: |c| c.window.stride == [1, 2, 2] },
        Case {
            json: r#"{"time_kernel_dim": 5}"#,
            conv: "res4_1_branch2b",
            check: |c| c.window.kernel == [5, 3, 3] && c.window.pad[0] == 2,
        },
        Case {
            json: r#"{"num_groups": 32, "width_per_group": 4}"#,
            conv: "res2_0_branch2b",
            check: |c| c.groups == 32 && c.dim_in == 128,
        },
        Case {
            json: r#"{"num_groups": 2, "transformation": "basic"}"#,
            conv: "res2_0_branch2a",
            check: |c| c.groups == 1 && c.dim_out == 128,
        },
        Case {
            json: r#"{"num_groups": 2, "transformation": "basic"}"#,
            conv: "res2_0_branch2b",
            check: |c| c.groups == 2 && c.dim_out == 64,
        },
        Case {
            json: r#"{"width_per_group": 16}"#,
            conv: "res4_0_branch2b",
            check: |c| c.dim_in == 64 && c.dim_out == 64,
        },
        Case {
            json: r#"{"preset": "r50-conv5", "dilation": 2}"#,
            conv: "res5_2_branch2b",
            check: |c| c.window.dilation == [1, 2, 2] && c.window.pad == [1, 2, 2],
        },
        Case {
            json: r#"{"preset": "r50-conv5", "dilation": 2}"#,
            conv: "res5_0_branch2a",
            check: |c| c.window.stride == [1, 1, 1],
        },
        Case {
            json: r#"{"preset": "r50-conv5", "dilation": 2}"#,
            conv: "res4_0_branch2b",
            check: |c| c.window.dilation == [1, 1, 1],
        },
        Case {
            json: r#"{"preset": "r34-conv5", "dilation": 2}"#,
            conv: "res5_0_branch2a",
            check: |c| c.window.dilation == [1, 1, 1],
        },
        Case {
            json: r#"{"preset": "r34-conv5", "dilation": 2}"#,
            conv: "res5_0_branch2b",
            check: |c| c.window.dilation == [1, 2, 2],
        },
        Case {
            json: r#"{"preset": "r50-conv4"}"#,
            conv: "res2_0_branch1",
            check: |c| c.window.stride == [1, 1, 1] && c.dim_out == 256,
        },
    ];
    for case in cases {
        let body = body(case.json);
        let conv = convs(&body.graph).find(|(name, _)| *name == case.conv);
        let (_, conv) = conv.unwrap_or_else(|| panic!("{} has no {}", case.json, case.conv));
        assert!((case.check)(conv), "{} {}: {conv:?}", case.json, case.conv);
    }
}

#[test]
fn scales_are_nominal() {
    let scale = |json: &str| body(json).spatial_scale;
    assert_eq!(scale(r#"{"preset": "r50-conv5"}"#), 1.0 / 32.0);
    assert_eq!(scale(r#"{"preset": "r50-conv5", "dilation": 2}"#), 1.0 / 16.0);
    assert_eq!(scale(r#"{"preset": "r50-conv5", "dilation": 4}"#), 1.0 / 8.0);
    assert_eq!(scale(r#"{"preset": "r50-conv4", "dilation": 4}"#), 1.0 / 16.0);
}

#[test]
fn freezing_shows_and_changes_nothing() {
    for (freeze_at, blob) in [(2, "res2_1_sum"), (3, "res3_1_sum"), (4, "res4_1_sum")] {
        let body = body(&format!(r#"{{"freeze_at": {freeze_at}}}"#));
        let stops: Vec<&str> = body
            .graph
            .operators()
            .iter()
            .filter(|op| op.kind == OpKind::StopGradient)
            .map(|op| body.graph.blob(op.output).name.as_str())
            .collect();
        assert_eq!(stops, [blob]);
        let fused = fuse(&body.graph, &[]);
        let stopped: Vec<&String> =
            fused.operators().iter().flat_map(|op| &op.fused).filter(|n| n.ends_with("stop_gradient")).collect();
        assert_eq!(stopped, [&format!("{blob}_stop_gradient")], "fusion keeps saying where the gradient stops");
    }
    assert!(body(r#"{"freeze_at": 0}"#).graph.operators().iter().all(|op| op.kind != OpKind::StopGradient));
}

#[test]
fn the_flagship_has_69_operators_and_22_fused() {
    let body = body("{}");
    assert_eq!((body.graph.operators().len(), fuse(&body.graph, &[]).operators().len()), (69, 22));
}

/// The stem takes over the pooling after it, unless the blob between them is kept.
#[test]
fn a_convolution_takes_over_the_pooling_behind_it() {
    let graph = body("{}").graph;
    let [conv1, pool1] = ["conv1", "pool1"].map(|name| graph.find(name).unwrap());
    let taken = |keep: &[BlobId], takes: bool| {
        let fused = fuse(&graph, keep);
        let keep: Vec<BlobId> = keep.iter().map(|&id| fused.find(&graph.blob(id).name).unwrap()).collect();
        let pooled = fuse_pools(&fused, &keep, |conv, pool| {
            assert_eq!((conv.window.kernel, pool.kernel), ([1, 7, 7], [1, 3, 3]));
            takes
        });
        let stem = &pooled.operators()[0];
        let OpKind::Conv(conv) = &stem.kind else { panic!("{stem:?}") };
        assert_eq!(conv.epilogue.pool.is_some(), pooled.operators().len() == 21);
        assert_eq!(stem.fused.last().map(String::as_str) == Some("pool1"), conv.epilogue.pool.is_some());
        conv.epilogue.pool.is_some()
    };
    assert!(taken(&[], true) && taken(&[pool1], true));
    assert!(!taken(&[], false) && !taken(&[conv1], true));
}

/// Only convolutions of a clip have kernels that also pool.
#[test]
fn pooling_of_what_is_no_clip_stays() {
    let mut model = GraphBuilder::new();
    let data = model.input("data", 3);
    let inner = model.conv_nd(data, "inner", 3, Window::POINTWISE, 1);
    let outer = model.conv_nd(inner, "outer", 3, Window::POINTWISE, 1);
    let pool = model.max_pool(outer, "pool", Window { kernel: [1, 3, 3], ..Window::POINTWISE });
    let graph = model.finish(pool);
    assert_eq!(fuse_pools(&graph, &[], |_, _| true), graph);
}

/// A stem that pools reads the clip as it is. Other stems read a copy, which exists only if it is needed.
#[test]
fn the_clip_is_converted_for_those_who_need_it() {
    let fused = fuse(&body("{}").graph, &[]);
    let pooled = fuse_pools(&fused, &[], |_, _| true);
    for (graph, tapped, before, layout) in [
        (&pooled, false, 0, Layout::Planar),
        // The copy, and its conversion back for the tap.
        (&pooled, true, 2, Layout::Planar),
        (&fused, false, 1, Layout::ChannelsLast),
        (&fused, true, 2, Layout::ChannelsLast),
    ] {
        let taps = if tapped { graph.inputs() } else { &[] };
        let inside = channels_last(graph, taps, DType::F32);
        let conversions = inside.operators().iter().take_while(|op| op.kind == OpKind::Layout).count();
        assert_eq!(conversions, before);
        let stem = &inside.operators()[before];
        assert_eq!(inside.blob(stem.inputs[0]).layout, layout);
        assert_eq!(inside.operators().len(), graph.operators().len() + before + 1);
    }
}

#[test]
fn projections_join_the_convolution_that_adds_them() {
    let count = |json: &str| {
        let fused = fuse(&body(json).graph, &[]);
        fused.operators().len() - project(&fused, &[]).operators().len()
    };
    assert_eq!(count("{}"), 2, "res3_0 and res4_0; res2_0 keeps its width");
    assert_eq!(count(r#"{"preset": "r50-conv5"}"#), 4);
    assert_eq!(count(r#"{"transformation": "basic"}"#), 0, "Winograd's method has no sums to add to");

    let fused = fuse(&body("{}").graph, &[]);
    let projected = project(&fused, &[]);
    assert_eq!(projected.parameters(), body("{}").graph.parameters(), "in the reference's order");
    let op = projected.operators().iter().find(|op| op.name == "res3_0_branch2c").unwrap();
    let names = op.inputs.iter().map(|&id| projected.blob(id).name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["res3_0_branch2b", "res2_1_sum"]);
    let others = ["branch2c_bn", "branch1", "branch1_bn", "branch2c_bn_sum", "branch2c_bn_relu"];
    assert_eq!(op.fused, others.map(|name| format!("res3_0_{name}")));
    let OpKind::Conv(conv) = &op.kind else { panic!("{op:?}") };
    assert_eq!(conv.epilogue.projection.as_ref().unwrap().window.stride, [1, 2, 2]);

    let tapped = project(&fused, &[fused.find("res3_0_branch1_bn").unwrap()]);
    assert_eq!(fused.operators().len() - tapped.operators().len(), 1, "a tapped shortcut has to exist");
}

#[test]
fn every_preset_builds_and_fuses_to_convolutions_alone() {
    for preset in BackboneConfig::PRESETS {
        let body = Body::new(BackboneConfig::preset(preset).unwrap()).unwrap();
        let fused = fuse(&body.graph, &[]);
        let convs = convs(&body.graph).count();
        assert_eq!(fused.operators().len(), convs + 1, "{preset}: every convolution, and pool1");
        let names: HashSet<&str> = body.graph.operators().iter().map(|op| op.name.as_str()).collect();
        assert_eq!(names.len(), body.graph.operators().len(), "{preset}: operator names are unique");
        let absorbed: usize = fused.operators().iter().map(|op| 1 + op.fused.len()).sum();
        assert_eq!(absorbed, body.graph.operators().len(), "{preset}: every operator is accounted for");
    }
}

/// A fused graph computes exactly the values of the original graph, on the CPU in f64, whatever is tapped.
#[test]
fn fusion_keeps_values_and_taps() {
    let config = r#"{"block_counts": [1, 2, 1], "feat_dims": [4, 4, 6, 8], "width_per_group": 2}"#;
    let body = body(config);
    let graph = &body.graph;
    let weights = Weights::random_for(graph, 5);
    let clip = random::clip(Shape::new(1, 3, 3, 17, 22), 5).unwrap();
    let names: HashSet<&str> = graph.blobs().iter().map(|blob| blob.name.as_str()).filter(|n| *n != "data").collect();
    for name in names {
        let id = graph.find(name).unwrap();
        let fused = fuse(graph, &[id]);
        let fused = fuse_pools(&fused, &[fused.find(name).unwrap()], |_, _| true);
        assert!(fused.operators().len() < graph.operators().len());
        let want = reference::execute(graph, &[&clip], &weights, &[id, graph.output()]).unwrap();
        let projected = project(&fused, &[fused.find(name).unwrap()]);
        for fused in [fused, projected] {
            let kept = [fused.find(name).unwrap(), fused.output()];
            let got = reference::execute(&fused, &[&clip], &weights, &kept).unwrap();
            assert!(got == want, "{name}");
        }
    }
}

/// `stage_info_ResNet*` of the reference, checked against the bodies.
#[test]
fn stages_are_told_deepest_first() {
    let narrow = [512, 256, 128, 64];
    let wide = [2048, 1024, 512, 256];
    let cases = [
        ("r18-conv4", [0, 1, 1, 1], narrow),
        ("r18-conv5", [1, 1, 1, 1], narrow),
        ("r34-conv4", [0, 5, 3, 2], narrow),
        ("r34-conv5", [2, 5, 3, 2], narrow),
        ("r50-conv4", [0, 5, 3, 2], wide),
        ("r50-conv5", [2, 5, 3, 2], wide),
        ("r101-conv4", [0, 22, 3, 2], wide),
        ("r101-conv5", [2, 22, 3, 2], wide),
        ("r152-conv5", [2, 35, 7, 2], wide),
    ];
    assert_eq!(cases.map(|(preset, ..)| preset), BackboneConfig::PRESETS);
    for (preset, blocks, dims) in cases {
        let config = BackboneConfig::preset(preset).unwrap();
        let info = stage_info(&config).unwrap();
        let skipped = 4 - config.block_counts.len();
        let wanted = (2..=5).rev().zip(blocks).skip(skipped);
        let wanted: Vec<String> = wanted.map(|(stage, block)| format!("res{stage}_{block}_sum")).collect();
        assert_eq!(info.blobs, wanted, "{preset}");
        assert_eq!(info.dims, dims[skipped..], "{preset}");
        assert_eq!(info.spatial_scales, [1.0 / 32.0, 1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0][skipped..], "{preset}");
        assert_eq!(info.spatial_scales[0], config.spatial_scale());

        let body = Body::new(&config).unwrap();
        let plan = Plan::new(&body.graph, &[Shape::new(1, 3, 2, 224, 224)], &PlanOptions::default()).unwrap();
        for (index, name) in info.blobs.iter().enumerate() {
            let shape = plan.shape(plan.graph().find(name).unwrap());
            let scale = info.spatial_scales[index];
            assert_eq!((shape.c, shape.h as f64), (info.dims[index], 224.0 * scale), "{preset}: {name}");
            assert_eq!(plan.graph().blob(plan.graph().stages()[info.blobs.len() - 1 - index]).name, *name);
        }
    }
    let dilated = BackboneConfig { dilation: 2, ..BackboneConfig::preset("r50-conv5").unwrap() };
    assert_eq!(stage_info(&dilated).unwrap().spatial_scales[0], 1.0 / 16.0);
    let none = BackboneConfig { dilation: 0, ..dilated };
    assert!(stage_info(&none).is_err());
}
