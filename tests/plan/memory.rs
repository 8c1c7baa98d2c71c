//! How far the memory of a plan is above the least.

use super::{CLIP, body, plan};
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::kernels::Target;
use resnet3d_wgpu::low_level::plan::PlanOptions;
use resnet3d_wgpu::network::presets;
use resnet3d_wgpu::{BackboneConfig, Network, Shape};

#[test]
fn every_body_of_the_reference_needs_little_more_than_the_least() {
    let clips = [[1, 3, 256, 320], [1, 8, 224, 224], [1, 16, 112, 112], [1, 3, 187, 333], [2, 3, 187, 333]];
    let mut worst: (f64, String) = (0.0, String::new());
    for preset in BackboneConfig::PRESETS {
        let body = body(preset);
        for ([n, t, h, w], target) in clips.iter().flat_map(|clip| Target::all_typical().map(move |t| (*clip, t))) {
            let shape = Shape::new(n, 3, t, h, w);
            let plan = plan(&body, shape, &PlanOptions { target, ..PlanOptions::default() });
            let ratio = plan.memory().peak_bytes() as f64 / plan.memory().lower_bound_bytes() as f64;
            if ratio > worst.0 {
                worst = (ratio, format!("{preset} {shape}, {target:?}"));
            }
        }
    }
    println!("{:.3}: {}", worst.0, worst.1);
    assert!((1.0..=1.1).contains(&worst.0), "{worst:?}");
}

/// The published networks at the clip of their projects: frames and side. `docs/planner.md` has the table.
const PUBLISHED: [(&str, [usize; 2]); 23] = [
    ("r3d_18", [16, 112]),
    ("mc3_18", [16, 112]),
    ("r2plus1d_18", [16, 112]),
    ("slow_r50", [8, 256]),
    ("c2d_r50", [8, 256]),
    ("i3d_r50", [8, 256]),
    ("csn_r101", [32, 256]),
    ("r2plus1d_r50", [16, 256]),
    ("slowfast_r50", [32, 256]),
    ("slowfast_r101", [32, 256]),
    ("r3d10", [16, 112]),
    ("r3d18", [16, 112]),
    ("r3d34", [16, 112]),
    ("r3d50", [16, 112]),
    ("r3d101", [16, 112]),
    ("r3d152", [16, 112]),
    ("r3d200", [16, 112]),
    ("resnext101", [16, 112]),
    ("r2plus1d_34", [32, 112]),
    ("ir_csn_50", [32, 224]),
    ("ir_csn_152", [32, 224]),
    ("ip_csn_50", [32, 224]),
    ("ip_csn_152", [32, 224]),
];

#[test]
fn published_networks_need_little_more_than_the_least() {
    assert!(PUBLISHED.map(|(name, _)| name).iter().eq(presets::NAMES));
    for (name, [frames, side]) in PUBLISHED {
        let body = Body::new(Network::preset(name).unwrap()).unwrap();
        let shape = Shape::new(1, 3, frames, side, side);
        let ratios = Target::all_typical().map(|target| {
            let plan = plan(&body, shape, &PlanOptions { target, ..PlanOptions::default() });
            plan.memory().peak_bytes() as f64 / plan.memory().lower_bound_bytes() as f64
        });
        let ratio = ratios.fold(0.0, f64::max);
        println!("| `{name}` | {shape} | {ratio:.2} |");
        assert!((1.0..=1.105).contains(&ratio), "{name} {shape}: {ratio:.3}");
    }
}

#[test]
fn memory_stays_near_the_lower_bound() {
    let taps = |body: &Body| body.graph.stages().iter().map(|&id| body.graph.blob(id).name.clone()).collect();
    for preset in BackboneConfig::PRESETS {
        let body = body(preset);
        for shape in [CLIP, Shape::new(2, 3, 3, 187, 333), Shape::new(1, 3, 1, 64, 64)] {
            for taps in [Vec::new(), taps(&body)] {
                for fusion in [true, false] {
                    let options = PlanOptions { taps: taps.clone(), fusion, ..PlanOptions::default() };
                    let plan = plan(&body, shape, &options);
                    let memory = plan.memory();
                    let ratio = memory.peak_bytes() as f64 / memory.lower_bound_bytes() as f64;
                    assert!(ratio >= 1.0, "{preset}: the bound is none");
                    // Other cases have a looser bound: what a small clip could save is not worth a dispatch, and
                    // batches are not cut.
                    let most = if shape == CLIP && fusion && taps.is_empty() { 1.1 } else { 1.25 };
                    assert!(ratio <= most, "{preset} {shape}, {} taps, fusion {fusion}: {ratio:.3}", taps.len());
                    if shape == CLIP && fusion {
                        let scratch = plan.scratch_bytes();
                        assert!(scratch <= memory.lower_bound_bytes() / 4, "{preset}: {scratch} bytes of workspaces");
                    }
                    assert!(memory.unshared_bytes() > memory.peak_bytes());
                }
            }
        }
    }
}
