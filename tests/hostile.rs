//! Weight files and pictures that are cut off, damaged or made to do harm: errors, never a panic, a call or a large
//! allocation.

mod common;

use common::{fixture_path, golden_path};
use rayon::prelude::*;
use resnet3d_wgpu::{BackboneConfig, Checkpoint, InflateMode, WeightOptions};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting what each thread holds.
struct Counting;

thread_local! {
    /// Bytes held now, and at most since [`peak_of`] looked.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // A thread that is ending has no counter any more.
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        held.set((now + bytes, peak.max(now + bytes)));
    });
}

// SAFETY: every call goes to the system's allocator as it came.
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

/// What `work` returns, and the most bytes that it held at a time on this thread.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    let result = work();
    (result, usize::try_from(HELD.get().1 - before).unwrap_or(0))
}

/// What a weight file may take besides its own bytes, and eight times those (its tensors, inflated).
const ALLOWED: usize = 48 << 20;

const OPTIONS: WeightOptions = WeightOptions { inflate: Some(InflateMode::CenterOnly), seed: 0 };

/// Opens `bytes` and loads the weights of the network that they show. What comes of it does not matter, only how.
fn use_up(name: &str, bytes: &[u8]) {
    let ((), peak) = peak_of(|| {
        let Ok(checkpoint) = Checkpoint::from_bytes(name, bytes.to_vec()) else { return };
        let config = checkpoint.config().ok().flatten().unwrap_or_default();
        drop(checkpoint.load(&config, &OPTIONS));
    });
    assert!(peak <= ALLOWED + 8 * bytes.len(), "{name}: {peak} bytes for a file of {}", bytes.len());
}

fn read(path: std::path::PathBuf) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Small whole files of both kinds, with the names that tell their kinds.
fn small_files() -> Vec<(&'static str, Vec<u8>)> {
    let mut files: Vec<_> =
        (2..=5).map(|n| ("small.pkl", read(golden_path(&format!("py3_protocol{n}.pkl"))))).collect();
    files.push(("small.safetensors", read(golden_path("pickles.safetensors"))));
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
    // The text of its arrays is decoded on the way, so not every length of this one.
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
    let body = weights.to_safetensors(&config, None, resnet3d_wgpu::weights::Storage::F16).unwrap().to_bytes();
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

/// Every kind of picture, damaged in a few bytes. (What ends early is in `tests/clip/pictures.rs`.)
#[cfg(feature = "cli")]
#[test]
fn damaged_pictures_are_survived() {
    use resnet3d_wgpu::clip::files::{LoadOptions, load};
    use resnet3d_wgpu::clip::preprocess::Preprocess;

    let entries = golden_path("pictures").read_dir().unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.push(fixture_path("overflow.jpg"));
    files.sort();
    let files: Vec<_> = files.into_iter().map(|path| (path.display().to_string(), read(path))).collect();
    let preprocess = Preprocess { target_size: 8, max_size: Some(16), ..Preprocess::default() };
    let options = LoadOptions { preprocess, ..LoadOptions::default() };
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
        // A block of a JPEG has a bit at least; the other kinds may be as large as pictures may be.
        let allowed = if file.starts_with(b"\xff\xd8\xff") { ALLOWED + (file.len() << 14) } else { 3 << 29 };
        assert!(peak <= allowed, "{name}, case {case}: {peak} bytes for a file of {}", file.len());
        let refused = outcome.err().map(|error| error.to_string());
        assert!(!refused.as_ref().is_some_and(|text| text.contains("gave up")), "{name}, case {case}: a panic");
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
    // Text of protocol 0, which begins otherwise.
    let old = format!("cos\nsystem\n(S'{command}'\ntR.");
    let error = Checkpoint::from_bytes("evil.pkl", old.into_bytes()).unwrap_err().to_string();
    assert!(
        error.contains("\"os.system\" at byte 0") || error.contains("\"os.system\", which is refused at byte 0"),
        "{error}"
    );
    assert!(!witness.exists());
}

/// A string of Python 2 with its length.
fn string(text: &[u8]) -> Vec<u8> {
    [b"T".as_slice(), &u32::try_from(text.len()).unwrap().to_le_bytes(), text].concat()
}

#[test]
fn one_array_is_not_a_whole_network() {
    // Basic blocks of 64 channels, 900 a stage, and one array of 147 kB as the weight of them all.
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
    let (result, peak) = peak_of(|| checkpoint.load(&config, &OPTIONS).map(drop));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("one array as several parameters"), "{error}");
    assert!(peak <= ALLOWED + 8 * file.len(), "{peak}");
    use_up("shared.pkl", &file);
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
    // Safetensors whose header claims more than there is, or nests without end.
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
