//! The preprocessing for the weights of the projects for video, against the projects' results.

use resnet3d_wgpu::Clip;
use resnet3d_wgpu::clip::preprocess::{ChannelOrder, Frames, Normalization, Preprocess, Size, preprocess};
use safetensors::SafeTensors;

use super::fixture;

/// The tolerance if floats are resized: both sum in float32, in different orders.
const RELATIVE: f64 = 1e-5;

/// The most that one grey level changes a value of the clip: in the channel with the smallest standard deviation.
fn level(normalization: Normalization) -> f32 {
    match normalization {
        Normalization::ActivityNet => 1.0,
        Normalization::Kinetics => 1.0 / 255.0 / 0.216_989,
        Normalization::PyTorchVideo | Normalization::PyTorchVideoBgr => 1.0 / 255.0 / 0.225,
        Normalization::ThreeDResNets => 1.0 / 255.0 / 0.2713,
        Normalization::Mmaction2 | Normalization::Mmaction2Csn => 1.0 / 57.12,
        _ => panic!("no way of a project for video"),
    }
}

#[test]
fn agrees_with_the_projects_for_video() {
    let bytes = std::fs::read(fixture("video_preprocess.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&header.metadata().as_ref().unwrap()["cases"]).unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let way = case["way"].as_str().unwrap().parse().unwrap();
        let number = |value: &serde_json::Value| value.as_u64().map(|number| number as usize);
        let size = match case["exact"].as_array() {
            Some(sides) => Size::Exact([0, 1].map(|axis| number(&sides[axis]).unwrap())),
            None => Size::Shorter(number(&case["size"]).unwrap()),
        };
        let options = Preprocess::usual(way).size(size).crop(number(&case["crop"]));
        let source = file.tensor(&format!("frames.{}", case["frames"].as_str().unwrap())).unwrap();
        let dims = source.shape()[..3].try_into().unwrap();
        let frames = Frames::new(dims, ChannelOrder::Rgb, source.data().to_vec()).unwrap();
        let expected = file.tensor(&format!("expect.{name}")).unwrap();
        let shape = [&[1], expected.shape()].concat();
        let values = expected.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let expected = Clip::from_dims(&shape, values).unwrap();

        let clip = preprocess(&[frames], &options).unwrap();
        assert_eq!(clip.shape(), expected.shape(), "{name}");
        let differences = || clip.data().iter().zip(expected.data()).map(|(got, want)| (got - want).abs());
        let levels = case["levels"].as_f64().unwrap() as f32;
        let worst = differences().fold(0.0f32, |worst, own| if own <= worst { worst } else { own });
        if levels == 0.0 {
            let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
            let relative = (square(&mut differences()) / square(&mut expected.data().iter().copied())).sqrt();
            assert!(relative < RELATIVE, "{name}: {relative:e}, at worst {worst:e}");
        } else {
            let own = worst / level(way);
            assert!(own < levels + 0.02, "{name}: {own} levels");
            println!("{name}: {own} levels");
        }
    }
}

/// Networks whose configuration reverses the channels need the same values, blue first.
#[test]
fn the_order_of_channels_is_all_that_is_reversed() {
    let rgb: Vec<u8> = (0..2 * 5 * 7 * 3).map(|i| (i * 37 % 251) as u8).collect();
    let frames = [Frames::new([2, 5, 7], ChannelOrder::Rgb, rgb).unwrap()];
    // A crop larger than the picture also shows the padding around it.
    let of = |way| {
        let options = Preprocess::usual(way).size(Size::Shorter(9)).crop(11);
        preprocess(&frames, &options).unwrap()
    };
    let (plain, reversed) = (of(Normalization::PyTorchVideo), of(Normalization::PyTorchVideoBgr));
    assert_eq!(plain.shape(), reversed.shape());
    let channels = |clip: &Clip| -> Vec<Vec<f32>> { clip.data().chunks(2 * 11 * 11).map(<[f32]>::to_vec).collect() };
    let (plain, mut reversed) = (channels(&plain), channels(&reversed));
    assert_ne!(plain, reversed);
    reversed.reverse();
    assert_eq!(plain, reversed);
}
