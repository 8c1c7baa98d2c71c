//! Files on disk: kinds of input, batches, broken files, and writing.

use std::collections::HashMap;
use std::path::Path;

use resnet3d_wgpu::clip::files::{
    FrameSelection, LoadOptions, load, load_batch, load_inputs, load_inputs_watched, save_clip,
};
use resnet3d_wgpu::clip::preprocess::{ChannelOrder, Frames, Normalization, preprocess};
use resnet3d_wgpu::{Clip, Error, ErrorKind, Shape};
use safetensors::{Dtype, tensor::TensorView};

use super::{fixture, read_fixture, sizes};

/// Settings that leave a frame of 6x8 pixels as it is.
fn unscaled() -> LoadOptions {
    LoadOptions::default().preprocess(sizes(6, 8, None)).channel_order(ChannelOrder::Rgb).keep_frames(true)
}

fn write_png(path: &Path, width: u32, height: u32, rgb: [u8; 3]) {
    image::RgbImage::from_pixel(width, height, image::Rgb(rgb)).save(path).unwrap();
}

fn write_tensors(path: &Path, tensors: &[(&str, Dtype, &[usize], &[u8])]) {
    let views: HashMap<&str, TensorView<'_>> = tensors
        .iter()
        .map(|&(name, dtype, shape, data)| (name, TensorView::new(dtype, shape.to_vec(), data).unwrap()))
        .collect();
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), data].concat()
}

#[test]
fn fixtures_load_as_files() {
    for name in ["prep01_wide.safetensors", "prep02_two_clips_rgb.safetensors"] {
        let (sizes, frames, expected) = read_fixture(name);
        let options = LoadOptions::default().preprocess(sizes).channel_order(frames[0].order()).keep_frames(true);
        let input = load_inputs(&[fixture(name)], &options).unwrap();
        assert_eq!(input.clip.shape(), expected.shape());
        assert_eq!(input.frames, frames);
        assert_eq!(input.clip, preprocess(&frames, &sizes).unwrap());
    }
}

#[test]
fn frames_come_in_natural_order() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (name, red) in [("frame10.png", 30), ("frame9.png", 20), ("frame1.PNG", 10)] {
        write_png(&at(name), 8, 6, [red, 0, 0]);
    }
    std::fs::write(at("notes.txt"), "no frame").unwrap();
    std::fs::write(at("._frame2.png"), "no frame either").unwrap();
    std::fs::create_dir(at("old.png")).unwrap();

    let input = load_inputs(&[directory.path()], &unscaled()).unwrap();
    assert_eq!(input.clip.shape(), Shape::new(1, 3, 3, 6, 8));
    let reds: Vec<u8> = (0..3).map(|t| input.frames[0].frame(t).unwrap()[0]).collect();
    assert_eq!(reds, [10, 20, 30]);
    // Red is the last channel of a clip.
    let red = &input.clip.data()[2 * 3 * 48..];
    assert_eq!([red[0], red[48], red[96]].map(|value| (f64::from(value) + 122.7717).round()), [10.0, 20.0, 30.0]);
}

#[test]
fn a_file_of_another_kind_under_the_name_of_a_picture_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    write_png(&directory.path().join("0.png"), 8, 6, [1, 2, 3]);
    std::fs::rename(directory.path().join("0.png"), directory.path().join("0.jpg")).unwrap();
    assert!(load(directory.path(), &unscaled()).is_ok(), "a PNG that is called JPEG is still a picture");
    std::fs::write(directory.path().join("1.jpg"), "no picture").unwrap();
    let error = load(directory.path(), &unscaled()).unwrap_err();
    assert!(error.kind() == ErrorKind::Format && error.path().unwrap().ends_with("1.jpg"), "{error}");
}

