//! The independent float64 oracle: every fixture, on the CPU reference and on every adapter, fused and unfused.

mod common;

use common::{BODY_FIXTURES, Comparisons, contexts, fixture, fixture_path, relative_l2, widen};
use resnet3d_wgpu::low_level::dtype::DType;
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::kernels::Method;
use resnet3d_wgpu::low_level::reference;
use resnet3d_wgpu::low_level::verify::Tolerance;
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{BackboneConfig, FeatureMaps, GpuBackbone, Options, Shape, Taps, Weights};
use serde_json::Value;

#[test]
fn reference_matches_the_small_fixtures() {
    for name in BODY_FIXTURES {
        let case = fixture(name);
        let body = Body::new(&case.config).unwrap();
        assert_eq!((body.dim_out, body.spatial_scale), (case.dim_out, case.spatial_scale), "{name}");
        let stages = body.graph.stages();
        let got = reference::execute(&body.graph, &[&case.clip], &case.weights, stages).unwrap();
        assert_eq!(got.len(), case.expected.len(), "{name}");
        for (&id, volume) in stages.iter().zip(got) {
            let tap = &body.graph.blob(id).name;
            let (shape, want) = &case.expected[tap];
            assert_eq!(<[usize; 5]>::from(volume.shape).as_slice(), shape, "{name} {tap}");
            let error = relative_l2(volume.data, widen(want));
            // The expected values are rounded to float32, so the error is not zero.
            assert!(error < 1e-7, "{name} {tap}: {error:e}");
        }
    }
}

#[test]
fn every_adapter_matches_the_small_fixtures() {
    let contexts = contexts();
    let mut comparisons = Comparisons::default();
    for name in BODY_FIXTURES {
        let case = fixture(name);
        for gpu in &contexts {
            for fusion in [true, false] {
                let options = Options::default().taps(Taps::Stages).fusion(fusion);
                let mut backbone = GpuBackbone::new(gpu, &case.config, &case.weights, options).unwrap();
                let features = backbone.forward(&case.clip).unwrap();
                assert_eq!(features.blobs().len(), case.expected.len());
                let mut worst = 0.0f64;
                for blob in features.blobs() {
                    let (shape, want) = &case.expected[&blob.name];
                    assert_eq!(<[usize; 5]>::from(blob.shape).as_slice(), shape, "{name} {}", blob.name);
                    let what = format!("{name} {} on {}", blob.name, gpu.backend());
                    worst = worst.max(comparisons.compare(&what, &blob.data, widen(want)));
                }
                println!("{name} on {}, fusion {fusion}: {worst:.1e}", gpu.backend());
            }
        }
    }
    comparisons.assert_passed();
}

/// Winograd's method on whole bodies whose clips are too small for the planner to choose it.
#[test]
fn the_winograd_methods_match_the_small_fixtures() {
    let contexts = contexts();
    let mut comparisons = Comparisons::default();
    for name in BODY_FIXTURES {
        let case = fixture(name);
        for gpu in &contexts {
            let winograd = Method::all().filter(|method| method.is_winograd() && method.runs_on(gpu.target()));
            for method in winograd {
                let options = Options::default().taps(Taps::Stages).method(method);
                let mut backbone = GpuBackbone::new(gpu, &case.config, &case.weights, options).unwrap();
                for blob in backbone.forward(&case.clip).unwrap().blobs() {
                    let (_, want) = &case.expected[&blob.name];
                    let what = format!("{name} {} by {} on {}", blob.name, method.name(), gpu.backend());
                    comparisons.compare(&what, &blob.data, widen(want));
                }
            }
        }
    }
    comparisons.assert_passed();
}

/// One of the full-width cases of `expected_full.json`.
struct FullCase {
    name: String,
    config: BackboneConfig,
    shape: Shape,
    seed: u64,
    json: Value,
}

