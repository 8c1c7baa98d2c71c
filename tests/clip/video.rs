//! Videos that ffmpeg makes from its test sources: the decoded frames equal the encoded ones, and the error for any
//! other file says what the file is.

use std::path::Path;
use std::process::Command;

use resnet3d_wgpu::clip::files::{
    FrameSelection, Input, LoadOptions, LoadProgress, load_inputs, load_inputs_watched, load_views,
};
use resnet3d_wgpu::clip::preprocess::{Frames, Preprocess, Size};
use resnet3d_wgpu::clip::sampling::{Rule, Sampling};
use resnet3d_wgpu::{ErrorKind, Result};

/// Settings that leave a frame of 48x64 pixels as it is.
pub fn unscaled() -> LoadOptions {
    LoadOptions::default().preprocess(Preprocess::default().size(Size::Shorter(48)).max_size(None)).keep_frames(true)
}

/// Runs ffmpeg in `directory` with blank-separated arguments.
#[track_caller]
pub fn ffmpeg(directory: &Path, arguments: &str) {
    /// The option against doubled and dropped frames. Before ffmpeg 5.1 it has another name.
    const RATE_OPTION: &str = "-fps_mode";
    let run = |arguments: &str| {
        let mut command = Command::new("ffmpeg");
        command.current_dir(directory).args(["-nostdin", "-v", "error", "-y"]).args(arguments.split_whitespace());
        command.output().expect("the tests need ffmpeg; on Debian: apt-get install ffmpeg")
    };
    let mut output = run(arguments);
    if String::from_utf8_lossy(&output.stderr).contains("Unrecognized option 'fps_mode'") {
        output = run(&arguments.replace(RATE_OPTION, "-vsync"));
    }
    assert!(output.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// 20 frames of 64x48 pixels with moving shapes.
pub const SOURCE: &str = "-f lavfi -i testsrc2=size=64x48:rate=10:duration=2";
const LOSSLESS: &str = "-c:v ffv1 -pix_fmt bgr0";

/// Writes the frames of `arguments` as PNG files to `directory/name`.
fn pictures(directory: &Path, name: &str, arguments: &str) {
    std::fs::create_dir(directory.join(name)).unwrap();
    ffmpeg(directory, &format!("{arguments} -fps_mode passthrough -pix_fmt rgb24 {name}/%03d.png"));
}

pub fn read(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Input> {
    load_inputs(&[path], options)
}

#[track_caller]
fn assert_same(got: &Input, want: &Input, what: &str) {
    assert_eq!(got.clip.shape(), want.clip.shape(), "{what}");
    assert!(got.frames == want.frames, "{what}: other pixels");
    assert!(got.clip == want.clip, "{what}: other values");
}

#[test]
fn frames_of_every_container_are_those_that_went_in() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let cases = [
        ("ffv1.mkv", LOSSLESS),
        ("raw.nut", "-c:v rawvideo -pix_fmt rgb24"),
        ("png.mov", "-c:v png -pix_fmt rgb24"),
        ("ffv1.avi", LOSSLESS),
        ("h264.mp4", "-c:v libx264"),
        ("h264.flv", "-c:v libx264"),
        ("mpeg2.ts", "-c:v mpeg2video"),
        ("mpeg1.mpg", "-c:v mpeg1video -r 25"),
        ("vp8.webm", "-c:v libvpx"),
        ("theora.ogv", "-c:v libtheora"),
        ("palette.gif", ""),
        ("wmv2.wmv", "-c:v wmv2"),
        ("yuv.y4m", "-pix_fmt yuv420p"),
        ("no_extension", "-c:v ffv1 -f matroska"),
    ];
    pictures(here, "source", SOURCE);
    let source = read(here.join("source"), &unscaled()).unwrap();
    assert_eq!(source.clip.shape().thw(), [20, 48, 64]);
    for (name, codec) in cases {
        ffmpeg(here, &format!("{SOURCE} {codec} {name}"));
        let video = read(here.join(name), &unscaled()).unwrap();
        if codec.contains("rgb24") || codec == LOSSLESS {
            assert_same(&video, &source, name);
        } else {
            let own = format!("{name}.d");
            pictures(here, &own, &format!("-i {name}"));
            assert_same(&video, &read(here.join(own), &unscaled()).unwrap(), name);
        }
    }
}

#[test]
fn frames_are_neither_doubled_nor_dropped_where_their_rate_varies() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    pictures(here, "source", SOURCE);
    let source = read(here.join("source"), &unscaled()).unwrap();
    for (name, time) in [("slower.mkv", "N*N*0.013/TB"), ("hasty.mkv", "N*0.0011/TB"), ("late.mkv", "(7+N*0.3)/TB")] {
        ffmpeg(here, &format!("{SOURCE} -vf setpts={time} -fps_mode passthrough {LOSSLESS} {name}"));
        assert_same(&read(here.join(name), &unscaled()).unwrap(), &source, name);
    }
}

#[test]
fn chosen_frames_are_the_same_of_videos_directories_and_tensors() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    ffmpeg(here, &format!("{SOURCE} {LOSSLESS} video.mkv"));
    pictures(here, "pictures", SOURCE);
    let all = read(here.join("pictures"), &unscaled()).unwrap().frames.remove(0);
    let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, vec![20, 48, 64, 3], all.data()).unwrap();
    let bytes = safetensors::serialize([("frames.0", tensor)], None).unwrap();
    std::fs::write(here.join("tensor.safetensors"), bytes).unwrap();

    // start, count, stride, and the frames taken or what the error mentions
    type Case = (usize, Option<usize>, usize, std::result::Result<&'static [usize], &'static str>);
    let cases: [Case; 8] = [
        (0, Some(3), 1, Ok(&[0, 1, 2])),
        (17, None, 1, Ok(&[17, 18, 19])),
        (1, Some(3), 6, Ok(&[1, 7, 13])),
        (3, None, 8, Ok(&[3, 11, 19])),
        (19, Some(1), 100, Ok(&[19])),
        (20, None, 1, Err("frame 20 on")),
        (5, Some(4), 5, Err("frame 20")),
        (0, Some(21), 1, Err("21 frames")),
    ];
    for name in ["video.mkv", "pictures", "tensor.safetensors"] {
        for (start, count, stride, wanted) in cases {
            let options = unscaled()
                .selection(FrameSelection::default().start(start).count(count).stride(stride))
                .channel_order(all.order());
            let what = format!("{name}, {:?}", options.selection);
            match (read(here.join(name), &options), wanted) {
                (Ok(input), Ok(wanted)) => {
                    let [frames] = &input.frames[..] else { panic!("{what}: one clip") };
                    assert_eq!((input.clip.shape().t, frames.count()), (wanted.len(), wanted.len()), "{what}");
                    for (got, &want) in frames.iter().zip(wanted) {
                        assert!(Some(got) == all.frame(want), "{what}: frame {want}");
                    }
                }
                (Err(error), Err(mention)) if error.kind() == ErrorKind::Clip => {
                    let text = error.to_string();
                    assert!(text.contains(mention) && text.contains("20 frames in ") && text.contains(name), "{text}");
                }
                (outcome, _) => panic!("{what}: {outcome:?}"),
            }
        }
    }
    for selection in [FrameSelection::default().count(0), FrameSelection::default().stride(0)] {
        let error = read(here.join("video.mkv"), &unscaled().selection(selection)).unwrap_err();
        assert!(error.to_string().contains("at least 1"), "{error}");
    }
}

