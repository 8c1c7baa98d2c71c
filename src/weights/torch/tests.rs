//! The readers on files of PyTorch's.

use crate::weights::file::WeightFile;
use crate::weights::raw::{Contents, Kind};
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "goldens", "torch", name].iter().collect()
}

fn read(file: &WeightFile) -> crate::Result<Contents> {
    let is_zip = file.head(4).unwrap().starts_with(b"PK");
    if is_zip { super::read_zip(file) } else { super::read_legacy(file) }
}

/// A golden that is read as it lies on the disk, and one that is in memory.
fn both(name: &str) -> [WeightFile; 2] {
    let bytes = std::fs::read(path(name)).unwrap();
    [WeightFile::open(&path(name)).unwrap(), WeightFile::from_bytes(name.into(), bytes)]
}

#[test]
fn tensors_of_every_kind_are_pytorch_s() {
    let twin = WeightFile::open(&path("everything.safetensors")).unwrap();
    let want = crate::weights::safetensors_file::read(&twin).unwrap();
    for file in ["everything.pth", "everything_legacy.pth"].iter().flat_map(|name| both(name)) {
        let got = read(&file).unwrap();
        let elements = |name: &str| got.tensors[name].element.name().to_owned();
        for (name, want) in &want.tensors {
            let tensor = &got.tensors[name];
            assert_eq!(tensor.shape, want.shape, "{name}");
            let values = tensor.values(&file, |v| v as f32).unwrap().unwrap();
            assert_eq!(values, want.values(&twin, |v| v as f32).unwrap().unwrap(), "{name}");
        }
        let of_no_weight =
            [("bn.num_batches_tracked", "I64"), ("mask", "BOOL"), ("complex", "C64"), ("counted", "U16")];
        for (name, element) in of_no_weight {
            assert_eq!(elements(name), element);
            assert!(got.tensors[name].values(&file, |v| v).unwrap().is_none(), "{name}");
        }
        assert_eq!(got.tensors.len(), want.tensors.len() + of_no_weight.len());
        assert_eq!(
            (elements("f64").as_str(), elements("f16").as_str(), elements("bf16").as_str()),
            ("F64", "F16", "BF16")
        );
        let is_transposed = |name: &str| got.tensors[name].is_transposed();
        assert!(["transposed", "permuted", "channels_last"].into_iter().all(is_transposed));
        assert!(!["f32", "later", "every_third", "corner", "expanded", "rows"].into_iter().any(is_transposed));
        let others: Vec<(&str, &str)> = got.others.iter().map(|(name, what)| (name.as_str(), *what)).collect();
        assert_eq!(others, [("_extra_state", "None")]);
        assert_eq!((got.arch.as_deref(), got.cfg.as_deref()), (Some("resnet-18"), Some("MODEL:\n  ARCH: slow\n")));
        assert_eq!(got.meta_config.as_deref(), Some("model = dict(type='Recognizer3D')\n"));
        assert_eq!((got.kind, got.config, got.preprocess, got.author), (Kind::Torch, None, None, None));
    }
}
