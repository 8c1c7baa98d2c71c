//! Picture files: the values of OpenCV, files that end early, and which files of a directory are frames.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use resnet3d_wgpu::clip::files::{LoadOptions, load_inputs};
use resnet3d_wgpu::clip::preprocess::{ChannelOrder, Frames};
use resnet3d_wgpu::{Error, ErrorKind};
use safetensors::SafeTensors;

use super::sizes;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// A picture file of the goldens.
fn golden(name: &str) -> Vec<u8> {
    std::fs::read(goldens().join("pictures").join(name)).unwrap()
}

/// The frames of a directory, as they were read.
fn read(directory: &Path) -> Result<Frames, Error> {
    let options = LoadOptions::default().preprocess(sizes(8, 16, None)).keep_frames(true);
    load_inputs(&[directory], &options).map(|mut input| input.frames.remove(0))
}

/// A directory with one file, whose contents change from read to read.
struct Alone {
    directory: tempfile::TempDir,
    name: String,
}

impl Alone {
    fn new(name: &str) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), name: name.to_owned() }
    }

    fn read(&self, bytes: &[u8]) -> Result<Frames, Error> {
        std::fs::write(self.directory.path().join(&self.name), bytes).unwrap();
        read(self.directory.path())
    }

    /// Whether `bytes` are refused, with an error that names the file and is about its contents.
    fn refuses(&self, bytes: &[u8]) -> bool {
        self.read(bytes).is_err_and(|error| {
            error.kind() == ErrorKind::Format && error.path().is_some_and(|path| path.ends_with(&self.name))
        })
    }
}