#[test]
fn ready_clips_of_every_element_type() {
    let directory = tempfile::tempdir().unwrap();
    let values: Vec<f32> = (0..24).map(|i| i as f32 - 7.5).collect();
    let shape = Shape::new(1, 3, 2, 2, 2);
    let single: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let big: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
    let double: Vec<u8> = values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
    let half: Vec<u8> = values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
    let brain: Vec<u8> = values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect();
    // Column-major: the first axis runs fastest.
    let mut fortran = Vec::new();
    for w in 0..2 {
        for h in 0..2 {
            for t in 0..2 {
                for c in 0..3 {
                    fortran.extend(values[((c * 2 + t) * 2 + h) * 2 + w].to_le_bytes());
                }
            }
        }
    }
    let at = |name: &str| directory.path().join(name);
    let axes = "(1, 3, 2, 2, 2)";
    for (name, bytes) in [
        ("single.npy", npy("<f4", false, axes, &single)),
        ("big.npy", npy(">f4", false, axes, &big)),
        ("double.npy", npy("<f8", false, axes, &double)),
        ("half.npy", npy("<f2", false, axes, &half)),
        ("fortran.npy", npy("<f4", true, axes, &fortran)),
    ] {
        std::fs::write(at(name), bytes).unwrap();
    }
    let dims = [1, 3, 2, 2, 2];
    write_tensors(&at("single.safetensors"), &[("data", Dtype::F32, &dims, &single)]);
    write_tensors(&at("double.safetensors"), &[("data", Dtype::F64, &dims, &double)]);
    write_tensors(&at("half.safetensors"), &[("data", Dtype::F16, &dims, &half)]);
    write_tensors(&at("brain.safetensors"), &[("data", Dtype::BF16, &dims, &brain)]);
    let mut seen = 0;
    for entry in directory.path().read_dir().unwrap() {
        let path = entry.unwrap().path();
        let input = load_inputs(&[&path], &LoadOptions::default()).unwrap();
        assert_eq!((input.clip.shape(), input.clip.data()), (shape, &values[..]), "{}", path.display());
        assert!(input.frames.is_empty());
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn several_inputs_form_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let first = Clip::new(Shape::new(1, 3, 1, 2, 2), vec![1.0; 12]).unwrap();
    let second = Clip::new(Shape::new(2, 3, 1, 2, 2), vec![2.0; 24]).unwrap();
    let wider = Clip::new(Shape::new(1, 3, 1, 2, 3), vec![3.0; 18]).unwrap();
    save_clip(&first, None, at("first.safetensors")).unwrap();
    save_clip(&second, None, at("second.safetensors")).unwrap();
    save_clip(&wider, None, at("wider.safetensors")).unwrap();
    let options = unscaled();

    let both = load_batch(&[at("first.safetensors"), at("second.safetensors")], &options).unwrap();
    assert_eq!(both.shape(), Shape::new(3, 3, 1, 2, 2));
    assert_eq!(both.data(), [first.data(), second.data()].concat());
    let error = load_batch(&[at("first.safetensors"), at("wider.safetensors")], &options).unwrap_err();
    assert!(error.to_string().contains("wider.safetensors"), "{error}");
    assert!(error.kind() == ErrorKind::Shape, "{error}");

    for (name, count) in [("short", 1), ("long", 2), ("small", 1)] {
        std::fs::create_dir(at(name)).unwrap();
        for t in 0..count {
            write_png(&at(name).join(format!("{t}.png")), if name == "small" { 6 } else { 8 }, 6, [9, 9, 9]);
        }
    }
    let clip = load_batch(&[at("short"), at("small")], &options).unwrap();
    assert_eq!(clip.shape(), Shape::new(2, 3, 1, 6, 8));
    let error = load_batch(&[at("short"), at("long")], &options).unwrap_err().to_string();
    assert!(error.contains("short") && error.contains("2 frames") && error.contains("long"), "{error}");
    let error = load_batch(&[at("short"), at("first.safetensors")], &options).unwrap_err().to_string();
    assert!(error.contains("short") && error.contains("first.safetensors"), "{error}");
    assert!(load_batch::<&Path>(&[], &options).is_err());
}

#[test]
fn a_ready_clip_says_how_it_was_normalised() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let clip = Clip::new(Shape::new(1, 3, 1, 2, 2), vec![1.0; 12]).unwrap();
    let (detectron, imagenet) = (Normalization::Detectron, Normalization::ImageNet);
    let all = [None, Some(detectron), Some(imagenet)];
    let name = |normalization: Option<Normalization>| {
        at(&format!("{}.safetensors", normalization.map_or("silent".to_owned(), |way| way.to_string())))
    };
    for said in all {
        save_clip(&clip, said, name(said)).unwrap();
        for expected in all {
            let options = LoadOptions::default().expected(expected);
            match load_inputs(&[name(said)], &options) {
                Ok(input) => {
                    assert!(said.is_none() || expected.is_none() || said == expected, "{said:?} {expected:?}");
                    assert_eq!((input.normalization, &input.clip), (said, &clip));
                }
                Err(error) => {
                    assert!(said.is_some() && expected.is_some() && said != expected, "{said:?} {expected:?}: {error}");
                    let text = error.to_string();
                    assert!([detectron, imagenet].iter().all(|it| text.contains(&it.to_string())), "{text}");
                }
            }
        }
    }
    let both = |first, second| load_inputs(&[name(first), name(second)], &LoadOptions::default());
    assert_eq!(both(None, Some(imagenet)).unwrap().normalization, Some(imagenet));
    assert!(both(Some(imagenet), Some(detectron)).is_err_and(|error| error.kind() == ErrorKind::Clip));

    let selection = FrameSelection::default().start(1);
    let error = load(name(None), &LoadOptions::default().selection(selection)).unwrap_err().to_string();
    assert!(error.contains("silent.safetensors") && error.contains("used whole"), "{error}");
}

