//! Weight files and pictures that are cut off, damaged or malicious: they never cause a panic, a call or a large
//! allocation.

mod common;

use common::{fixture_path, golden_path};
use rayon::prelude::*;
use resnet3d_wgpu::{BackboneConfig, Checkpoint, InflateMode, WeightOptions};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which counts the bytes that each thread has allocated.
struct Counting;

thread_local! {
    /// The bytes allocated now, and the peak since [`peak_of`] began.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // A thread that is ending has no counter any more.
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        held.set((now + bytes, peak.max(now + bytes)));
    });
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the pointer came from `alloc` with this layout, hence from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may exist side by side for a moment.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The result of `work`, and the peak of its allocated bytes on this thread.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    let result = work();
    (result, usize::try_from(HELD.get().1 - before).unwrap_or(0))
}

/// The memory that a weight file may take in addition to eight times its size (its inflated tensors).
const ALLOWED: usize = 48 << 20;

fn options() -> WeightOptions {
    WeightOptions::default().inflate(InflateMode::CenterOnly)
}

/// Opens `bytes` and loads the weights of the network that they describe. Only panics and memory matter, not the
/// result.
fn use_up(name: &str, bytes: &[u8]) {
    let ((), peak) = peak_of(|| {
        let Ok(checkpoint) = Checkpoint::from_bytes(name, bytes.to_vec()) else { return };
        let config = checkpoint.network().ok().flatten().unwrap_or_default();
        drop(checkpoint.load(&config, &options()));
    });
    assert!(peak <= ALLOWED + 8 * bytes.len(), "{name}: {peak} bytes for a file of {}", bytes.len());
}

fn read(path: std::path::PathBuf) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Small intact files of all kinds, with names that tell their kinds.
fn small_files() -> Vec<(&'static str, Vec<u8>)> {
    let mut files: Vec<_> =
        (0..=5).map(|n| ("small.pkl", read(golden_path(&format!("py3_protocol{n}.pkl"))))).collect();
    files.push(("small.safetensors", read(golden_path("pickles.safetensors"))));
    for name in ["everything.pth", "everything_legacy.pth", "resnet.pth", "resnet_legacy.pth"] {
        files.push((name, read(golden_path("torch").join(name))));
    }
    files
}

#[test]
fn every_truncation_is_an_error() {
    let mut files = small_files();
    files.push(("pk01.pkl", read(fixture_path("pk01_py2_blobs_cfg.pkl"))));
    files.push(("pk02.safetensors", read(fixture_path("pk02_py3_bare_extras.safetensors"))));
    for (name, file) in &files {
        Checkpoint::from_bytes(*name, file.clone()).unwrap();
        (0..file.len()).into_par_iter().for_each(|len| {
            let cut = Checkpoint::from_bytes(*name, file[..len].to_vec());
            assert!(cut.is_err(), "{name}: the first {len} of {} bytes were accepted", file.len());
        });
    }
    // The arrays of this file are text that is decoded, which takes time: not every length is tested.
    let large = read(fixture_path("pk02_py3_bare_extras.pkl"));
    (0..large.len()).into_par_iter().step_by(101).for_each(|len| {
        assert!(Checkpoint::from_bytes("pk02.pkl", large[..len].to_vec()).is_err(), "{len}");
    });
}

