//! Limits on memory, and on the work of one submission.

use super::common::contexts;
use super::replay::{Met, replay};
use super::{GROUPS, Network, ODD, STEM, STRIDES, assert_same, config, limits};
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::kernels::{AdapterClass, Target};
use resnet3d_wgpu::low_level::plan::{Plan, PlanLimits, PlanOptions};
use resnet3d_wgpu::{BackboneConfig, ErrorKind, Shape};

/// The limit is lowered until no plan fits. Until then, every plan is within its limit and computes everything once.
#[test]
fn plans_keep_to_a_limit_on_memory() {
    let lavapipe = PlanLimits { max_binding_bytes: 128 << 20, ..PlanLimits::default() };
    let mut met = Met::default();
    let basic = config(r#"{"transformation": "basic"}"#);
    let wide = [BackboneConfig::r18_conv4(), basic].map(|config| (config, Shape::new(1, 3, 16, 112, 112), lavapipe));
    let high = [(BackboneConfig::r18_conv4(), Shape::new(1, 3, 3, 720, 1280), lavapipe)];
    let narrow = [(ODD, 256), (STRIDES, 32), (GROUPS, 32)];
    let narrow =
        narrow.map(|(json, alignment)| (config(json), Shape::new(2, 3, 13, 60, 40), limits(10_000, 10_000, alignment)));
    for (config, shape, limits) in wide.into_iter().chain(high).chain(narrow) {
        let body = Body::new(&config).unwrap();
        // Without fusion, an identity operator, which stops gradients, joins blobs.
        for (class, fusion) in
            [(AdapterClass::Software, true), (AdapterClass::Gpu, true), (AdapterClass::Software, false)]
        {
            let options = PlanOptions { fusion, limits, target: Target::typical(class), ..PlanOptions::default() };
            let plan =
                |memory_limit| Plan::new(&body.graph, &[shape], &PlanOptions { memory_limit, ..options.clone() });
            let unlimited = plan(None).unwrap();
            let mut peak = unlimited.peak_bytes();
            assert_eq!(plan(Some(peak)).unwrap(), unlimited, "what is within the limit is left as it is");
            let least = loop {
                let limit = peak / 3 * 2;
                match plan(Some(limit)) {
                    Ok(plan) => {
                        assert!(plan.peak_bytes() <= limit, "{} bytes for {limit}", plan.peak_bytes());
                        replay(&plan, &limits);
                        met.count(&plan);
                        peak = plan.peak_bytes();
                    }
                    Err(error) if error.kind() == ErrorKind::MemoryLimit => {
                        let least = error.needed_bytes().unwrap();
                        assert!(
                            error.limit_bytes() == Some(limit) && least > limit && least <= peak,
                            "{least} bytes for {limit}, {peak}"
                        );
                        break least;
                    }
                    Err(error) => panic!("{error}"),
                }
            };
            assert_eq!(plan(Some(least)).unwrap().peak_bytes(), least, "the least that was named is enough");
            println!("{} of {} for {shape}, {}, fusion {fusion}", least, unlimited.peak_bytes(), class.name());
        }
    }
    println!("{met:?}");
    assert!(met.on_demand > 5 && met.bands > 0 && met.micro_batches > 0, "{met:?}");
}

/// A clip that takes more than 2 GiB without a limit.
#[test]
fn high_definition_is_planned_within_a_gibibyte() {
    let lavapipe = PlanLimits { max_binding_bytes: 128 << 20, ..PlanLimits::default() };
    let body = Body::new(BackboneConfig::r18_conv4()).unwrap();
    let shape = Shape::new(1, 3, 64, 720, 1280);
    let options = PlanOptions { limits: lavapipe, memory_limit: Some(1 << 30), ..PlanOptions::default() };
    let plan = Plan::new(&body.graph, &[shape], &options).unwrap();
    replay(&plan, &lavapipe);
    assert!(plan.peak_bytes() <= 1 << 30);
    let macs = |plan: &Plan| plan.steps().iter().map(|step| plan.step_macs(step)).sum::<u64>();
    let whole = Plan::new(&body.graph, &[shape], &PlanOptions { memory_limit: None, ..options }).unwrap();
    assert!(whole.peak_bytes() > 2 << 30 && macs(&plan) < macs(&whole) * 13 / 10, "{} {}", macs(&plan), macs(&whole));
}

#[test]
fn networks_within_a_limit_give_the_same_bits() {
    let cases = [
        (ODD, Shape::new(1, 3, 21, 40, 30), None, 50),
        (STRIDES, Shape::new(3, 3, 16, 32, 40), None, 20),
        (GROUPS, Shape::new(1, 3, 6, 60, 50), None, 50),
        (STRIDES, Shape::new(1, 3, 12, 48, 40), Some("winograd_4x4_gemm_16x8"), 60),
        (STEM, Shape::new(1, 3, 4, 80, 60), None, 75),
    ];
    for gpu in contexts() {
        for (json, shape, method, share) in cases {
            // `share` is in hundredths of the memory that the network takes without a limit.
            let network = Network { json, shape, method };
            let (whole, plan) = network.run(&gpu, None, None);
            let limit = plan.peak_bytes() / 100 * share;
            let (split, plan) = network.run(&gpu, None, Some(limit));
            assert!(plan.peak_bytes() <= limit && plan.schedule().len() > plan.steps().len());
            assert_same(&whole, &split, &format!("{} {json} {shape}", gpu.backend()));
        }
    }
}

/// The work of a submission is bounded, and results do not depend on where a submission ends.
#[test]
fn long_runs_go_in_several_submissions() {
    let body = Body::new(BackboneConfig::r18_conv4()).unwrap();
    for target in Target::all_typical() {
        let options = PlanOptions { target, ..PlanOptions::default() };
        let plan = |shape| Plan::new(&body.graph, &[shape], &options).unwrap();
        let usual = plan(Shape::new(1, 3, 8, 224, 224));
        assert_eq!(usual.submissions(), [usual.dispatches()], "{target:?}");
        let long = plan(Shape::new(1, 3, 256, 224, 224));
        let macs = long.steps().iter().flat_map(|step| &step.dispatches).map(|dispatch| dispatch.launch.macs);
        let most = options.limits.max_macs;
        let (largest, all) = macs.fold((0, 0), |(largest, all), macs| (macs.max(largest), all + macs));
        // The excess is for padded tiles, and for values that neighbours in the stem compute twice.
        assert!(largest <= most / 2 * 3, "{}: a dispatch of {largest}", target.class.name());
        assert!(
            all > most && long.submissions().len() as u64 >= all / most,
            "{}: {:?}",
            target.class.name(),
            long.submissions()
        );
        replay(&long, &options.limits);
    }
    for gpu in contexts() {
        let network = Network { json: STRIDES, shape: Shape::new(3, 3, 8, 32, 40), method: None };
        let (whole, plan) = network.run(&gpu, None, None);
        assert_eq!(plan.submissions().len(), 1);
        for max_macs in [0, 1 << 20, 4 << 20] {
            let (split, plan) = network.run(&gpu, Some(PlanLimits { max_macs, ..PlanLimits::default() }), None);
            let submissions = plan.submissions().len();
            assert!(submissions > 3 && (max_macs > 0 || submissions == plan.dispatches()), "{submissions}");
            assert_same(&whole, &split, &format!("{} in {submissions} submissions", gpu.backend()));
        }
    }
}