/// A picture of 2^20 by 2^20 pixels, all of whose chunks are valid.
const VAST_PNG: &[u8] = b"\
      \x89PNG\r\n\x1a\n\
      \x00\x00\x00\rIHDR\x00\x10\x00\x00\x00\x10\x00\x00\x08\x02\x00\x00\x00\xc4J7\x92\
      \x00\x00\x00\x08IDATx\x9c\x03\x00\x00\x00\x00\x01H\x06\x89\xd2\
      \x00\x00\x00\x00IEND\xaeB\x60\x82";

#[test]
fn foreign_and_broken_inputs_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["empty", "mixed", "vast"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    write_png(&at("mixed/0.png"), 8, 6, [0; 3]);
    write_png(&at("mixed/1.png"), 9, 6, [0; 3]);
    // 65 bytes that promise 3 TB.
    std::fs::write(at("vast/0.png"), VAST_PNG).unwrap();
    let good = std::fs::read(fixture("prep01_wide.safetensors")).unwrap();
    let whole = npy("<f4", false, "(1, 3, 1, 1, 1)", &[0; 12]);
    let tuple = "(4294967296, 4294967296, 4294967296, 4294967296, 4294967296)";
    for (name, bytes) in [
        ("truncated.safetensors", &good[..good.len() / 2]),
        ("header.safetensors", &good[..20]),
        ("nothing.safetensors", &[]),
        ("text.safetensors", b"this is no safetensors file at all"),
        ("clip.mp4", b"video"),
        ("text.npy", b"text"),
        ("header.npy", &whole[..40]),
        ("truncated.npy", &whole[..whole.len() - 1]),
        ("rank.npy", &npy("<f4", false, "(3, 2)", &[0; 24])),
        ("zero.npy", &npy("<f4", false, "(1, 3, 0, 2, 2)", &[])),
        ("huge.npy", &npy("<f4", false, tuple, &[])),
        ("negative.npy", &npy("<f4", false, "(1, 3, -1, 2, 2)", &[])),
        ("nested.npy", &npy("<f4", false, &"(".repeat(60_000), &[])),
        ("integer.npy", &npy("<i4", false, "(1, 3, 1, 1, 1)", &[0; 12])),
    ] {
        std::fs::write(at(name), bytes).unwrap();
    }
    write_tensors(&at("weights.safetensors"), &[("conv1_w", Dtype::F32, &[1], &[0; 4])]);
    write_tensors(&at("rank.safetensors"), &[("data", Dtype::F32, &[3, 2], &[0; 24])]);
    write_tensors(&at("integer.safetensors"), &[("data", Dtype::I32, &[1, 3, 1, 1, 1], &[0; 12])]);
    write_tensors(&at("float.safetensors"), &[("frames.0", Dtype::F32, &[1, 1, 1, 3], &[0; 12])]);
    write_tensors(&at("planar.safetensors"), &[("frames.0", Dtype::U8, &[1, 2, 3, 2], &[0; 12])]);
    write_tensors(&at("batch.safetensors"), &[("frames.0", Dtype::U8, &[1, 1, 2, 2, 3], &[0; 12])]);

    let kind = |error: &Error| match error.kind() {
        ErrorKind::File => "file",
        ErrorKind::Format => "format",
        ErrorKind::Shape => "shape",
        ErrorKind::Size => "size",
        ErrorKind::ElementType => "element type",
        ErrorKind::Clip => "clip",
        ErrorKind::Unsupported => "unsupported",
        _ => "other",
    };
    let cases = [
        ("absent.safetensors", "file", "read"),
        ("absent", "file", "read"),
        ("empty", "clip", "PNG, JPEG, WebP, BMP or TIFF"),
        ("mixed", "clip", "1.png of 9x6"),
        ("vast", "size", "1048576x1048576 pixels"),
        ("truncated.safetensors", "format", "safetensors"),
        ("header.safetensors", "format", "safetensors"),
        ("nothing.safetensors", "format", "safetensors"),
        ("text.safetensors", "format", "safetensors"),
        ("weights.safetensors", "format", "conv1_w"),
        ("rank.safetensors", "shape", "[3, 2]"),
        ("integer.safetensors", "element type", "I32"),
        ("float.safetensors", "element type", "F32"),
        ("planar.safetensors", "shape", "[1, 2, 3, 2]"),
        ("batch.safetensors", "shape", "[1, 1, 2, 2, 3]"),
        ("clip.mp4", "format", "a video that ffmpeg can open"),
        ("text.npy", "format", "no such header"),
        ("header.npy", "format", "no such header"),
        ("truncated.npy", "format", "11 bytes"),
        ("rank.npy", "shape", "[3, 2]"),
        ("zero.npy", "size", "zero axis"),
        ("huge.npy", "size", "2^30"),
        ("negative.npy", "format", "-1"),
        ("nested.npy", "format", "tuple of sizes"),
        ("integer.npy", "element type", "<i4"),
    ];
    let mut failures = Vec::new();
    for (name, wanted, mention) in cases {
        match load(at(name), &unscaled()) {
            Ok(clip) => failures.push(format!("{name}: wanted an error, got {}", clip.shape())),
            Err(error) => {
                let text = error.to_string();
                if kind(&error) != wanted || !text.contains(mention) || !text.contains(name) {
                    failures.push(format!("{name}: wanted a {wanted} error with {mention:?}, got {text}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn files_are_written_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let names = || {
        let mut names: Vec<_> = directory.path().read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let clip = Clip::new(Shape::new(1, 3, 1, 2, 2), (0..12).map(|i| i as f32).collect()).unwrap();
    let path = directory.path().join("clip.safetensors");
    std::fs::write(&path, "older").unwrap();
    save_clip(&clip, None, &path).unwrap();
    assert_eq!(load(&path, &LoadOptions::default()).unwrap(), clip);
    assert_eq!(names(), ["clip.safetensors"], "no temporary file is left");

    let taken = directory.path().join("directory");
    std::fs::create_dir(&taken).unwrap();
    for target in [&taken, &directory.path().join("absent/clip.safetensors")] {
        let error = save_clip(&clip, None, target).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::File, Some(target.as_path())), "{error}");
    }
    assert_eq!(names(), ["clip.safetensors", "directory"]);
}

#[cfg(unix)]
#[test]
fn written_files_obey_the_umask_links_and_devices() {
    use resnet3d_wgpu::low_level::atomic_file::write_atomically;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let directory = tempfile::tempdir().unwrap();
    let (ordinary, ours) = (directory.path().join("ordinary"), directory.path().join("ours"));
    std::fs::write(&ordinary, "").unwrap();
    write_atomically(&ours, b"ours").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&ordinary));

    let link = directory.path().join("link");
    symlink(&ours, &link).unwrap();
    write_atomically(&link, b"through the link").unwrap();
    assert_eq!(std::fs::read(&ours).unwrap(), b"through the link");
    assert!(link.symlink_metadata().unwrap().is_symlink());

    write_atomically("/dev/null", b"away").unwrap();
    assert!(Path::new("/dev/null").metadata().unwrap().file_type().is_char_device());
}

/// A byte of two clips of two frames of 4x5 pixels, N×T×H×W×3. All bytes differ.
fn pixel(n: usize, t: usize, h: usize, w: usize, c: usize) -> u8 {
    u8::try_from((((n * 2 + t) * 4 + h) * 5 + w) * 3 + c).unwrap()
}

#[test]
fn arrays_of_bytes_are_pictures() {
    let directory = tempfile::tempdir().unwrap();
    // The extent of an axis, which a letter names.
    let extent = |axis: char| match axis {
        'n' | 't' => 2,
        'h' => 4,
        'w' => 5,
        _ => 3,
    };
    for layout in ["thwc", "tchw", "cthw", "nthwc", "ntchw", "ncthw"] {
        for fortran in [false, true] {
            let axes: Vec<char> = layout.chars().collect();
            let total = axes.iter().map(|&axis| extent(axis)).product();
            let mut data = vec![0; total];
            for (position, byte) in data.iter_mut().enumerate() {
                // The index on each axis, taken from the position, the fastest axis first.
                let mut rest = position;
                let mut place = HashMap::from([('n', 0)]);
                let mut take = |axis: char| {
                    place.insert(axis, rest % extent(axis));
                    rest /= extent(axis);
                };
                if fortran {
                    axes.iter().for_each(|&axis| take(axis))
                } else {
                    axes.iter().rev().for_each(|&a| take(a))
                }
                *byte = pixel(place[&'n'], place[&'t'], place[&'h'], place[&'w'], place[&'c']);
            }
            let shape = axes.iter().map(|&axis| extent(axis).to_string()).collect::<Vec<_>>().join(", ");
            let path = directory.path().join("pictures.npy");
            std::fs::write(&path, npy("|u1", fortran, &format!("({shape})"), &data)).unwrap();

            let clips = if layout.starts_with('n') { 2 } else { 1 };
            let frames: Vec<Frames> = (0..clips)
                .map(|n| {
                    let places = (0..2).flat_map(|t| (0..4).flat_map(move |h| (0..5).map(move |w| (t, h, w))));
                    let bytes = places.flat_map(|(t, h, w)| [0, 1, 2].map(|c| pixel(n, t, h, w, c)));
                    Frames::new([2, 4, 5], ChannelOrder::Rgb, bytes.collect()).unwrap()
                })
                .collect();
            let sizes = sizes(4, 5, None);
            let options = LoadOptions::default().preprocess(sizes).keep_frames(true);
            // The channels are red first, unless the options say otherwise.
            let input = load_inputs(&[&path], &options).unwrap();
            assert_eq!(input.clip, preprocess(&frames, &sizes).unwrap(), "{layout} fortran {fortran}");
            assert_eq!((input.frames, input.normalization), (frames.clone(), Some(Normalization::Detectron)));
            let said = |order| options.channel_order(order);
            let rgb = load(&path, &said(ChannelOrder::Rgb)).unwrap();
            let bgr = load(&path, &said(ChannelOrder::Bgr)).unwrap();
            assert_eq!(rgb, input.clip);
            assert_ne!(bgr, rgb);
            // Only the second frame.
            let selection = FrameSelection::default().start(1);
            let last = load(&path, &options.selection(selection)).unwrap();
            assert_eq!(last.shape(), Shape::new(clips, 3, 1, 4, 5));
            assert_eq!(last.data()[..20], input.clip.data()[20..40]);
        }
    }
}

#[test]
fn an_input_that_is_not_there_is_told_before_another_is_read() {
    let directory = tempfile::tempdir().unwrap();
    write_png(&directory.path().join("0.png"), 8, 6, [1, 2, 3]);
    let absent = directory.path().join("absent.mp4");
    let mut seen = 0;
    let mut count = |_| seen += 1;
    let error = load_inputs_watched(&[directory.path(), &absent], &unscaled(), &mut count).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::File, Some(absent.as_path())), "{error}");
    assert_eq!(seen, 0);
}