#[test]
fn a_hundred_thousand_damaged_files_are_survived() {
    let mut files = small_files();
    files.push(("pk01.pkl", read(fixture_path("pk01_py2_blobs_cfg.pkl"))));
    let narrow = r#"{"block_counts": [1, 1, 1], "feat_dims": [2, 2, 3, 4], "width_per_group": 2}"#;
    let config = BackboneConfig::from_json(narrow).unwrap();
    let weights = resnet3d_wgpu::Weights::random(&config, 1).unwrap();
    let body =
        weights.to_safetensors(&config, None, None, None, resnet3d_wgpu::weights::Storage::F16).unwrap().to_bytes();
    files.push(("body.safetensors", body));
    let seed = std::env::var("RESNET3D_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    println!("seed {seed}");
    (0..100_000u64).into_par_iter().for_each(|case| {
        let mut random = fastrand::Rng::with_seed(seed ^ case << 20);
        let (name, file) = &files[random.usize(..files.len())];
        let mut file = file.clone();
        for _ in 0..random.usize(1..=4) {
            // Arrays are most of a file and the least interesting part: half of the damage is done at its head.
            let head = if random.bool() { file.len() } else { file.len().min(2000) };
            let at = random.usize(..head);
            file[at] = random.u8(..);
        }
        use_up(name, &file);
    });
}

/// Every kind of picture, damaged in a few bytes. (`tests/clip/pictures.rs` has pictures that end early.)
#[cfg(feature = "files")]
#[test]
fn damaged_pictures_are_survived() {
    use resnet3d_wgpu::clip::files::{LoadOptions, load};
    use resnet3d_wgpu::clip::preprocess::{Preprocess, Size};

    let entries = golden_path("pictures").read_dir().unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.push(fixture_path("overflow.jpg"));
    files.sort();
    let files: Vec<_> = files.into_iter().map(|path| (path.display().to_string(), read(path))).collect();
    let preprocess = Preprocess::default().size(Size::Shorter(8)).max_size(16);
    let options = LoadOptions::default().preprocess(preprocess);
    let seed = std::env::var("RESNET3D_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    println!("seed {seed}");
    let directory = || tempfile::tempdir().unwrap();
    let refused = (0..20_000u64).into_par_iter().map_init(directory, |directory, case| {
        let mut random = fastrand::Rng::with_seed(seed ^ case << 20);
        let (name, file) = &files[random.usize(..files.len())];
        let mut file = file.clone();
        for _ in 0..random.usize(1..=4) {
            let head = if random.bool() { file.len() } else { file.len().min(200) };
            let at = random.usize(..head);
            file[at] = random.u8(..);
        }
        std::fs::write(directory.path().join("0.png"), &file).unwrap();
        let (outcome, peak) = peak_of(|| load(directory.path(), &options));
        // A block of a JPEG takes at least one bit. Pictures of the other kinds may have the largest size that is
        // allowed.
        let allowed = if file.starts_with(b"\xff\xd8\xff") { ALLOWED + (file.len() << 14) } else { 3 << 29 };
        assert!(peak <= allowed, "{name}, case {case}: {peak} bytes for a file of {}", file.len());
        let refused = outcome.err().map(|error| error.to_string());
        assert!(!refused.as_ref().is_some_and(|text| text.contains("decoder failed")), "{name}, case {case}: a panic");
        usize::from(refused.is_some())
    });
    assert!(refused.sum::<usize>() > 2_000);
}

/// A pickle of protocol 2 from its instructions.
fn pickle(parts: &[&[u8]]) -> Vec<u8> {
    [b"\x80\x02".as_slice(), &parts.concat(), b"."].concat()
}

#[test]
fn nothing_is_called() {
    let directory = tempfile::tempdir().unwrap();
    let witness = directory.path().join("witness");
    let command = format!("touch {}", witness.display());
    let call = |module: &str| {
        let mut text = vec![b'U', u8::try_from(command.len()).unwrap()];
        text.extend(command.as_bytes());
        pickle(&[format!("c{module}\nsystem\n").as_bytes(), &text, b"\x85R"])
    };
    for module in ["os", "posix", "nt"] {
        let error = Checkpoint::from_bytes("evil.pkl", call(module)).unwrap_err().to_string();
        assert!(error.contains("evil.pkl") && error.contains(&format!("global \"{module}.system\"")), "{error}");
    }
    // A pickle of protocol 0, which is text and begins differently.
    let old = format!("cos\nsystem\n(S'{command}'\ntR.");
    let error = Checkpoint::from_bytes("evil.pkl", old.into_bytes()).unwrap_err().to_string();
    assert!(error.contains("\"os.system\" at byte 0"), "{error}");
    assert!(!witness.exists());
}

/// A string of Python 2 with its length.
fn string(text: &[u8]) -> Vec<u8> {
    [b"T".as_slice(), &u32::try_from(text.len()).unwrap().to_le_bytes(), text].concat()
}

#[test]
fn one_array_is_not_a_whole_network() {
    // 900 basic blocks of 64 channels a stage, and one array of 147 kB as the weight of them all.
    let reconstruct = b"cnumpy.core.multiarray\n_reconstruct\nq\x000cnumpy\nndarray\nK\x00\x85U\x01b\x87q\x010";
    let dtype = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87Rq\x020";
    let array = |shape: &[u8], values: usize| {
        let axes: Vec<u8> = shape.iter().flat_map(|&axis| [b'K', axis]).collect();
        let data = string(&vec![0; 4 * values]);
        [b"h\x00h\x01R(K\x01(".as_slice(), &axes, b"th\x02\x89", &data, b"tb"].concat()
    };
    let mut parts = vec![b"\x80\x02".to_vec(), reconstruct.to_vec(), dtype.to_vec(), b"}q\x03".to_vec()];
    let put = |name: String, value: Vec<u8>| [string(name.as_bytes()), value, b"s".to_vec()].concat();
    parts.push(put("conv1_w".to_owned(), array(&[64, 3, 7, 7], 64 * 147)));
    parts.push(put("res_conv1_bn_s".to_owned(), [array(&[64], 64), b"q\x04".to_vec()].concat()));
    parts.push(put("res_conv1_bn_b".to_owned(), b"h\x04".to_vec()));
    parts.push(put("shared".to_owned(), [array(&[64, 64, 3, 3], 64 * 64 * 9), b"q\x05".to_vec()].concat()));
    for block in (2..=4).flat_map(|stage| (0..900).map(move |block| format!("res{stage}_{block}"))) {
        for branch in ["branch2a", "branch2b"] {
            parts.push(put(format!("{block}_{branch}_w"), b"h\x05".to_vec()));
            parts.push(put(format!("{block}_{branch}_bn_s"), b"h\x04".to_vec()));
            parts.push(put(format!("{block}_{branch}_bn_b"), b"h\x04".to_vec()));
        }
    }
    parts.push(b".".to_vec());
    let file = parts.concat();
    let checkpoint = Checkpoint::from_bytes("shared.pkl", file.clone()).unwrap();
    let config = BackboneConfig {
        feat_dims: vec![64; 4],
        block_counts: vec![900; 3],
        transformation: resnet3d_wgpu::Transformation::Basic,
        time_kernel_dim: 1,
        ..BackboneConfig::default()
    };
    let (result, peak) = peak_of(|| checkpoint.load(&config, &options()).map(drop));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("one array as several parameters"), "{error}");
    assert!(peak <= ALLOWED + 8 * file.len(), "{peak}");
    use_up("shared.pkl", &file);
}

/// A tensor for [`legacy`]: its name, its extents and strides, and the index of its storage.
type Tensor<'a> = (String, &'a [usize], &'a [usize], usize);

/// A legacy archive of these tensors. `storages` has the number of floats of each storage, all of them 0.
fn legacy(tensors: &[Tensor<'_>], storages: &[usize]) -> Vec<u8> {
    let whole = |n: usize| [b"J".as_slice(), &i32::try_from(n).unwrap().to_le_bytes()].concat();
    let tuple = |axes: &[usize]| [b"(".to_vec(), axes.iter().flat_map(|&n| whole(n)).collect(), b"t".to_vec()].concat();
    let mut file = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.M\xe9\x03.}.}".to_vec();
    for (name, shape, strides, storage) in tensors {
        file.extend(string(name.as_bytes()));
        file.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\n");
        file.extend(string(storage.to_string().as_bytes()));
        file.extend(b"U\x03cpu");
        file.extend(whole(storages[*storage]));
        file.extend([b"tQK\0".as_slice(), &tuple(shape), &tuple(strides), b"\x89}tRs"].concat());
    }
    file.extend(b".](");
    (0..storages.len()).for_each(|storage| file.extend(string(storage.to_string().as_bytes())));
    file.extend(b"e.");
    for &len in storages {
        file.extend((len as u64).to_le_bytes());
        file.resize(file.len() + 4 * len, 0);
    }
    file
}

