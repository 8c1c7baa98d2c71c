//! The preprocessing for torchvision's weights, against torchvision.

use resnet3d_wgpu::Clip;
use resnet3d_wgpu::clip::preprocess::{ChannelOrder, Frames, Normalization, Preprocess, Size, preprocess};
use safetensors::SafeTensors;

use super::fixture;

/// Both sum in float32, in different orders; values are up to 3. An error in position or weight is 1000 times larger,
/// and so is an intermediate rounding to bytes, which these goldens do not have.
const ABSOLUTE: f32 = 2e-6;

#[test]
fn agrees_with_torchvision() {
    let bytes = std::fs::read(fixture("torchvision_preprocess.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&header.metadata().as_ref().unwrap()["cases"]).unwrap();
    assert_eq!(cases.len(), 10);
    let mut failures = Vec::new();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let size = |key: &str| case[key].as_u64().map(|size| size as usize);
        let options = Preprocess::usual(Normalization::ImageNet)
            .size(Size::Shorter(size("size").unwrap()))
            .max_size(size("max_size"))
            .crop(size("crop"));
        let source = file.tensor(&format!("frames.{}", case["frames"].as_str().unwrap())).unwrap();
        let dims = source.shape()[..3].try_into().unwrap();
        let frames = Frames::new(dims, ChannelOrder::Rgb, source.data().to_vec()).unwrap();
        let expected = file.tensor(&format!("expect.{name}")).unwrap();
        let shape = [&[1], expected.shape()].concat();
        let values = expected.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let expected = Clip::from_dims(&shape, values).unwrap();

        let clip = preprocess(&[frames], &options).unwrap();
        if clip.shape() != expected.shape() {
            failures.push(format!("{name}: wanted {}, got {}", expected.shape(), clip.shape()));
            continue;
        }
        let differences = clip.data().iter().zip(expected.data()).map(|(got, want)| (got - want).abs());
        let worst = differences.fold(0.0, |worst, difference| if difference > worst { difference } else { worst });
        if worst > ABSOLUTE || clip.data().iter().any(|value| value.is_nan()) {
            failures.push(format!("{name}: off by {worst:e}"));
        }
        println!("{name}: {worst:e}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_order_of_a_frames_bytes_does_not_matter() {
    let rgb: Vec<u8> = (0..5 * 7 * 3).map(|i| (i * 37 % 251) as u8).collect();
    let bgr: Vec<u8> = rgb.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [b, g, r]).collect();
    for &normalization in Normalization::ALL {
        let options = Preprocess::usual(normalization).size(Size::Shorter(9)).crop(6);
        let clips = [(ChannelOrder::Rgb, &rgb), (ChannelOrder::Bgr, &bgr)].map(|(order, bytes)| {
            preprocess(&[Frames::new([1, 5, 7], order, bytes.clone()).unwrap()], &options).unwrap()
        });
        assert_eq!(clips[0], clips[1], "{}", normalization);
    }
}

#[test]
fn a_crop_is_the_middle_of_the_whole() {
    let rgb: Vec<u8> = (0..30 * 40 * 3).map(|i| (i * 37 % 251) as u8).collect();
    let frames = [Frames::new([1, 30, 40], ChannelOrder::Rgb, rgb).unwrap()];
    for &normalization in Normalization::ALL {
        let usual = Preprocess::usual(normalization).size(Size::Shorter(24)).crop(None);
        let whole = preprocess(&frames, &usual).unwrap();
        let part = preprocess(&frames, &usual.crop(20).pad_stride(16)).unwrap();
        assert_eq!((whole.shape().thw(), part.shape().thw()), ([1, 24, 32], [1, 32, 32]));
        for (i, &value) in part.data().iter().enumerate() {
            let (x, y, c) = (i % 32, i / 32 % 32, i / 1024);
            let inside = x < 20 && y < 20;
            let wanted = if inside { whole.data()[(c * 24 + y + 2) * 32 + x + 6] } else { 0.0 };
            assert_eq!(value, wanted, "{} at {x}, {y}", normalization);
        }
    }
}