#[test]
fn frames_in_tensors_may_have_their_channels_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("frames.safetensors");
    let options = LoadOptions::default().preprocess(sizes(4, 5, None)).keep_frames(true);
    let places = |order: [char; 4]| {
        let extent = |axis| [2, 4, 5, 3]["thwc".find(axis).unwrap()];
        let axes = order.map(extent);
        let mut data = Vec::new();
        for i in 0..axes.iter().product() {
            let mut rest = i;
            let mut place = HashMap::new();
            for axis in order.into_iter().rev() {
                place.insert(axis, rest % extent(axis));
                rest /= extent(axis);
            }
            data.push(pixel(0, place[&'t'], place[&'h'], place[&'w'], place[&'c']));
        }
        (axes, data)
    };
    let (_, last) = places(['t', 'h', 'w', 'c']);
    let wanted = Frames::new([2, 4, 5], ChannelOrder::Bgr, last).unwrap();
    for order in [['t', 'h', 'w', 'c'], ['t', 'c', 'h', 'w'], ['c', 't', 'h', 'w']] {
        let (axes, data) = places(order);
        write_tensors(&path, &[("frames.0", Dtype::U8, &axes, &data)]);
        let input = load_inputs(&[&path], &options).unwrap_or_else(|error| panic!("{order:?}: {error}"));
        assert_eq!(input.frames, std::slice::from_ref(&wanted), "{order:?}");
    }
    // A last axis of 3 is always the channels, whatever the other axes are.
    write_tensors(&path, &[("frames.0", Dtype::U8, &[2, 3, 4, 3], &[0; 72])]);
    assert_eq!(load(&path, &options).unwrap().shape().t, 2);
}