/// The network of [`blocks`].
fn of_blocks(width: usize, count: usize) -> BackboneConfig {
    BackboneConfig {
        feat_dims: vec![width, width, 2 * width, 4 * width],
        block_counts: vec![count; 3],
        transformation: resnet3d_wgpu::Transformation::Basic,
        width_per_group: width,
        time_kernel_dim: 1,
        ..BackboneConfig::default()
    }
}

/// Every tensor of a network of basic blocks, with torchvision's names: its shape, and the strides of row-major order.
fn blocks(width: usize, count: usize) -> Vec<(String, Vec<usize>, Vec<usize>)> {
    let mut tensors = Vec::new();
    let mut put = |name: String, shape: Vec<usize>| {
        let strides = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        tensors.push((name, shape, strides));
    };
    let mut layer = |conv: String, norm: String, shape: [usize; 4]| {
        put(format!("{conv}.weight"), shape.to_vec());
        for part in ["weight", "bias", "running_mean", "running_var"] {
            put(format!("{norm}.{part}"), vec![shape[0]]);
        }
    };
    layer("conv1".to_owned(), "bn1".to_owned(), [width, 3, 7, 7]);
    let mut before = width;
    for (stage, block) in (1..=3).flat_map(|stage| (0..count).map(move |block| (stage, block))) {
        let (base, own) = (format!("layer{stage}.{block}"), width << (stage - 1));
        layer(format!("{base}.conv1"), format!("{base}.bn1"), [own, before, 3, 3]);
        layer(format!("{base}.conv2"), format!("{base}.bn2"), [own, own, 3, 3]);
        if before != own {
            layer(format!("{base}.downsample.0"), format!("{base}.downsample.1"), [own, before, 1, 1]);
        }
        before = own;
    }
    tensors
}