fn names() -> Vec<String> {
    let entries = goldens().join("pictures").read_dir().unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn pixels_are_those_of_opencv() {
    let expected = std::fs::read(goldens().join("pictures.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let names = names();
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), {
        let mut names = expected.names();
        names.sort();
        names
    });
    let mut failures = Vec::new();
    for name in &names {
        let wanted = expected.tensor(name).unwrap();
        match Alone::new(name).read(&golden(name)) {
            Ok(frames) => {
                assert_eq!((frames.order(), frames.count()), (ChannelOrder::Rgb, 1));
                let size = [frames.height(), frames.width(), 3];
                let difference = |(a, b): (&u8, &u8)| a.abs_diff(*b);
                let worst = frames.data().iter().zip(wanted.data()).map(difference).max();
                if size != wanted.shape() || worst != Some(0) {
                    failures.push(format!("{name}: {size:?} for {:?}, off by {worst:?}", wanted.shape()));
                }
            }
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_picture_that_ends_early_is_an_error() {
    let jpegs = "420_baseline 420_progressive 420_restarts 411_1x1 cmyk_progressive grey_baseline scans unrefined ycck";
    let others = "rgb.png palette.png grey16.png lossy40.webp alpha.webp lossless.webp exif8.webp animated.webp \
                  rgb.bmp palette.bmp rgb_plain.tif rgb_lzw.tif rgb_adobe_deflate.tif rgb_packbits.tif group4.tif \
                  grey16.tif";
    let jpegs = jpegs.split(' ').map(|stem| format!("{stem}.jpg"));
    let names: Vec<String> = jpegs.chain(others.split(' ').map(str::to_owned)).collect();
    names.into_par_iter().for_each(|name| {
        let (whole, alone) = (golden(&name), Alone::new(&name));
        let frames = alone.read(&whole).unwrap();
        let mut shortest = whole.len();
        for length in (0..whole.len()).rev() {
            match alone.read(&whole[..length]) {
                Ok(cut) => {
                    let of = whole.len();
                    assert!(cut == frames, "{name}: the first {length} of {of} bytes are another picture");
                    shortest = length;
                }
                Err(error) if error.kind() == ErrorKind::Format => {
                    assert!(error.path().unwrap().ends_with(&name), "{error}");
                }
                Err(error) => panic!("{name}: {error}"),
            }
        }
        // A JPEG may lack the two bytes of its end marker, and the byte before them may be padding. `unrefined.jpg` may
        // not: only its end marker tells that no more scans follow. A PNG may lack its last chunk of 12 bytes.
        let missing = whole.len() - shortest;
        match &*name {
            "unrefined.jpg" => assert_eq!(missing, 0),
            name if name.ends_with("jpg") => assert!((2..=3).contains(&missing), "{name}: {missing}"),
            name if name.ends_with("png") => assert_eq!(missing, 12, "{name}"),
            _ => {}
        }
    });
}

#[test]
fn ways_in_which_a_jpeg_ends_early() {
    let rfind = |bytes: &[u8], marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]).unwrap();
    let find = |bytes: &[u8], marker: u8| bytes.windows(2).position(|pair| pair == [0xff, marker]).unwrap();
    let end = [0xff, 0xd9];
    let damaged = std::fs::read(super::fixture("overflow.jpg")).unwrap();
    assert!(Alone::new("0.jpg").refuses(&damaged), "found by fuzzing; another decoder panicked");
    for name in ["420_baseline.jpg", "420_restarts.jpg", "grey_baseline.jpg", "cmyk_baseline.jpg", "scans.jpg"]
        .into_iter()
        .chain(["420_progressive.jpg", "grey_progressive.jpg", "cmyk_progressive.jpg"])
    {
        let (whole, alone) = (golden(name), Alone::new(name));
        let frames = alone.read(&whole).unwrap();
        let (first_scan, last_scan, open) = (find(&whole, 0xda), rfind(&whole, 0xda), whole.len() - 2);
        let many = first_scan != last_scan;
        let half = (first_scan + open) / 2;
        let zeros = [0; 4096];

        for length in [2, first_scan / 2, first_scan, first_scan + 1, first_scan + 14, half, last_scan, last_scan + 10]
        {
            assert!(alone.refuses(&whole[..length]), "{name}: {length} bytes");
            // A full disk leaves zeros after the part that was written.
            assert!(alone.refuses(&[&whole[..length], &zeros].concat()), "{name}: {length} bytes and zeros");
        }
        // A scan that ends early in a file that has its end marker.
        for length in [first_scan + 14, half] {
            assert!(alone.refuses(&[&whole[..length], &end].concat()), "{name}: {length} bytes and an end marker");
        }
        if many {
            // The first scan ends early before the second, or is missing.
            let second_scan = first_scan + 2 + find(&whole[first_scan + 2..], 0xda);
            let damaged = [&whole[..second_scan - 40], &whole[second_scan..]].concat();
            assert!(alone.refuses(&damaged), "{name}: within the first scan");
            let without = [&whole[..first_scan], &whole[second_scan..]].concat();
            assert!(alone.refuses(&without), "{name}: without the first scan");
        }
        // Data after the picture is ignored, and the end marker may be missing.
        for more in [&whole[open..], &[], &[0xff], &zeros, &[0xff, 0xd9, 0, 0], &[0xff, 0xfe, 0x01, 0x00, b'c']] {
            let bytes = [&whole[..open], more].concat();
            assert_eq!(alone.read(&bytes).unwrap(), frames, "{name}: {more:?}");
        }
    }
}

#[test]
fn other_kinds_under_the_names_of_pictures_are_named() {
    let alone = Alone::new("0.jpg");
    let png = golden("rgb.png");
    assert_eq!(alone.read(&png).unwrap(), Alone::new("0.png").read(&png).unwrap(), "the contents count");
    for (bytes, given) in [
        (b"".as_slice(), "an empty file"),
        (b"<html><body>404 not found</body></html>", "an HTML page"),
        (b"\x05\x06\x07\x08\x00\x01", "of none of these kinds"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "another kind, Gif"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "another kind, Avif"),
        (b"P6 1 1 255\n\0\0\0", "another kind, Pnm"),
    ] {
        let text = alone.read(bytes).unwrap_err().to_string();
        assert!(text.contains(given) && text.contains("0.jpg: wanted a PNG, JPEG, WebP, BMP or TIFF"), "{text}");
    }
}

/// The bytes of a little-endian TIFF of one grey pixel with this compression, bits per sample and sample format.
fn tiff(compression: u16, bits: u16, format: u16, data: &[u8]) -> Vec<u8> {
    let fields: [(u16, u16, u32); 10] = [
        (256, 3, 1),
        (257, 3, 1),
        (258, 3, bits.into()),
        (259, 3, compression.into()),
        (262, 3, 1),
        (273, 4, 8 + 2 + 10 * 12 + 4),
        (277, 3, 1),
        (278, 3, 1),
        (279, 4, data.len() as u32),
        (339, 3, format.into()),
    ];
    let mut bytes = [b"II*\0".as_slice(), &8u32.to_le_bytes(), &10u16.to_le_bytes()].concat();
    for (tag, kind, value) in fields {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([1u32.to_le_bytes(), value.to_le_bytes()].concat());
    }
    [bytes.as_slice(), &[0; 4], data].concat()
}

#[test]
fn tiffs_that_have_no_value_here_are_refused() {
    let alone = Alone::new("0.tif");
    assert_eq!(alone.read(&tiff(1, 8, 1, &[7])).unwrap().data(), [7, 7, 7]);
    assert_eq!(alone.read(&tiff(1, 16, 1, &[0xff, 0x07])).unwrap().data(), [7, 7, 7], "of 16 bits the upper 8");
    let jpeg = golden("grey_baseline.jpg");
    for compression in [6, 7] {
        let text = alone.read(&tiff(compression, 8, 1, &jpeg)).unwrap_err().to_string();
        assert!(text.contains("0.tif: wanted a TIFF without JPEG compression"), "{text}");
    }
    assert!(alone.refuses(&tiff(1, 32, 3, &0.5f32.to_le_bytes())), "floats");
    assert!(alone.refuses(&tiff(1, 32, 2, &[0; 4])), "integers of 32 bits");
}

/// A JPEG of 12 bits a sample is refused, and so is a small one that claims a huge size.
#[test]
fn jpegs_that_promise_too_much_are_refused() {
    let (whole, alone) = (golden("grey_baseline.jpg"), Alone::new("0.jpg"));
    let frame = whole.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = whole.clone();
        bytes[frame + at..][..with.len()].copy_from_slice(with);
        bytes
    };
    assert!(alone.refuses(&changed(4, &[12])), "12 bits");
    assert!(alone.refuses(&changed(5, &[0x20, 0, 0x20, 0])), "8192x8192 pixels in a kilobyte");
    let error = alone.read(&changed(5, &[0xff, 0, 0xff, 0])).unwrap_err();
    assert!(error.kind() == ErrorKind::Size && error.to_string().contains("0.jpg: 65280x65280"), "{error}");
    assert!(alone.read(&changed(5, &[0, 0])).is_err_and(|error| error.kind() == ErrorKind::Size), "a height of 0");
}

#[test]
fn every_kind_of_picture_is_a_frame_and_what_is_none_is_not_missed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (name, source) in [
        ("f0.png", "rgb.png"),
        ("f1.WEBP", "lossless.webp"),
        ("f2.bmp", "rgb.bmp"),
        ("f3.tif", "rgb_plain.tif"),
        ("f4.tiff", "rgb_lzw.tif"),
        ("f5.dib", "rgb.bmp"),
    ] {
        std::fs::write(at(name), golden(source)).unwrap();
    }
    let frames = read(directory.path()).unwrap();
    let first = frames.frame(0).unwrap().to_vec();
    assert_eq!(frames.data(), first.repeat(6), "one picture in six files");

    // A broken link is an error: the frame is not silently left out.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere.png", at("f6.png")).unwrap();
        let error = read(directory.path()).unwrap_err();
        assert!(error.kind() == ErrorKind::File && error.path().unwrap().ends_with("f6.png"), "{error}");
    }
}

#[test]
fn a_frame_that_is_there_twice_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    for (name, source) in
        [("f0.png", "rgb.png"), ("f0.bmp", "rgb.bmp"), ("f1.png", "rgb.png"), ("f1.webp", "lossless.webp")]
    {
        std::fs::write(directory.path().join(name), golden(source)).unwrap();
    }
    let error = read(directory.path()).unwrap_err();
    let text = error.to_string();
    assert!(error.kind() == ErrorKind::Clip, "{text}");
    assert!(text.contains("f0.bmp and f0.png, and 1 more pair: move"), "{text}");
}

#[test]
fn fractions_are_ordered_by_their_values() {
    let directory = tempfile::tempdir().unwrap();
    for (red, name) in ["0.05", "0.5", "1.25", "1.3", "10.0"].iter().enumerate() {
        let picture = image::RgbImage::from_pixel(2, 2, image::Rgb([red as u8, 0, 0]));
        picture.save(directory.path().join(format!("{name}.png"))).unwrap();
    }
    let frames = read(directory.path()).unwrap();
    assert_eq!((0..5).map(|t| frames.frame(t).unwrap()[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}
