//! From frames and files to clips: the reference's preprocessing, the kinds of input, and what is refused.

#[cfg(feature = "files")]
#[path = "clip/damage.rs"]
mod damage;
#[cfg(feature = "files")]
#[path = "clip/files.rs"]
mod files;
#[cfg(feature = "files")]
#[path = "clip/pictures.rs"]
mod pictures;
#[path = "clip/torchvision.rs"]
mod torchvision;
#[cfg(feature = "files")]
#[path = "clip/video.rs"]
mod video;
#[path = "clip/video_projects.rs"]
mod video_projects;

use std::path::{Path, PathBuf};

use resnet3d_wgpu::clip::preprocess::{ChannelOrder, Frames, Preprocess, Size, preprocess};
use resnet3d_wgpu::{Clip, ErrorKind, Shape};
use safetensors::SafeTensors;

/// Our rounding and the reference's may differ in the last bits of float32; an error in the rule is 100 times larger.
const RELATIVE_L2: f64 = 1e-4;
/// OpenCV's two code paths differ by up to 5e-3 grey levels on noise.
const ABSOLUTE: f64 = 2e-2;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The options, the frames and the expected clip of a fixture.
fn read_fixture(name: &str) -> (Preprocess, Vec<Frames>, Clip) {
    let bytes = std::fs::read(fixture(name)).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let text = &metadata.metadata().as_ref().unwrap()["preprocess"];
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    let size = |key: &str| json[key].as_u64().map(|size| size as usize);
    let options = Preprocess::default()
        .size(Size::Shorter(size("target_size").unwrap()))
        .max_size(size("max_size").unwrap())
        .pad_stride(size("pad_stride"));
    let order: ChannelOrder = json["channel_order"].as_str().unwrap().parse().unwrap();

    let file = SafeTensors::deserialize(&bytes).unwrap();
    let frames: Vec<Frames> = (0..)
        .map_while(|i| file.tensor(&format!("frames.{i}")).ok())
        .map(|tensor| {
            let dims = tensor.shape()[..3].try_into().unwrap();
            Frames::new(dims, order, tensor.data().to_vec()).unwrap()
        })
        .collect();
    let expected = file.tensor("expect.data").unwrap();
    let values = expected.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
    let clip = Clip::from_dims(expected.shape(), values.collect()).unwrap();
    assert!(!frames.is_empty());
    (options, frames, clip)
}

/// Detectron's preprocessing with these sizes.
fn sizes(target_size: usize, max_size: usize, pad_stride: Option<usize>) -> Preprocess {
    Preprocess::default().size(Size::Shorter(target_size)).max_size(max_size).pad_stride(pad_stride)
}

fn grey(dims: [usize; 3]) -> Frames {
    Frames::new(dims, ChannelOrder::Rgb, vec![128; dims.iter().product::<usize>() * 3]).unwrap()
}

#[test]
fn agrees_with_the_reference() {
    for name in ["prep01_wide.safetensors", "prep02_two_clips_rgb.safetensors"] {
        let (options, frames, expected) = read_fixture(name);
        let clip = preprocess(&frames, &options).unwrap();
        assert_eq!(clip.shape(), expected.shape(), "{name}");
        let (mut difference, mut norm, mut worst) = (0.0, 0.0, 0.0f64);
        for (&given, &wanted) in clip.data().iter().zip(expected.data()) {
            let error = f64::from(given) - f64::from(wanted);
            difference += error * error;
            norm += f64::from(wanted).powi(2);
            worst = worst.max(error.abs());
        }
        let relative = (difference / norm).sqrt();
        assert!(relative <= RELATIVE_L2 && worst <= ABSOLUTE, "{name}: relative L2 {relative:e}, worst {worst:e}");
    }
}