#[test]
fn one_value_is_not_a_whole_network() {
    // One value expanded by strides of 0, and one storage shared by many tensors.
    let tensors = blocks(256, 30);
    let expanded: Vec<Tensor<'_>> =
        tensors.iter().map(|(name, shape, _)| (name.clone(), &shape[..], &[0; 4][..shape.len()], 0)).collect();
    let shared: Vec<Tensor<'_>> =
        tensors.iter().map(|(name, shape, strides)| (name.clone(), &shape[..], &strides[..], 0)).collect();
    for (what, file) in [("expanded", legacy(&expanded, &[1])), ("shared", legacy(&shared, &[1024 * 1024 * 9]))] {
        let checkpoint = Checkpoint::from_bytes("bomb.pth", file.clone()).unwrap();
        let (result, peak) = peak_of(|| checkpoint.load(of_blocks(256, 30), &options()).map(drop));
        let error = result.unwrap_err().to_string();
        assert!(error.contains("one array as several parameters"), "{what}: {error}");
        assert!(peak < 4 << 20, "{what}: {peak}");
        use_up("bomb.pth", &file);
    }
    // Tensors may share a storage if the file is as large as the weights that they become.
    let tensors = blocks(4, 1);
    let mut tied: Vec<Tensor<'_>> =
        tensors.iter().map(|(name, shape, strides)| (name.clone(), &shape[..], &strides[..], 0)).collect();
    tied.push(("fc.weight".to_owned(), &[16384], &[1], 0));
    let checkpoint = Checkpoint::from_bytes("tied.pth", legacy(&tied, &[16384])).unwrap();
    checkpoint.load(of_blocks(4, 1), &options()).unwrap();
}