#[test]
fn what_is_behind_an_array_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("several.npy");
    let floats = |first: f32| (0..12).flat_map(|i| (first - i as f32).to_le_bytes()).collect::<Vec<u8>>();
    let clip = |first| npy("<f4", false, "(1, 3, 1, 2, 2)", &floats(first));
    let pictures = |byte| npy("|u1", false, "(1, 4, 5, 3)", &[byte; 60]);
    let options = LoadOptions::default().preprocess(sizes(4, 5, None));
    for (first, second) in [(clip(1.0), clip(2.0)), (pictures(1), pictures(2)), (clip(1.0), vec![7])] {
        std::fs::write(&path, &first).unwrap();
        let wanted = load(&path, &options).unwrap();
        std::fs::write(&path, [first, second].concat()).unwrap();
        assert_eq!(load(&path, &options).unwrap(), wanted);
    }
}

#[test]
fn pictures_that_may_be_two_things_are_neither() {
    let directory = tempfile::tempdir().unwrap();
    let read = |descr: &str, axes: &[usize], bytes: usize| {
        let path = directory.path().join("a.npy");
        let shape = axes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        std::fs::write(&path, npy(descr, false, &format!("({shape},)"), &vec![0; bytes])).unwrap();
        load(&path, &LoadOptions::default().preprocess(sizes(4, 5, None)))
    };
    // An axis of three is a side of the picture only if there is no other reading.
    for (axes, frames) in
        [(&[3, 4, 5, 3][..], 3), (&[3, 6, 4, 5], 6), (&[6, 3, 4, 5], 6), (&[1, 3, 4, 5, 3], 3), (&[2, 4, 3, 3], 2)]
    {
        let clip = read("|u1", axes, axes.iter().product()).unwrap();
        assert_eq!(clip.shape().t, frames, "{axes:?}");
    }
    for (axes, says) in [
        (&[3, 3, 4, 5][..], "[3, 3, 4, 5], which may be Tx3xHxW or 3xTxHxW"),
        (&[2, 3, 4, 3], "TxHxWx3 or Tx3xHxW"),
        (&[1, 3, 3, 4, 5], "Tx3xHxW or 3xTxHxW"),
        (&[2, 4, 5, 1], "without an axis of 3 channels"),
        (&[2, 4, 5, 4], "without an axis of 3 channels"),
        (&[4, 5, 3], "3 axes, [4, 5, 3]"),
        (&[4, 5], "TxHxWx3, Tx3xHxW or 3xTxHxW"),
    ] {
        let error = read("|u1", axes, axes.iter().product()).unwrap_err();
        let text = error.to_string();
        assert!(error.kind() == ErrorKind::Shape && text.contains(says) && text.contains("a.npy"), "{text}");
    }
    for axes in [&[0, 4, 5, 3][..], &[2, 0, 5, 3], &[0, 2, 4, 5, 3]] {
        let error = read("|u1", axes, 0).unwrap_err().to_string();
        assert!(error.contains("at least one frame") && error.contains("a.npy"), "{error}");
    }
    for (axes, bytes) in [(&[2, 4, 5, 3][..], 119), (&[2, usize::MAX, usize::MAX, 3], 6)] {
        let error = read("|u1", axes, bytes).unwrap_err();
        assert!(error.kind() == ErrorKind::Format, "{error}");
    }
    // For floats with the axes of pictures, the error states how pictures are stored.
    for axes in [&[2, 4, 5, 3][..], &[1, 2, 4, 5, 3], &[1, 2, 3, 4, 5], &[2, 3, 4, 5]] {
        let text = read("<f4", axes, 4 * axes.iter().product::<usize>()).unwrap_err().to_string();
        assert!(text.contains("five axes") && text.contains("bytes (uint8)"), "{text}");
    }
}

