//! The readers on files written by PyTorch.

use crate::error::ErrorKind;
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

/// A golden file on disk, and the same file in memory.
fn both(name: &str) -> [WeightFile; 2] {
    let bytes = std::fs::read(path(name)).unwrap();
    [WeightFile::open(&path(name)).unwrap(), WeightFile::from_bytes(name.into(), bytes)]
}

#[test]
fn tensors_of_every_kind_equal_pytorch_s() {
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

#[test]
fn tensors_are_found_in_the_wrappers_of_every_project() {
    for (name, tensors, cfg) in [
        ("bare.pth", &["0.bias", "0.weight", "1.bias", "1.num_batches_tracked", "again.weight"][..], None),
        ("model.pth", &["0.bias", "0.weight", "1.running_var"], None),
        ("model_state.pyth", &["module.0.bias", "module.1.running_mean"], Some("MODEL:\n  ARCH: i3d\n")),
        ("resnet.pth", &["conv1.weight", "layer3.0.downsample.1.running_var", "fc.weight"], None),
        ("resnet_legacy.pth", &["conv1.weight", "layer3.0.downsample.1.running_var", "fc.weight"], None),
    ] {
        for file in both(name) {
            let contents = read(&file).unwrap();
            for tensor in tensors {
                assert!(contents.tensors.contains_key(*tensor), "{name}: {tensor}");
            }
            assert_eq!((contents.cfg.as_deref(), contents.others.len()), (cfg, 0), "{name}");
        }
    }
    // One tensor may have two names.
    let [file, _] = both("bare.pth");
    let contents = read(&file).unwrap();
    assert_eq!(contents.tensors["0.weight"], contents.tensors["again.weight"]);
}

/// What the error says the file holds, and its hint.
#[track_caller]
fn given(result: crate::Result<Contents>) -> (String, &'static str) {
    match result {
        Err(error) if error.kind() == ErrorKind::Format => {
            assert_eq!(error.wanted(), Some(super::WANTED));
            (error.given().unwrap_or_default().to_owned(), error.help().unwrap_or_default())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn models_and_programs_are_refused_by_name() {
    for (name, says, helps) in [
        ("whole.pth", "an object of __main__.Whole instead of a dictionary of tensors", "model.state_dict()"),
        ("whole_legacy.pth", "a whole model, as torch.save(model) writes it at byte", "model.state_dict()"),
        ("script.pt", "a TorchScript archive", "torch.jit.load"),
    ] {
        for file in both(name) {
            let (given, hint) = given(read(&file));
            assert!(given.contains(says) && hint.contains(helps), "{name}: {given}; {hint}");
        }
    }
}

/// The instructions that make a tensor in a storage "0" of `len` floats.
fn tensor(len: u8, offset: u8, size: &[u8], strides: &[u8]) -> Vec<u8> {
    let tuple = |axes: &[u8]| {
        let axes: Vec<u8> = axes.iter().flat_map(|&axis| [b'K', axis]).collect();
        [b"(".as_slice(), &axes, b"t"].concat()
    };
    let storage = [b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK".as_slice(), &[len], b"tQ"].concat();
    let layout = [[b'K', offset].as_slice(), &tuple(size), &tuple(strides)].concat();
    [b"ctorch._utils\n_rebuild_tensor_v2\n(".as_slice(), &storage, &layout, b"\x89}tR"].concat()
}

/// A pickle of a dictionary with `value` under "w".
fn dictionary(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}U\x01w".as_slice(), value, b"s."].concat()
}

/// An entry of a zip archive. The optional fields replace correct values.
#[derive(Clone, Default)]
struct Packed {
    name: &'static str,
    bytes: Vec<u8>,
    method: u16,
    flags: u16,
    /// The name and length in the local header.
    local_name: Option<&'static str>,
    local_len: Option<u32>,
    /// The length and offset in the directory.
    listed_len: Option<u32>,
    listed_at: Option<u32>,
}

fn packed(name: &'static str, bytes: &[u8]) -> Packed {
    Packed { name, bytes: bytes.to_vec(), ..Packed::default() }
}

/// The archive of these entries, with a zip64 end record if `is_wide`.
fn archive(entries: &[Packed], is_wide: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let len = entry.bytes.len() as u32;
        let at = entry.listed_at.unwrap_or(file.len() as u32);
        let local_name = entry.local_name.unwrap_or(entry.name);
        let local_len = entry.local_len.unwrap_or(len);
        file.extend(b"PK\x03\x04\0\0");
        [entry.flags, entry.method, 0, 0, 0, 0].iter().for_each(|field| file.extend(field.to_le_bytes()));
        [local_len, local_len].iter().for_each(|field| file.extend(field.to_le_bytes()));
        // An extra field for padding, as PyTorch writes it.
        [local_name.len() as u16, 6].iter().for_each(|field| file.extend(field.to_le_bytes()));
        file.extend(local_name.as_bytes());
        file.extend(b"FB\x02\0ZZ");
        file.extend(&entry.bytes);
        let listed = entry.listed_len.unwrap_or(len);
        directory.extend(b"PK\x01\x02\0\0\0\0");
        [entry.flags, entry.method, 0, 0, 0, 0].iter().for_each(|field| directory.extend(field.to_le_bytes()));
        [listed, listed].iter().for_each(|field| directory.extend(field.to_le_bytes()));
        [entry.name.len() as u16, 0, 0, 0, 0, 0, 0].iter().for_each(|field| directory.extend(field.to_le_bytes()));
        directory.extend(at.to_le_bytes());
        directory.extend(entry.name.as_bytes());
    }
    let (at, len, count) = (file.len(), directory.len(), entries.len());
    file.extend(directory);
    if is_wide {
        let wide = file.len() as u64;
        file.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        [count, count, len, at].iter().for_each(|&field| file.extend((field as u64).to_le_bytes()));
        file.extend(b"PK\x06\x07\0\0\0\0");
        file.extend(wide.to_le_bytes());
        file.extend(b"\x01\0\0\0");
    }
    file.extend(b"PK\x05\x06\0\0\0\0");
    [count as u16, count as u16].iter().for_each(|field| file.extend(field.to_le_bytes()));
    [len as u32, if is_wide { u32::MAX } else { at as u32 }].iter().for_each(|field| file.extend(field.to_le_bytes()));
    file.extend(b"\0\0");
    file
}

fn in_memory(bytes: Vec<u8>) -> WeightFile {
    WeightFile::from_bytes("file".into(), bytes)
}

fn consistent() -> Vec<Packed> {
    let values: Vec<u8> = [1.0f32, 2.0, 3.0].into_iter().flat_map(f32::to_le_bytes).collect();
    vec![
        packed("a/data.pkl", &dictionary(&tensor(3, 1, &[2], &[1]))),
        packed("a/data/0", &values),
        packed("a/version", b"3\n"),
    ]
}

#[test]
fn zip_archives_assembled_by_hand_are_read() {
    for is_wide in [false, true] {
        let file = in_memory(archive(&consistent(), is_wide));
        let contents = read(&file).unwrap();
        assert_eq!(contents.tensors["w"].values(&file, |v| v).unwrap().unwrap(), [2.0, 3.0]);
    }
    // Names that would escape the directory on unpacking are harmless.
    let elsewhere = ["../../data.pkl", "../../data/0"].into_iter().zip(consistent());
    let elsewhere: Vec<Packed> = elsewhere.map(|(name, entry)| Packed { name, ..entry }).collect();
    assert!(read(&in_memory(archive(&elsewhere, false))).is_ok());
    let mut little = consistent();
    little.push(packed("a/byteorder", b"little"));
    assert!(read(&in_memory(archive(&little, false))).is_ok());
    // With lengths after the bytes, the local header has none.
    let descriptors: Vec<Packed> =
        consistent().into_iter().map(|entry| Packed { flags: 0x0808, local_len: Some(0), ..entry }).collect();
    assert!(read(&in_memory(archive(&descriptors, true))).is_ok());
}

#[test]
fn inconsistent_zip_archives_are_refused() {
    let with = |change: &dyn Fn(&mut Vec<Packed>)| {
        let mut entries = consistent();
        change(&mut entries);
        given(read(&in_memory(archive(&entries, false)))).0
    };
    for (says, refused) in [
        ("two data.pkl", with(&|e| e.push(packed("b/data.pkl", b"}.")))),
        ("without a data.pkl (a/data/0, a/version)", with(&|e| drop(e.remove(0)))),
        ("an entry \"a/data/0\" twice", with(&|e| e.push(packed("a/data/0", b"0123456789ab")))),
        (
            "an entry \"a/version\" that overlaps another",
            with(&|e| (e[1].local_len, e[1].listed_len) = (Some(20), Some(20))),
        ),
        ("overlaps another", with(&|e| e[2] = Packed { listed_at: Some(0), local_name: None, ..e[0].clone() })),
        ("whose local header does not match", with(&|e| e[1].local_name = Some("a/data/1"))),
        ("whose local header does not match", with(&|e| e[1].local_len = Some(4))),
        ("whose local header does not match", with(&|e| e[1].listed_at = Some(7))),
        ("whose local header does not match", with(&|e| e[1].listed_at = Some(u32::MAX - 1))),
        ("that extends into the directory", with(&|e| (e[2].local_len, e[2].listed_len) = (Some(9999), Some(9999)))),
        ("\"a/data/0\" is compressed or encrypted", with(&|e| e[1].method = 8)),
        ("\"a/data.pkl\" is compressed or encrypted", with(&|e| e[0].flags = 1)),
        ("another byte order", with(&|e| e.push(packed("a/byteorder", b"big")))),
        ("TorchScript", with(&|e| e.push(packed("a/constants.pkl", b"")))),
        ("TorchScript", with(&|e| e.push(packed("a/code/model.py", b"")))),
        ("no values for the storage \"0\" under \"w\"", with(&|e| drop(e.remove(1)))),
        ("a storage \"0\" of 4 bytes instead of 3 values of 4 bytes", with(&|e| e[1].bytes.truncate(4))),
        ("a storage \"0\" of 16 bytes", with(&|e| e[1].bytes.extend([0; 4]))),
    ] {
        assert!(refused.contains(says), "{refused} does not say {says:?}");
    }
    let descriptors: Vec<Packed> =
        consistent().into_iter().map(|entry| Packed { flags: 0x0808, local_len: Some(0), ..entry }).collect();
    let (narrow, wide, with_descriptors) =
        (archive(&consistent(), false), archive(&consistent(), true), archive(&descriptors, false));
    let last = 22 + 46 + "a/version".len();
    let changed = |file: &[u8], from_end: usize, value: u8| {
        let mut file = file.to_vec();
        let at = file.len() - from_end;
        file[at] = value;
        given(read(&in_memory(file))).0
    };
    for (says, refused) in [
        ("a directory of 3 entries instead of 4", changed(&narrow, 12, 4)),
        ("a directory that is not at its end", changed(&narrow, 6, 0)),
        ("no directory at its end", changed(&narrow, 2, 1)),
        ("no directory at its end", given(read(&in_memory([&narrow[..], b"x"].concat()))).0),
        ("two end records that contradict each other", changed(&wide, 12, 4)),
        ("no zip64 end record", changed(&wide, 22 + 20 + 56, 0)),
        ("a directory truncated after 2 entries", changed(&narrow, last, b'?')),
        ("an entry \"a/version\" with two different lengths", changed(&with_descriptors, last - 24, 9)),
    ] {
        assert!(refused.contains(says), "{refused} does not say {says:?}");
    }
}

#[test]
fn tensors_outside_their_storages_are_refused() {
    let file = |value: &[u8]| {
        let mut entries = consistent();
        entries[0].bytes = dictionary(value);
        in_memory(archive(&entries, false))
    };
    let values = |value: &[u8]| {
        let file = file(value);
        let tensor = read(&file).unwrap().tensors.remove("w").unwrap();
        tensor.values(&file, |v| v).unwrap().unwrap()
    };
    assert_eq!(values(&tensor(3, 0, &[3], &[1])), [1.0, 2.0, 3.0]);
    assert_eq!(values(&tensor(3, 2, &[], &[])), [3.0]);
    assert_eq!(values(&tensor(3, 0, &[2, 2], &[1, 1])), [1.0, 2.0, 2.0, 3.0]);
    assert_eq!(values(&tensor(3, 1, &[2, 2], &[0, 1])), [2.0, 3.0, 2.0, 3.0]);
    assert_eq!(values(&tensor(3, 3, &[0], &[1])), [0.0; 0]);
    for (says, value) in [
        ("at offset 1 in a storage of 3", tensor(3, 1, &[3], &[1])),
        ("at offset 0 in a storage of 3", tensor(3, 0, &[2], &[3])),
        ("at offset 4 in a storage of 3", tensor(3, 4, &[0], &[1])),
        ("2 axes with strides that do not match", tensor(3, 0, &[1, 1], &[1])),
        ("at most 8 whole numbers", tensor(3, 0, &[1; 9], &[1; 9])),
    ] {
        let (given, _) = given(read(&file(&value)));
        assert!(given.contains(says), "{given} does not say {says:?}");
    }
    // Negative numbers, and numbers whose products overflow.
    let layout = |offset: &[u8], size: &[u8], stride: &[u8]| {
        let storage = b"ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x03tQ";
        [storage.as_slice(), offset, size, b"\x85", stride, b"\x85\x89}tR"].concat()
    };
    let (one, negative) = (b"K\x01".as_slice(), b"J\xff\xff\xff\xff".as_slice());
    let most = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f".as_slice();
    for (says, value) in [
        ("whose offset is not a whole number", layout(negative, one, one)),
        ("at most 8 whole numbers", layout(one, negative, one)),
        ("with strides that do not match", layout(one, one, negative)),
        ("in a storage of 3", layout(most, one, one)),
        ("in a storage of 3", layout(one, most, one)),
        ("in a storage of 3", layout(one, b"K\x02", most)),
        ("in a storage of 3", layout(one, most, most)),
    ] {
        let (given, _) = given(read(&file(&value)));
        assert!(given.contains(says), "{given} does not say {says:?}");
    }
    // The stride of an axis of 1 makes no difference.
    assert_eq!(values(&layout(one, one, most)), [2.0]);
}

/// A legacy archive: the object, the keys of its storages, and the storages.
fn legacy(version: &[u8], system: &[u8], object: &[u8], keys: &[u8], storages: &[u8]) -> WeightFile {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".as_slice();
    in_memory([magic, version, system, object, keys, storages].concat())
}

#[test]
fn inconsistent_legacy_archives_are_refused() {
    let (version, system) = (b"M\xe9\x03.".as_slice(), b"}U\rlittle_endian\x88s.".as_slice());
    let object = dictionary(&tensor(3, 1, &[2], &[1]));
    let keys = b"]U\x010a.".as_slice();
    let values: Vec<u8> = [1.0f32, 2.0, 3.0].into_iter().flat_map(f32::to_le_bytes).collect();
    let storage = |count: i64| [count.to_le_bytes().as_slice(), &values].concat();
    let file = legacy(version, system, &object, keys, &storage(3));
    assert_eq!(read(&file).unwrap().tensors["w"].values(&file, |v| v).unwrap().unwrap(), [2.0, 3.0]);
    let big = b"}U\rlittle_endian\x89s.".as_slice();
    let twice = [storage(3), storage(3)].concat();
    for (says, file) in [
        ("a version other than 1001", legacy(b"M\xe8\x03.", system, &object, keys, &storage(3))),
        ("a big-endian machine", legacy(version, big, &object, keys, &storage(3))),
        ("None instead of a dictionary of tensors", legacy(version, system, b"N.", b"].", b"")),
        ("a dictionary without tensors", legacy(version, system, b"}.", b"].", b"")),
        ("None instead of the keys", legacy(version, system, &object, b"N.", &storage(3))),
        ("a list instead of the keys", legacy(version, system, &object, b"]Na.", &storage(3))),
        ("a storage \"1\" that no tensor uses", legacy(version, system, &object, b"]U\x011a.", &storage(3))),
        ("no values for the storage \"0\"", legacy(version, system, &object, b"].", b"")),
        ("two storages \"0\"", legacy(version, system, &object, b"](U\x010U\x010e.", &twice)),
        ("a storage \"0\" of -1 values", legacy(version, system, &object, keys, &storage(-1))),
        ("of 9223372036854775807 values", legacy(version, system, &object, keys, &storage(i64::MAX))),
        ("the end of the file within the values", legacy(version, system, &object, keys, &storage(4))),
        ("the end of the file within the length", legacy(version, system, &object, keys, &[0; 7])),
        ("a storage \"0\" of 8 bytes instead of 3 values", legacy(version, system, &object, keys, &storage(2))),
    ] {
        let (given, _) = given(read(&file));
        assert!(given.contains(says), "{given} does not say {says:?}");
    }
}

#[test]
fn parts_of_storages_of_old_files_are_found() {
    let object = |part: &[u8]| {
        let id = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x03".as_slice();
        let layout = b"tQK\x01K\x01\x85K\x01\x85\x89}tR".as_slice();
        dictionary(&[b"ctorch._utils\n_rebuild_tensor_v2\n(", id, part, layout].concat())
    };
    let values: Vec<u8> = [1.0f32, 2.0, 3.0].into_iter().flat_map(f32::to_le_bytes).collect();
    let storage = [3i64.to_le_bytes().as_slice(), &values].concat();
    let archive = |part: &[u8]| legacy(b"M\xe9\x03.", b"}.", &object(part), b"]U\x010a.", &storage);
    for (part, want) in [(b"N".as_slice(), 2.0), (b"(U\x017K\x01K\x02t", 3.0)] {
        let file = archive(part);
        assert_eq!(read(&file).unwrap().tensors["w"].values(&file, |v| v).unwrap().unwrap(), [want]);
    }
    for (part, says) in [
        (b"(U\x017K\x02K\x02t".as_slice(), "part is not within it"),
        (b"(U\x017K\x01K\x01t", "in a storage of 1"),
        (b"K\x01", "part is not within it"),
        (b"NN", "a persistent id that is not a tuple"),
    ] {
        let (given, _) = given(read(&archive(part)));
        assert!(given.contains(says), "{given} does not say {says:?}");
    }
}

#[test]
fn a_state_dict_that_is_an_object_is_named() {
    let file = |value: &[u8]| {
        let pickle = [b"\x80\x02}(U\x05epochK\x01U\nstate_dict".as_slice(), value, b"u."].concat();
        in_memory(archive(&[packed("data.pkl", &pickle)], false))
    };
    let (found, hint) = given(read(&file(b"cmy.code\nState\n)\x81")));
    assert_eq!(found, "an object of my.code.State under \"state_dict\" instead of a dictionary of tensors");
    assert!(hint.contains("state_dict()"), "{hint}");
    assert_eq!(given(read(&file(b"}"))).0, "a dictionary without tensors");
    // Storages with unknown elements, and persistent ids of something else.
    let quantised =
        b"}U\x01wctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nQInt8Storage\nU\x010U\x03cpuK\x03tQ\
                      K\x00K\x03\x85K\x01\x85\x89}tRs";
    assert_eq!(given(read(&file(quantised))).0, "a dictionary without tensors");
    for (id, says) in [
        (b"U\x01xQ".as_slice(), "a persistent id that is not a tuple"),
        (b"(U\x05otherNtQ", "a persistent id of something other than a storage"),
        (b"(U\x07storagectorch\nFloatStorage\nNU\x03cpuK\x03tQ", "whose key is not text"),
        (b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuNtQ", "whose length is not a whole number"),
        (b"(U\x07storagectorch\nSize\nU\x010U\x03cpuK\x03tQ", "whose class is not a storage class"),
        (b"(U\x06modulecmy\nNet\nU\x01xU\x01ytQ", "a whole model"),
    ] {
        let (given, _) = given(read(&file(id)));
        assert!(given.contains(says), "{given} does not say {says:?}");
    }
}
