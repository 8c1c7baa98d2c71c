//! Tuning: its choices are right, remembered, followed, and independent of the batch.

mod common;

use common::{assert_close, contexts, narrow, widen};
use resnet3d_wgpu::low_level::gpu::{ShaderChecks, ShaderPatch};
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::kernels::{Method, Target};
use resnet3d_wgpu::low_level::plan::{Choices, signature};
use resnet3d_wgpu::low_level::plan::{Plan, PlanLimits, PlanOptions};
use resnet3d_wgpu::low_level::tuning::{Setting, tune};
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{BackboneConfig, GpuBackbone, GpuContext, Numerics, Options, Shape};
use std::collections::BTreeSet;

fn methods(plan: &Plan) -> Vec<Method> {
    plan.steps().iter().map(|step| step.method).collect()
}

fn backbone(gpu: &GpuContext, tuning: bool) -> GpuBackbone {
    let (config, weights) = narrow();
    GpuBackbone::new(gpu, &config, &weights, Options::default().tuning(tuning)).unwrap()
}

#[test]
fn a_tuned_network_agrees_and_is_remembered() {
    for gpu in contexts() {
        let directory = tempfile::tempdir().unwrap();
        let gpu = gpu.cached_in(directory.path());
        let clip = random::clip(Shape::new(1, 3, 3, 33, 40), 2).unwrap();
        let want = backbone(&gpu, false).forward(&clip).unwrap();

        let mut first = backbone(&gpu, true);
        let mut heard = Vec::new();
        let tuned = first.tune(clip.shape(), &mut |done, total| heard.push((done, total))).unwrap();
        assert_eq!(heard.len(), tuned.len() + 1);
        assert_eq!(heard.last(), Some(&(tuned.len(), tuned.len())));
        let operators: usize = tuned.iter().map(|own| own.count).sum();
        let convolutions = first.plan(clip.shape()).unwrap();
        let convolutions =
            methods(convolutions).iter().filter(|method| Method::name(**method).contains("gemm")).count();
        assert!(operators >= convolutions && tuned.len() < operators, "{} of {operators} differ", tuned.len());
        for own in &tuned {
            assert!(own.refused.is_empty(), "{own:?}");
            assert!(own.candidates > 3 && own.chosen_ms > 0.0 && own.chosen_ms <= own.table_ms, "{own:?}");
            assert!(own.times.len() == own.candidates && own.times.is_sorted_by(|a, b| a.ms <= b.ms), "{own:?}");
            let time = |method: &str| own.times.iter().find(|timed| timed.method == method).unwrap().ms;
            assert_eq!((time(own.table), time(own.chosen)), (own.table_ms, own.chosen_ms));
            assert!(own.kept || own.chosen != own.table, "{own:?}");
            let plan = first.plan(clip.shape()).unwrap();
            let operators = plan.graph().operators();
            let step = plan.steps().iter().find(|step| operators[step.operator].name == own.operator).unwrap();
            assert_eq!(step.method.name(), if own.kept { own.chosen } else { own.table });
        }
        let got = first.forward(&clip).unwrap();
        assert_close(&got.last().name, &got.last().data, widen(&want.last().data));

        // A second backbone stands for the next process. A batch of the same clips needs no tuning; another shape does.
        let mut second = backbone(&gpu, true);
        let batch = Shape { n: 2, ..clip.shape() };
        assert!(second.tune(batch, &mut |_, _| ()).unwrap().is_empty(), "all is known");
        let chosen = methods(first.plan(clip.shape()).unwrap());
        assert_eq!(methods(second.plan(batch).unwrap()), chosen);
        assert!(!second.tune(Shape::new(1, 3, 3, 33, 64), &mut |_, _| ()).unwrap().is_empty());

        let files: BTreeSet<String> = common::names_in(directory.path());
        let own: Vec<&String> = files.iter().filter(|name| name.ends_with(".json")).collect();
        assert_eq!(own.len(), 1, "{files:?}");
        let path = directory.path().join(own[0]);
        let text = std::fs::read_to_string(&path).unwrap();
        for bad in ["", "{}", &text[..text.len() / 2], &text.replace(&gpu.driver(), "another"), &text.replace('"', "")]
        {
            std::fs::write(&path, bad).unwrap();
            let mut third = backbone(&gpu, true);
            assert!(!third.tune(Shape::new(1, 3, 1, 16, 16), &mut |_, _| ()).unwrap().is_empty());
            assert!(backbone(&gpu, true).forward(&random::clip(Shape::new(1, 3, 1, 16, 16), 1).unwrap()).is_ok());
        }
    }
}

/// A method with a broken shader is never chosen, however fast it is, even if the table prefers it.
#[test]
fn what_is_wrong_does_not_win() {
    let (gpu, (config, weights)) = (contexts().swap_remove(0), narrow());
    let body = Body::new(&config).unwrap();
    let options = PlanOptions { target: gpu.target(), limits: gpu.plan_limits(), ..PlanOptions::default() };
    // The broken shader skips the last row, which makes it faster.
    let patch = ShaderPatch { shader: "winograd_output", from: "< out_h &&", to: "+ 1u < out_h &&" };
    let setting =
        Setting { gpu: &gpu, weights: &weights, options: &options, checks: ShaderChecks::Checked, patch: Some(patch) };
    let mut choices = Choices::default();
    let shape = Shape::new(1, 3, 2, 48, 48);
    let tuned = tune(setting, &body.graph, shape, &mut choices, &mut |_, _| ()).unwrap();
    assert!(!tuned.is_empty() && choices.len() == tuned.len());
    let winograd = |name: &str| name.starts_with("winograd");
    assert!(tuned.iter().any(|own| own.refused.len() > 3), "{tuned:?}");
    for own in &tuned {
        assert!(own.refused.iter().all(|name| winograd(name)) && !winograd(own.chosen), "{own:?}");
    }
    assert!(choices.iter().all(|(_, method)| !winograd(method.name())));
}