/// Tensors that nobody asks for are not read, and the file is not held in memory.
#[test]
fn large_files_are_read_only_where_they_are_wanted() {
    let mut tensors = blocks(4, 1);
    tensors.push(("fc.weight".to_owned(), vec![8 << 20], vec![1]));
    let sizes: Vec<usize> = tensors.iter().map(|(_, shape, _)| shape.iter().product()).collect();
    let torch: Vec<Tensor<'_>> = tensors
        .iter()
        .enumerate()
        .map(|(index, (name, shape, strides))| (name.clone(), &shape[..], &strides[..], index))
        .collect();
    let zeros = vec![0; 4 * (8 << 20)];
    let views = tensors.iter().zip(&sizes).map(|((name, shape, _), size)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), &zeros[..4 * size]);
        (name.as_str(), view.unwrap())
    });
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in
        [("large.pth", legacy(&torch, &sizes)), ("large.safetensors", safetensors::serialize(views, None).unwrap())]
    {
        assert!(bytes.len() > 32 << 20);
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let (weights, peak) = peak_of(|| Checkpoint::open(&path).unwrap().weights(of_blocks(4, 1)).unwrap());
        assert_eq!(weights.tensors().count(), 9 * 3);
        println!("{name}: {peak} bytes");
        // A megabyte is searched for the pickles.
        assert!(peak < 3 << 20, "{name}: {peak}");
    }
}

#[test]
fn bombs_of_torch_stay_small() {
    let million = 1 << 20;
    let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.M\xe9\x03.}.";
    let archive = |parts: &[&[u8]]| [head.as_slice(), &parts.concat(), b"."].concat();
    let storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tq\x00Qq\x01";
    let eight = b"(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01tq\x03h\x03";
    let view = [b"ctorch._utils\n_rebuild_tensor_v2\nq\x020(h\x01K\0".as_slice(), eight, b"\x89}tq\x040"].concat();
    let name = [b"X".as_slice(), &1000u32.to_le_bytes(), &vec![b'x'; 1000], b"q\x00"].concat();
    let bombs: Vec<(&str, Vec<u8>)> = vec![
        ("storages", archive(&[storage, &b"h\0Q0".repeat(million / 8)])),
        ("tensors", archive(&[storage, &view, &b"h\x02h\x04R0".repeat(million / 8)])),
        ("objects", archive(&[b"ca\nb\nq\x00", &b"h\x00)\x81".repeat(million / 8)])),
        ("classes", archive(&[&name, &b"h\x00h\x00\x930".repeat(million / 8)])),
        ("lists", archive(&[&b"]Na".repeat(million / 8)])),
        ("sets", archive(&[&vec![0x8f; million]])),
        ("numbers", archive(&[b"\x8b\xff\xff\xff\x7f"])),
        ("lines", archive(&[&vec![b'S'; million]])),
        ("keys", [head.as_slice(), b"}.", b"](", &b"U\x010".repeat(million / 8), b"e."].concat()),
        ("a storage of exabytes", {
            let object =
                b"(U\x07storagectorch\nByteStorage\nU\x010U\x03cpu\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7ftQ.]U\x010a.";
            [head.as_slice(), object, &i64::MAX.to_le_bytes()].concat()
        }),
    ];
    for (name, bomb) in bombs {
        let (result, peak) = peak_of(|| Checkpoint::from_bytes("bomb.pth", bomb.clone()).map(drop));
        println!("{name}: {:.1} MiB for {:.1} MiB", peak as f64 / 1048576.0, bomb.len() as f64 / 1048576.0);
        assert!(result.is_err(), "{name}");
        assert!(peak <= ALLOWED + bomb.len(), "{name}: {peak}");
    }
    // A directory that repeats one entry.
    let entry = b"PK\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let local = b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let (count, len) = (u16::MAX, u32::from(u16::MAX) * 46);
    let end =
        [b"PK\x05\x06\0\0\0\0".as_slice(), &count.to_le_bytes(), &count.to_le_bytes(), &len.to_le_bytes()].concat();
    let zip = [local.as_slice(), &entry.repeat(count.into()), &end, b"\x1e\0\0\0\0\0"].concat();
    let (result, peak) = peak_of(|| Checkpoint::from_bytes("bomb.pth", zip.clone()).map(drop));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("overlaps") || error.contains("twice"), "{error}");
    assert!(peak <= ALLOWED + zip.len(), "{peak}");
}