#[test]
fn a_video_that_changes_its_size_goes_on_in_the_first_one() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    ffmpeg(here, &format!("{SOURCE} -c:v libx264 small.h264"));
    ffmpeg(here, "-f lavfi -i testsrc2=size=80x60:rate=10:duration=1 -c:v libx264 large.h264");
    let read_bytes = |name: &str| std::fs::read(here.join(name)).unwrap();
    std::fs::write(here.join("both.h264"), [read_bytes("small.h264"), read_bytes("large.h264")].concat()).unwrap();
    let [small, both] = ["small.h264", "both.h264"].map(|name| read(here.join(name), &unscaled()).unwrap());
    assert_eq!(both.clip.shape().thw(), [30, 48, 64]);
    assert!(both.frames[0].iter().take(20).eq(small.frames[0].iter()));
}

/// Writes into the header of an MP4 that its picture is shown after a clockwise quarter turn.
fn turn(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(4).position(|name| name == b"tkhd").unwrap();
    // After the name come the version and flags, 5 numbers, 2 reserved numbers, and 4 numbers of 16 bits.
    let matrix = at + 4 + 4 + 5 * 4 + 2 * 4 + 4 * 2;
    let fixed = [[0, 1 << 16, 0], [-(1 << 16), 0, 0], [48 << 16, 0, 1 << 30]];
    for (bytes, value) in bytes[matrix..].chunks_exact_mut(4).zip(fixed.into_iter().flatten()) {
        bytes.copy_from_slice(&i32::to_be_bytes(value));
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_turned_video_is_turned_as_a_viewer_would() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    ffmpeg(here, &format!("{SOURCE} -c:v png -pix_fmt rgb24 -f mp4 -strict -1 turned.mp4"));
    let upright = read(here.join("turned.mp4"), &unscaled()).unwrap().frames.remove(0);
    turn(&here.join("turned.mp4"));
    let turned: Frames = read(here.join("turned.mp4"), &unscaled()).unwrap().frames.remove(0);
    assert_eq!([turned.count(), turned.height(), turned.width()], [20, 64, 48]);
    assert_eq!([upright.count(), upright.height(), upright.width()], [20, 48, 64]);
    for (turned, upright) in turned.iter().zip(upright.iter()) {
        for (i, pixel) in turned.as_chunks::<3>().0.iter().enumerate() {
            let (x, y) = (i % 48, i / 48);
            // The bottom is now on the left.
            assert_eq!(pixel, &upright[((47 - x) * 64 + y) * 3..][..3], "{x}, {y}");
        }
    }
}

/// The children of this process that mention `path`, and zombies. Gives other tests a moment to wait for their
/// children.
fn children_about(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..100 {
        found.clear();
        // Only Linux has this list; elsewhere it is empty.
        for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for id in children.split_whitespace() {
                let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
                let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
                if String::from_utf8_lossy(&line).contains(&*path.to_string_lossy()) || state.contains(") Z ") {
                    found.push(state);
                }
            }
        }
        if found.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    found
}

#[test]
fn decoding_stops_when_there_are_enough_frames() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("long.mkv");
    ffmpeg(directory.path(), "-f lavfi -i testsrc2=size=320x240:rate=25:duration=40 -c:v mpeg4 long.mkv");
    let mut seen: Vec<LoadProgress> = Vec::new();
    let options = LoadOptions::default().selection(FrameSelection::default().start(2).count(3).stride(2));
    let input = load_inputs_watched(&[&path], &options, &mut |progress| seen.push(progress)).unwrap();
    assert_eq!(input.clip.shape().thw(), [3, 250, 333]);
    assert!(input.frames.is_empty(), "nobody asked for them");
    let seen: Vec<_> = seen.iter().map(|progress| (progress.frames, progress.expected)).collect();
    assert_eq!(seen, [1, 2, 3].map(|frames| (frames, Some(3))));
    assert_eq!(children_about(&path), [""; 0]);
}

