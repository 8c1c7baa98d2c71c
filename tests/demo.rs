//! The demonstration does what it says: the features change where the disc is.
#![cfg(feature = "cli")]

#[allow(dead_code)] // every test binary uses its own part
#[path = "cli/harness.rs"]
mod harness;

use harness::{json, listing, read_tensors};
use resnet3d_wgpu::Shape;
use resnet3d_wgpu::picture::{Activation, FrameMaps, Scene, change_map};

/// Pixels of the clip for each element of res3.
const STRIDE: f64 = 8.0;

/// In how many frames the largest change lies within the disc, grown by one element and moved `shift` pixels of the
/// clip to the right.
fn frames_on_the_disc(maps: &FrameMaps, clip: Shape, shift: f64) -> usize {
    let scene = Scene::default();
    let scale = clip.h as f64 / scene.height as f64;
    let hits = |t: &usize| {
        let (row, column) = maps.argmax(*t).expect("a map of numbers");
        // Element i is centred on pixel STRIDE * i, which covers the interval from there to one more.
        let [y, x] = [row, column].map(|i| STRIDE * i as f64 + 0.5);
        let (disc_x, disc_y, radius) = scene.disc(*t);
        let (dx, dy) = (x - disc_x * scale - shift, y - disc_y * scale);
        println!("frame {t}: largest change {:.1} pixels from the disc's centre", dx.hypot(dy));
        dx.hypot(dy) <= radius * scale + STRIDE
    };
    (0..maps.count()).filter(hits).count()
}

#[test]
fn features_change_where_the_disc_is() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("new/demo");
    let report = json(["demo", "--output", output.to_str().unwrap()]);

    assert_eq!(listing(&output), ["features.safetensors", "frames", "heatmap.png"]);
    let scene = Scene::default();
    assert_eq!(listing(&output.join("frames")).len(), scene.frames);
    for (key, name) in [("frames", "frames"), ("features", "features.safetensors"), ("heatmap", "heatmap.png")] {
        assert_eq!(report[key].as_str(), output.join(name).to_str());
    }
    assert!(image::open(output.join("heatmap.png")).unwrap().width() > 1000);

    let clip: Shape = serde_json::from_value(report["plan"]["clip"].clone()).unwrap();
    assert_eq!(clip.t, scene.frames);
    let (tensors, _) = read_tensors(&output.join("features.safetensors"));
    let (shape, data) = &tensors["res3_1_sum"];
    let shape = Shape::from(<[usize; 5]>::try_from(shape.as_slice()).unwrap());
    let activation = Activation { name: "res3_1_sum", shape, data };
    let maps = change_map(&activation, 0).unwrap();
    assert_eq!(maps.count(), scene.frames);

    let enough = |hits: usize| hits as f64 >= 0.8 * scene.frames as f64;
    let hits = frames_on_the_disc(&maps, clip, 0.0);
    assert!(enough(hits), "{hits} of {} frames", scene.frames);
    // The test can fail: elsewhere there is no such change.
    for shift in [clip.w as f64 / 3.0, -(clip.w as f64) / 3.0] {
        let hits = frames_on_the_disc(&maps, clip, shift);
        assert!(!enough(hits), "{hits} of {} frames with the disc in the wrong place", scene.frames);
    }
}

#[test]
fn the_demonstration_says_where_things_are() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("demo");
    let narrow = ["--config", harness::NARROW];
    let stdout = harness::succeed(["demo", "--output", output.to_str().unwrap()].iter().chain(&narrow));
    for name in ["frames", "features.safetensors", "heatmap.png"] {
        assert!(stdout.contains(output.join(name).to_str().unwrap()), "{stdout}");
    }
    for fact in ["GMAC", "parameters", "memory", "to prepare", "res4_0_sum"] {
        assert!(stdout.contains(fact), "{fact}: {stdout}");
    }

    // Frames of somebody else's would become part of the clip.
    std::fs::copy(output.join("frames/000000.png"), output.join("frames/mine.png")).unwrap();
    let ran = harness::run(["demo", "--output", output.to_str().unwrap()].iter().chain(&narrow));
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("9 frames") && ran.stderr.contains("another --output"), "{}", ran.stderr);
}