#[test]
fn bombs_stay_small() {
    let million = 1 << 20;
    let unicode = |text: &[u8]| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text].concat();
    let long = unicode(&vec![b'x'; million]);
    let empty_array = b"cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nK\x00\x85U\x01b\x87q\x01";
    let huge = [b"(".as_slice(), &b"J\xff\xff\xff\x7f".repeat(8), b"tq\x02cnumpy\ndtype\nU\x02f8\x85Rq\x03"].concat();
    let bombs: Vec<(&str, Vec<u8>)> = vec![
        ("values", pickle(&[&vec![b'N'; million]])),
        ("marks", pickle(&[&vec![b'('; million]])),
        ("dictionaries", pickle(&[&vec![b'}'; million]])),
        ("remembered", pickle(&[b"N", &vec![0x94; million]])),
        ("deep", pickle(&[b"N", &vec![0x85; million]])),
        ("doubled", pickle(&[b"Nq\x00", &b"h\x00h\x00\x86q\x00".repeat(million / 8)])),
        ("entries", pickle(&[b"}", &b"NNs".repeat(million)])),
        ("arrays", pickle(&[empty_array, &b"h\x00h\x01R".repeat(million / 8)])),
        (
            "dtypes",
            pickle(&[b"cnumpy\ndtype\nq\x00U\x0fi23456789012345\x85q\x01", &b"h\x00h\x01R".repeat(million / 8)]),
        ),
        ("keys", pickle(&[b"}q\x00", &long, b"q\x010h\x00", &b"h\x01Ns".repeat(80_000)])),
        (
            "texts",
            pickle(&[b"c_codecs\nencode\nq\x000", &long, b"U\x06latin1\x86q\x01", &b"h\x00h\x01R0".repeat(50_000)]),
        ),
        (
            "a claim of exabytes",
            pickle(&[b"}U\x01w", empty_array, b"h\x00h\x01R(K\x01", &huge, b"h\x02h\x03\x89U\x00tbs"]),
        ),
        ("a length", pickle(&[b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"])),
    ];
    for (name, bomb) in bombs {
        let (result, peak) = peak_of(|| Checkpoint::from_bytes("bomb.pkl", bomb.clone()).map(drop));
        println!("{name}: {:.1} MiB for {:.1} MiB", peak as f64 / 1048576.0, bomb.len() as f64 / 1048576.0);
        assert!(result.is_err(), "{name}");
        assert!(peak <= ALLOWED + bomb.len(), "{name}: {peak}");
    }
    // Safetensors whose header claims more data than the file has, or nests without end.
    let header = |length: u64, text: &[u8]| [&length.to_le_bytes(), text].concat();
    let tensor = br#"{"w":{"dtype":"F64","shape":[2305843009213693951,2305843009213693951],"data_offsets":[0,8]}}"#;
    for (name, file) in [
        ("length", header(u64::MAX, b"{}")),
        ("length within limits", header(99_999_999, b"{}")),
        ("shape", header(tensor.len() as u64, tensor)),
        ("nesting", header(million as u64, &vec![b'['; million])),
    ] {
        let (result, peak) = peak_of(|| Checkpoint::from_bytes("bomb.safetensors", file.clone()).map(drop));
        assert!(result.is_err() && peak <= ALLOWED + file.len(), "{name}: {peak}");
    }
}