#[test]
fn what_is_no_whole_video_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let at = |name: &str| here.join(name);
    let long = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=4";
    ffmpeg(here, &format!("{long} {LOSSLESS} whole.mkv"));
    ffmpeg(here, &format!("{long} -c:v libx264 -movflags +faststart whole.mp4"));
    ffmpeg(here, &format!("{long} -frames:v 0 -c:v rawvideo empty.avi"));
    ffmpeg(here, "-f lavfi -i sine=duration=0.1 sound.wav");
    ffmpeg(here, &format!("-i sound.wav {SOURCE} -frames:v 1 -c:v png -disposition:v attached_pic cover.flac"));
    ffmpeg(here, &format!("{SOURCE} -c:v mpeg2video small.ts"));
    let cut = |whole: &str, cut: &str| {
        let bytes = std::fs::read(at(whole)).unwrap();
        std::fs::write(at(cut), &bytes[..bytes.len() * 6 / 10]).unwrap();
    };
    cut("whole.mkv", "cut.mkv");
    cut("whole.mp4", "cut.mp4");
    // Each of these would be a video if the file that it names were opened.
    std::fs::write(at("list.m3u8"), "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nsmall.ts\n#EXT-X-ENDLIST\n")
        .unwrap();
    std::fs::copy(at("list.m3u8"), at("list.mp4")).unwrap();
    std::fs::write(at("list.txt"), "ffconcat version 1.0\nfile small.ts\n").unwrap();
    std::fs::write(at("text.mp4"), "this is no video").unwrap();
    std::fs::write(at("nothing.mp4"), "").unwrap();
    std::fs::write(at("weights.pkl"), "weights").unwrap();
    std::fs::copy(at("sound.wav"), at("picture.png")).unwrap();

    let cases = [
        ("cut.mkv", "damaged", "a whole video"),
        ("cut.mp4", "damaged", "a whole video"),
        ("empty.avi", "format", "at least one frame"),
        ("sound.wav", "format", "wav without a video stream"),
        ("cover.flac", "format", "flac without a video stream"),
        ("list.m3u8", "unsupported", "\"hls\""),
        ("list.mp4", "unsupported", "\"hls\""),
        ("list.txt", "unsupported", "\"concat\""),
        ("text.mp4", "format", "a video that ffmpeg can open"),
        ("nothing.mp4", "format", "a video that ffmpeg can open"),
        ("weights.pkl", "unsupported", "weights"),
        ("picture.png", "unsupported", "a single picture"),
    ];
    let mut failures = Vec::new();
    for (name, wanted, mention) in cases {
        let error = match read(at(name), &unscaled()) {
            Ok(input) => {
                failures.push(format!("{name}: wanted an error, got {}", input.clip.shape()));
                continue;
            }
            Err(error) => error,
        };
        let kind = match error.kind() {
            ErrorKind::Format => "format",
            ErrorKind::Damaged => "damaged",
            ErrorKind::Clip => "clip",
            ErrorKind::Unsupported => "unsupported",
            _ => "other",
        };
        let text = error.to_string();
        if kind != wanted || !text.contains(mention) || !text.contains(name) {
            failures.push(format!("{name}: wanted a {wanted} error with {mention:?}, got {text}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(children_about(here), [""; 0]);

    // The whole frames before the damage can be read.
    let selection = FrameSelection::default().count(2);
    for name in ["cut.mkv", "cut.mp4"] {
        let input = read(at(name), &unscaled().selection(selection)).unwrap();
        assert_eq!(input.clip.shape().thw(), [2, 48, 64], "{name}");
    }
}

/// Frames of a video are sampled by its rate, whether or not its container states their number. Pictures have no rate
/// and are sampled by number.
#[test]
fn frames_are_sampled_as_weights_want_them() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    // 20 frames at 10 a second; Matroska does not count them.
    ffmpeg(here, &format!("{SOURCE} {LOSSLESS} video.mkv"));
    ffmpeg(here, &format!("{SOURCE} -c:v png -pix_fmt rgb24 video.mov"));
    pictures(here, "pictures", SOURCE);
    let all = read(here.join("video.mkv"), &unscaled()).unwrap();
    assert!(all.taken.is_empty());
    let of = |sampling| unscaled().sampling(sampling);
    let by = |frames, step, fps, rule| of(Sampling::new(frames, step, fps, rule));
    type Case<'a> = (LoadOptions, &'a [usize], &'a [usize]);
    let cases: [Case<'_>; 4] = [
        // For 5 of 10 frames a second: every other frame of a video, in the middle of 20, and successive pictures.
        (by(4, 1, Some(5), Rule::Resampled), &[6, 8, 10, 12], &[8, 9, 10, 11]),
        (by(4, 3, Some(5), Rule::Spread), &[0, 7, 15, 19], &[4, 7, 11, 15]),
        (by(4, 3, Some(20), Rule::Subsampled), &[7, 8, 10, 12], &[4, 7, 11, 15]),
        (by(4, 9, None, Rule::Strided), &[0, 9, 18, 7], &[0, 9, 18, 7]),
    ];
    for (options, of_video, of_pictures) in cases {
        for (name, wanted, fps) in
            [("video.mkv", of_video, Some(10.0)), ("video.mov", of_video, Some(10.0)), ("pictures", of_pictures, None)]
        {
            let input = read(here.join(name), &options).unwrap();
            let [taken] = &input.taken[..] else { panic!("{name}") };
            assert_eq!((&taken.frames[..], taken.of, taken.fps), (wanted, 20, fps), "{name}: {:?}", options.sampling);
            let [frames] = &input.frames[..] else { panic!("{name}") };
            assert_eq!((input.clip.shape().t, frames.count()), (4, 4));
            for (got, &want) in frames.iter().zip(wanted) {
                assert!(Some(got) == all.frames[0].frame(want), "{name}: frame {want}");
            }
            // The clip has the same frames, in the same order.
            let plane = 48 * 64;
            for (index, &want) in wanted.iter().enumerate() {
                for channel in 0..3 {
                    let got = &input.clip.data()[(channel * 4 + index) * plane..][..plane];
                    assert!(got == &all.clip.data()[(channel * 20 + want) * plane..][..plane], "{name}: frame {want}");
                }
            }
        }
    }
    let exact = Sampling::new(4, 9, None, Rule::Strided).exact(true);
    for name in ["video.mkv", "pictures"] {
        let error = read(here.join(name), &of(exact)).unwrap_err().to_string();
        assert!(error.contains("4 frames, 9 apart") && error.contains("20 frames in "), "{error}");
    }
}

/// Every clip and every crop of an input equals its part of the whole, and the frames are read once.
#[test]
fn clips_and_crops_are_those_of_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    ffmpeg(here, &format!("{SOURCE} {LOSSLESS} video.mkv"));
    ffmpeg(here, "-f lavfi -i testsrc2=size=48x64:rate=10:duration=2 -c:v ffv1 -pix_fmt bgr0 upright.mkv");
    for (name, [height, width], places) in
        [("video.mkv", [48, 64], [[4, 0], [4, 12], [4, 24]]), ("upright.mkv", [64, 48], [[0, 4], [12, 4], [24, 4]])]
    {
        let whole = read(here.join(name), &unscaled()).unwrap().clip;
        for (crops, crop) in [(1, None), (1, Some(40)), (3, Some(40))] {
            let sampling = Sampling::new(4, 3, None, Rule::Strided).clips(3).crops(crops);
            let preprocess = unscaled().preprocess.crop(crop);
            let options = LoadOptions::default().sampling(sampling).preprocess(preprocess);
            let mut views = Vec::new();
            let mut frames = 0;
            let (viewed, damage) = load_views(here.join(name), &options, &mut |at| frames = at.frames, &mut |view| {
                views.push(view);
                Ok(())
            })
            .unwrap();
            assert!(damage.is_empty() && viewed.len() == 1);
            let wanted = [vec![0, 3, 6, 9], vec![5, 8, 11, 14], vec![10, 13, 16, 19]];
            assert_eq!((&viewed[0].clips[..], viewed[0].crops, viewed[0].available), (&wanted[..], crops, Some(20)));
            assert_eq!((views.len(), frames), (3 * crops, 12), "{name}");
            let side = crop.map_or([height, width], |side| [side; 2]);
            for view in views {
                let [y, x] = match (crop, crops) {
                    (None, _) => [0, 0],
                    (Some(_), 1) => places[1],
                    (Some(_), _) => places[view.crop],
                };
                assert_eq!(view.values.shape().thw(), [4, side[0], side[1]]);
                for (index, &value) in view.values.data().iter().enumerate() {
                    let [column, row] = [index % side[1], index / side[1] % side[0]];
                    let plane = index / side[1] / side[0];
                    let [frame, channel] = [plane % 4, plane / 4];
                    let from = ((channel * 20 + wanted[view.clip][frame]) * height + row + y) * width + column + x;
                    assert_eq!(value, whole.data()[from], "{name}, clip {}, crop {}", view.clip, view.crop);
                }
            }
        }
    }
    // Crops that do not fit are refused.
    let sampling = Sampling::new(4, 3, None, Rule::Strided).crops(3).crop(49);
    let options = unscaled().sampling(sampling);
    let error = load_views(here.join("video.mkv"), &options, &mut |_| {}, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("49x49 pixels") && error.contains("48x64 pixels"), "{error}");
}
