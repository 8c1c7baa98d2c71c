//! Archives of `torch.save` give the same weights as their twins in safetensors. `goldens/torch_files.py` writes the
//! files.

mod common;

use common::{golden_path, relative_l2, widen};
use resnet3d_wgpu::clip::preprocess::Normalization;
use resnet3d_wgpu::weights::{Loaded, Naming};
use resnet3d_wgpu::{BackboneConfig, Checkpoint, ErrorKind, InflateMode, Network, WeightOptions};
use std::path::{Path, PathBuf};

fn center_only() -> WeightOptions {
    WeightOptions::default().inflate(InflateMode::CenterOnly)
}

fn torch(name: &str) -> PathBuf {
    golden_path("torch").join(name)
}

/// Loads a file as the network that it describes.
fn load(path: &Path) -> (Network, Loaded) {
    let checkpoint = Checkpoint::open(path).unwrap();
    assert_eq!((checkpoint.naming(), checkpoint.stride_1x1()), (Naming::Torchvision, Some(false)));
    assert_eq!(checkpoint.normalization(), Some(Normalization::ImageNet));
    let network = checkpoint.network().unwrap().unwrap();
    let loaded = checkpoint.load(&network, &center_only()).unwrap();
    (network, loaded)
}

#[test]
fn both_archives_give_the_weights_of_their_twin() {
    let twin = load(&torch("resnet.safetensors"));
    let basic = r#"{"transformation": "basic", "block_counts": [1, 1, 1], "feat_dims": [2, 2, 4, 8],
        "width_per_group": 2, "stride_1x1": false}"#;
    assert_eq!(twin.0, BackboneConfig::from_json(basic).unwrap().into());
    for name in ["resnet.pth", "resnet_legacy.pth"] {
        let own = load(&torch(name));
        assert_eq!(own.0, twin.0, "{name}");
        assert_eq!(own.1.weights, twin.1.weights, "{name}");
        assert_eq!((&own.1.origins, &own.1.dropped), (&twin.1.origins, &twin.1.dropped), "{name}");
    }
    // The contents determine the format, whatever the name of the file.
    let directory = tempfile::tempdir().unwrap();
    for (from, to) in
        [("resnet.pth", "a.ckpt"), ("resnet_legacy.pth", "pytorch_model.bin"), ("resnet.pth", "b.safetensors")]
    {
        let to = directory.path().join(to);
        std::fs::copy(torch(from), &to).unwrap();
        assert_eq!(load(&to).1.weights, twin.1.weights, "{}", to.display());
    }
}

#[test]
fn half_precision_is_widened() {
    let (twin, (network, half)) = (load(&torch("resnet.safetensors")), load(&torch("resnet_half.pth")));
    assert_eq!(network, twin.0);
    assert!(half.origins.iter().all(|origin| origin.element == "BF16"));
    assert_eq!(half.weights.tensors().count(), twin.1.weights.tensors().count());
    for ((name, got), (_, want)) in half.weights.tensors().zip(twin.1.weights.tensors()) {
        let error = relative_l2(widen(got.data()), widen(want.data()));
        assert!(error > 0.0 && error < 3e-2, "{name}: {error:e}");
    }
}

#[test]
fn other_tensors_than_a_resnet_s_are_told_by_name() {
    let checkpoint = Checkpoint::open(&torch("everything.pth")).unwrap();
    assert_eq!(checkpoint.network().unwrap(), None);
    let error = checkpoint.weights(BackboneConfig::default()).unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.reason().unwrap().contains("array, bf16"), "{error}");
}

/// A file that has changed since it was opened is an error that names it.
#[test]
fn files_that_shrink_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["resnet.pth", "resnet_legacy.pth", "resnet.safetensors"] {
        let path = directory.path().join(name);
        let bytes = std::fs::read(torch(name)).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let network = checkpoint.network().unwrap().unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = checkpoint.load(&network, &center_only()).unwrap_err();
        assert_eq!((error.action(), error.path()), (Some("read"), Some(path.as_path())), "{name}: {error}");
    }
}