#[test]
fn sizes_follow_the_rule_of_both_limits() {
    // (target, max, frame h, frame w, resized h, w)
    let cases = [
        (256, 333, 720, 1280, 187, 333), // 16:9: the longer side decides
        (256, 333, 480, 640, 250, 333),  // so it does at 4:3
        (256, 333, 1280, 720, 333, 187), // upright
        (256, 333, 256, 256, 256, 256),  // the shorter side decides
        (256, 333, 272, 640, 142, 333),
        (256, 334, 256, 333, 256, 333), // nothing to do
        (5, 100, 2, 3, 5, 8),           // 7.5 goes to the even 8
        (5, 100, 2, 5, 5, 12),          // and 12.5 to the even 12
    ];
    let mut failures = Vec::new();
    for (target_size, max_size, h, w, wanted_h, wanted_w) in cases {
        let options = sizes(target_size, max_size, None);
        let size = options.resized([h, w]).unwrap();
        if size != [wanted_h, wanted_w] {
            failures.push(format!("{h}x{w} at {target_size}/{max_size}: wanted {wanted_h}x{wanted_w}, got {size:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn pads_bottom_right_with_the_mean_colour() {
    let options = sizes(20, 40, Some(32));
    let clip = preprocess(&[grey([2, 20, 40]), grey([2, 20, 20])], &options).unwrap();
    let shape = clip.shape();
    assert_eq!(shape, Shape::new(2, 3, 2, 32, 64));
    let widths = [40, 20];
    for (i, &value) in clip.data().iter().enumerate() {
        let (x, y, n) = (i % 64, i / 64 % 32, i / (shape.len() / 2));
        let inside = y < 20 && x < widths[n];
        assert_eq!(value != 0.0, inside, "n {n}, y {y}, x {x}");
    }
}

#[test]
fn upscaling_interpolates_and_replicates_edges() {
    let frames = Frames::new([1, 1, 2], ChannelOrder::Bgr, vec![0, 0, 0, 100, 100, 100]).unwrap();
    let clip = preprocess(&[frames], &sizes(2, 9, None)).unwrap();
    assert_eq!(clip.shape(), Shape::new(1, 3, 1, 2, 4));
    let blue: Vec<f64> = clip.data()[..4].iter().map(|&v| f64::from(v) + 102.9801).collect();
    for (given, wanted) in blue.iter().zip([0.0, 25.0, 75.0, 100.0]) {
        assert!((given - wanted).abs() < 1e-4, "{blue:?}");
    }
}

#[test]
fn refuses_what_is_no_clip() {
    let fine = Preprocess::default();
    let cases: [(&str, Vec<Frames>, Preprocess, &str); 10] = [
        ("no inputs", vec![], fine, "at least one input"),
        ("unequal T", vec![grey([3, 4, 4]), grey([2, 4, 4])], fine, "2 frames in input 2 of 2"),
        ("target 0", vec![grey([1, 4, 4])], sizes(0, 333, None), "size of at least 1"),
        ("max 0", vec![grey([1, 4, 4])], sizes(256, 0, None), "maximal size of at least 1"),
        ("stride 0", vec![grey([1, 4, 4])], sizes(256, 333, Some(0)), "padding stride of at least 1"),
        ("crop 0", vec![grey([1, 4, 4])], fine.crop(0), "crop of at least 1"),
        ("vanishing", vec![grey([1, 1, 1000])], fine, "0x333 pixels"),
        ("too large", vec![grey([1, 4, 4])], sizes(1 << 30, 1 << 30, None), "2^30 - 1"),
        ("beyond all numbers", vec![grey([1, 4, 4])], sizes(usize::MAX, usize::MAX, None), "2^30 - 1"),
        ("stride beyond", vec![grey([1, 4, 4])], sizes(4, 4, Some(usize::MAX)), "2^30 - 1"),
    ];
    let mut failures = Vec::new();
    for (name, frames, options, wanted) in cases {
        match preprocess(&frames, &options) {
            Ok(clip) => failures.push(format!("{name}: wanted an error, got {}", clip.shape())),
            Err(error) if !error.to_string().contains(wanted) => {
                failures.push(format!("{name}: wanted {wanted:?}, got {error}"));
            }
            Err(_) => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(Frames::new([0, 4, 4], ChannelOrder::Bgr, vec![]).is_err_and(|error| error.kind() == ErrorKind::Clip));
    assert!(
        Frames::new([1, 4, 4], ChannelOrder::Bgr, vec![0; 47]).is_err_and(|error| error.kind() == ErrorKind::Shape)
    );
    assert!(
        Frames::new([usize::MAX, 2, 2], ChannelOrder::Bgr, vec![]).is_err_and(|error| error.kind() == ErrorKind::Shape)
    );
}