/// Winners of a network that may not use Winograd's method do not count for other networks.
#[test]
fn winners_among_fewer_methods_are_not_remembered() {
    let gpu = contexts().swap_remove(0);
    let directory = tempfile::tempdir().unwrap();
    let gpu = gpu.cached_in(directory.path());
    let (config, weights) = narrow();
    let shape = Shape::new(1, 3, 3, 33, 40);
    let options = Options::default().tuning(true).numerics(Numerics::Strict);
    let mut strict = GpuBackbone::new(&gpu, &config, &weights, options).unwrap();
    assert!(!strict.tune(shape, &mut |_, _| ()).unwrap().is_empty());
    assert!(methods(strict.plan(shape).unwrap()).iter().all(|method| !method.is_winograd()));
    assert!(!backbone(&gpu, true).tune(shape, &mut |_, _| ()).unwrap().is_empty(), "all is tried once more");
}

#[test]
fn nothing_is_tuned_unasked() {
    let gpu = contexts().swap_remove(0);
    let directory = tempfile::tempdir().unwrap();
    let mut plain = backbone(&gpu.cached_in(directory.path()), false);
    assert!(plain.tune(Shape::new(1, 3, 1, 16, 16), &mut |_, _| panic!("nothing to do")).unwrap().is_empty());
    plain.prepare(Shape::new(1, 3, 1, 16, 16)).unwrap();
    assert!(common::names_in(directory.path()).iter().all(|name| !name.ends_with(".json")));
}

/// The planner follows the choices that are possible, and ignores the others.
#[test]
fn the_planner_follows_choices_that_can_be() {
    let body = Body::new(BackboneConfig::r18_conv4()).unwrap();
    let shape = Shape::new(1, 3, 4, 64, 64);
    let plan = |options: &PlanOptions, n: usize| Plan::new(&body.graph, &[Shape { n, ..shape }], options).unwrap();
    let table = plan(&PlanOptions::default(), 1);
    let step = table.steps().iter().find(|step| table.graph().operators()[step.operator].name == "res3_1_branch2b");
    let op = &table.graph().operators()[step.unwrap().operator];
    let own = signature(&op.kind, table.shape(op.inputs[0]), table.shape(op.output), table.dtype()).unwrap();
    assert_eq!(own, "f32 conv 3x3x3 stride 1x1x1 pad 1x1x1 dilation 1x1x1 groups 1, 128x4x8x8 to 128x4x8x8, relu");
    let chosen = |name: &str| {
        let mut choices = Choices::default();
        choices.insert(own.clone(), Method::by_name(name).unwrap());
        PlanOptions { choices, ..PlanOptions::default() }
    };
    let of = |plan: &Plan, name: &str| {
        let operators = plan.graph().operators();
        plan.steps().iter().find(|step| operators[step.operator].name == name).unwrap().method.name()
    };
    for n in [1, 4] {
        let followed = plan(&chosen("conv_direct_4x8"), n);
        assert_eq!(of(&followed, "res3_1_branch2b"), "conv_direct_4x8");
        let others = |plan: &Plan| methods(plan).iter().filter(|m| m.name() != "conv_direct_4x8").count();
        assert!(others(&followed) < others(&table), "and nothing else is other");
    }
    // The planner ignores a method that is not for convolutions, one that is not allowed, one that the device lacks,
    // and any choice if a method is forced.
    let default = of(&table, "res3_1_branch2b");
    assert_eq!(of(&plan(&chosen("max_pool"), 1), "res3_1_branch2b"), default);
    let winograd = PlanOptions { numerics: Numerics::NoWinograd, ..chosen("winograd_2x2_gemm_16x8") };
    assert!(!of(&plan(&winograd, 1), "res3_1_branch2b").starts_with("winograd"));
    let no_subgroups = Target { subgroup_size: None, ..PlanOptions::default().target };
    let elsewhere = PlanOptions { target: no_subgroups, ..chosen("conv_gemm_subgroup_64x4") };
    assert!(!of(&plan(&elsewhere, 1), "res3_1_branch2b").contains("subgroup"));
    let forced = PlanOptions { forced: Method::by_name("conv_gemm_16x8"), ..chosen("conv_direct_4x8") };
    assert_eq!(of(&plan(&forced, 1), "res3_1_branch2b"), "conv_gemm_16x8");
    // The transformed weights of one block exceed a binding.
    let small = PlanLimits { max_binding_bytes: 2 << 20, ..PlanLimits::default() };
    let limited = PlanOptions { limits: small, ..chosen("winograd_4x4_gemm_tiled") };
    assert!(!of(&plan(&limited, 1), "res3_1_branch2b").starts_with("winograd_4x4"));
}