fn full_cases() -> Vec<FullCase> {
    let text = std::fs::read_to_string(fixture_path("expected_full.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let cases: Vec<FullCase> = json["cases"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, json)| FullCase {
            name: name.clone(),
            config: BackboneConfig::from_json(&json["config"].to_string()).unwrap(),
            shape: serde_json::from_value(json["data_shape"].clone()).unwrap(),
            seed: json["seed"].as_u64().unwrap(),
            json: json.clone(),
        })
        .collect();
    assert_eq!(cases.len(), 5);
    cases
}

fn floats(json: &Value) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn the_generator_is_the_oracle_s() {
    let text = std::fs::read_to_string(fixture_path("expected_full.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    for (key, want) in json["generator"]["u"].as_object().unwrap() {
        let (name, seed) = key.split_once(" seed ").unwrap();
        // The values are multiples of 2^-23, so float32 represents them exactly. JSON's decimals are less exact.
        let want: Vec<f32> = floats(want).into_iter().map(|v| v as f32).collect();
        let stream = random::uniform(name, seed.parse().unwrap()).take(want.len());
        assert_eq!(stream.map(|u| u as f32).collect::<Vec<_>>(), want, "{key}");
    }
    for case in full_cases() {
        let weights = Weights::random(&case.config, case.seed).unwrap();
        let clip = random::clip(case.shape, case.seed).unwrap();
        for (name, want) in case.json["first_values"].as_object().unwrap() {
            let want: Vec<f32> = floats(want).into_iter().map(|v| v as f32).collect();
            let got = match name.as_str() {
                "data" => clip.data(),
                _ => weights.tensors().find(|(n, _)| n == name).unwrap().1.data(),
            };
            assert!(got[..want.len()].iter().eq(&want), "{} {name}", case.name);
        }
        let body = Body::new(&case.config).unwrap();
        assert_eq!(body.graph.parameter_count(), case.json["parameters"].as_u64().unwrap(), "{}", case.name);
    }
}

/// Checks shape, mean, norm and the listed values of every tap; returns the worst relative error of the values.
fn compare_with_full(case: &FullCase, features: &FeatureMaps, comparisons: &mut Comparisons) -> f64 {
    let taps = case.json["taps"].as_object().unwrap();
    assert_eq!(features.blobs().len(), taps.len(), "{}", case.name);
    let mut worst = 0.0f64;
    for (tap, want) in taps {
        let blob = features.get(tap).unwrap();
        let shape: Shape = serde_json::from_value(want["shape"].clone()).unwrap();
        assert_eq!(blob.shape, shape, "{} {tap}", case.name);
        let close = |name: &str, got: f64| {
            let want = want[name].as_f64().unwrap();
            let most = Tolerance::of(DType::F32).relative * want;
            assert!((got - want).abs() <= most, "{} {tap} {name}: {got} for {want}", case.name);
        };
        let mean = widen(&blob.data).sum::<f64>() / blob.data.len() as f64;
        close("mean", mean);
        close("l2", widen(&blob.data).map(|v| v * v).sum::<f64>().sqrt());
        let indices = floats(&want["indices"]);
        let got: Vec<f32> = indices.iter().map(|&index| blob.data[index as usize]).collect();
        worst = worst.max(comparisons.compare(&format!("{} {tap}", case.name), &got, floats(&want["values"])));
    }
    worst
}

#[test]
fn every_adapter_matches_the_full_width_fixtures() {
    let contexts = contexts();
    let mut comparisons = Comparisons::default();
    for case in full_cases() {
        let weights = Weights::random(&case.config, case.seed).unwrap();
        let clip = random::clip(case.shape, case.seed).unwrap();
        for gpu in &contexts {
            let options = Options::default().taps(Taps::Stages);
            let mut backbone = GpuBackbone::new(gpu, &case.config, &weights, options).unwrap();
            let plan = backbone.plan(case.shape).unwrap();
            assert_eq!(plan.macs(), case.json["macs"].as_u64().unwrap(), "{}", case.name);
            let start = std::time::Instant::now();
            let features = backbone.forward(&clip).unwrap();
            let worst = compare_with_full(&case, &features, &mut comparisons);
            println!("{} on {}: {worst:.1e} in {:.1?}", case.name, gpu.backend(), start.elapsed());
        }
    }
    comparisons.assert_passed();
}