#[test]
fn headers_are_read_as_numpy_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clip.npy");
    let native: Vec<u8> = (0..12).flat_map(|i| (i as f32 - 5.0).to_ne_bytes()).collect();
    let swapped: Vec<u8> = native.as_chunks::<4>().0.iter().flat_map(|b| b.iter().rev().copied()).collect();
    let (here, there) = if cfg!(target_endian = "big") { ('>', '<') } else { ('<', '>') };
    for (header, data) in [
        ("{'descr': '@f4', 'fortran_order': False, 'shape': (1L, 3L, 1L, 2L, 2L), }", &native),
        ("{'descr': '@f4', 'fortran_order': False, 'shape': (1L, 3, 1, 2L, 2L,)}", &native),
        ("{'descr': '=f4', 'fortran_order': False, 'shape': (1, 3, 1, 2, 2), }", &native),
        ("{'descr': '|f4', 'fortran_order': False, 'shape': (1, 3, 1, 2, 2), }", &native),
        ("{'descr': 'f4', 'fortran_order': False, 'shape': (1, 3, 1, 2, 2), }", &native),
        ("{'descr': 'float32', 'fortran_order': False, 'shape': (1, 3, 1, 2, 2), }", &native),
        ("{\"descr\": \"@f4\", \"fortran_order\": False, \"shape\": (1, 3, 1, 2, 2)}", &native),
        ("{\"shape\": (1L, 3L, 1L, 2L, 2L), 'fortran_order' :False,\"descr\":'=f4'}", &native),
        ("{'descr': '!f4', 'fortran_order': False, 'shape': (1, 3, 1, 2, 2), }", &swapped),
    ] {
        let header = header.replace('@', &here.to_string()).replace('!', &there.to_string());
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        std::fs::write(&path, [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), data].concat()).unwrap();
        let clip = load(&path, &LoadOptions::default()).unwrap_or_else(|error| panic!("{header}: {error}"));
        assert_eq!(clip.shape(), Shape::new(1, 3, 1, 2, 2), "{header}");
        assert_eq!((clip.data()[0], clip.data()[11]), (-5.0, 6.0), "{header}");
    }
    for descr in ["<i4", "|b1", "<c8", "<f16", "=", "", "|O"] {
        std::fs::write(&path, npy(descr, false, "(1, 3, 1, 2, 2)", &native)).unwrap();
        let error = load(&path, &LoadOptions::default()).unwrap_err();
        assert!(error.kind() == ErrorKind::ElementType, "{descr}: {error}");
    }
}

#[test]
fn inputs_are_what_their_contents_are() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let clip = Clip::new(Shape::new(1, 3, 1, 2, 2), (0..12).map(|i| i as f32 - 5.0).collect()).unwrap();
    save_clip(&clip, None, at("clip.npy")).unwrap();
    let floats: Vec<u8> = clip.data().iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(at("clip.mp4"), npy("<f4", false, "(1, 3, 1, 2, 2)", &floats)).unwrap();
    for name in ["clip.npy", "clip.mp4"] {
        assert_eq!(load(at(name), &LoadOptions::default()).unwrap(), clip, "{name}");
    }
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 97800000\n";
    std::fs::create_dir(at("frames")).unwrap();
    let cases: [(&[u8], &str, &str); 4] = [
        (lfs, "a text file (a pointer of Git LFS)", "git lfs pull"),
        (b"<!doctype html>\n<title>403</title>", "an HTML page", "download the file itself"),
        (b"", "an empty file", "no bytes"),
        (b"\x1f\x8b\x08\0", "a gzip archive", "gunzip"),
    ];
    for (bytes, says, helps) in cases {
        for name in ["x.npy", "x.mp4", "x.safetensors", "x", "frames/0.png", "frames/0.jpg"] {
            std::fs::write(at(name), bytes).unwrap();
            let input = if name.starts_with("frames") { at("frames") } else { at(name) };
            let error = load(input, &LoadOptions::default()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(says) && text.contains(&at(name).display().to_string()), "{name}: {text}");
            assert!(error.help().is_some_and(|help| help.contains(helps)), "{name}: {text}");
            std::fs::remove_file(at(name)).unwrap();
        }
    }
    for name in ["x.npy", "x.mp4", "x.safetensors"] {
        std::fs::write(at(name), "Not Found").unwrap();
        let text = load(at(name), &LoadOptions::default()).unwrap_err().to_string();
        assert!(text.contains("a text file that begins with \"Not Found\""), "{name}: {text}");
        std::fs::write(at(name), b"\x80\x02}q\0.").unwrap();
        let text = load(at(name), &LoadOptions::default()).unwrap_err().to_string();
        assert!(text.contains("holds weights"), "{name}: {text}");
    }
}
