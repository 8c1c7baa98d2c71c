//! Damaged videos: the damaged frames are reported, and all other frames are those of the undamaged file.

use std::ops::Range;
use std::path::Path;

use resnet3d_wgpu::clip::files::{DamagePolicy, FrameSelection, Input, LoadOptions};
use resnet3d_wgpu::clip::sampling::{Rule, Sampling};
use resnet3d_wgpu::{ErrorKind, Result};

use crate::video::{ffmpeg, read, unscaled};

/// 24 frames with a key frame every six. No picture is predicted across a key frame.
const SOURCE: &str = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=0.96";
const GROUP: usize = 6;
const H264: &str = "-c:v libx264 -pix_fmt yuv420p -qp 10 -g 6 -bf 2";
const MPEG4: &str = "-c:v mpeg4 -qscale 3 -g 6 -bf 2";
const MPEG2: &str = "-c:v mpeg2video -qscale 3 -g 6 -bf 2 -flags +cgop -sc_threshold 1000000000";
const MJPEG: &str = "-c:v mjpeg -q:v 2";

fn with(policy: DamagePolicy) -> LoadOptions {
    unscaled().damaged(policy)
}

/// The pictures of an input of one clip.
fn pictures(input: &Input) -> Vec<&[u8]> {
    let [frames] = &input.frames[..] else { panic!("one clip") };
    assert_eq!(frames.count(), input.clip.shape().t);
    frames.iter().collect()
}

/// The ranges of frames that are reported as damaged.
fn told(input: &Input) -> Vec<Range<usize>> {
    let runs = input.damage.iter().flat_map(|damage| &damage.frames);
    runs.map(|&[first, last]| first..last + 1).collect()
}

#[derive(Clone, Copy)]
enum Harm {
    /// Zeros in the middle.
    Hole(usize),
    /// Packets of a transport stream lost in the middle.
    LostPackets(usize),
    /// All packets of one picture of a transport stream lost. Pictures are counted in the order of the file.
    LostPicture(usize),
}

/// A damaged copy of `whole`.
fn harmed(whole: &[u8], harm: Harm) -> Vec<u8> {
    const PACKET: usize = 188;
    let mut bytes = whole.to_vec();
    match harm {
        Harm::Hole(length) => {
            let middle = bytes.len() / 2;
            bytes[middle..middle + length].fill(0);
        }
        Harm::LostPackets(count) => {
            let middle = bytes.len() / PACKET / 2 * PACKET;
            bytes.drain(middle..middle + count * PACKET);
        }
        Harm::LostPicture(number) => {
            let is_video = |packet: &[u8]| ((u16::from(packet[1] & 0x1f) << 8) | u16::from(packet[2])) == 0x100;
            let mut begun = 0;
            let kept = whole.chunks(PACKET).filter(|packet| {
                begun += usize::from(is_video(packet) && packet[1] & 0x40 != 0);
                !(is_video(packet) && begun == number + 1)
            });
            bytes = kept.collect::<Vec<_>>().concat();
        }
    }
    bytes
}

/// Makes the video `name` and a damaged copy of it.
fn make(here: &Path, name: &str, codec: &str, harm: Harm) -> String {
    ffmpeg(here, &format!("{SOURCE} {codec} {name}"));
    let damaged = format!("damaged_{name}");
    std::fs::write(here.join(&damaged), harmed(&std::fs::read(here.join(name)).unwrap(), harm)).unwrap();
    damaged
}

#[track_caller]
fn refused(outcome: Result<Input>, name: &str) -> String {
    match outcome {
        Err(error) if error.kind() == ErrorKind::Damaged => error.to_string(),
        other => panic!("{name}: wanted the damage as an error, got {:?}", other.map(|input| input.clip.shape())),
    }
}

#[test]
fn whole_pictures_before_and_behind_damage_are_those_of_the_undamaged_file() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    // The last number of a case counts the pictures that are lost altogether.
    let cases = [
        ("h264.mp4", H264, Harm::Hole(200), 0),
        ("h264.ts", H264, Harm::LostPackets(3), 0),
        ("h264.avi", H264, Harm::Hole(200), 0),
        ("h264.mkv", H264, Harm::Hole(200), 0),
        ("mpeg4.mp4", MPEG4, Harm::Hole(200), 0),
        ("mpeg4.avi", MPEG4, Harm::Hole(200), 0),
        ("mpeg2.ts", MPEG2, Harm::LostPackets(2), 0),
        ("mpeg2.mkv", MPEG2, Harm::Hole(100), 0),
        ("mjpeg.avi", MJPEG, Harm::Hole(200), 0),
        ("mjpeg.mov", MJPEG, Harm::Hole(100), 0),
        // The lost packets are fewer than 16, after which the packet counter repeats.
        ("lost.h264.ts", "-c:v libx264 -pix_fmt yuv420p -qp 30 -g 6 -bf 2", Harm::LostPicture(7), 1),
    ];
    for (name, codec, harm, gone) in cases {
        let damaged = make(here, name, codec, harm);
        let whole = read(here.join(name), &unscaled()).unwrap();
        assert!(whole.damage.is_empty(), "{name}");
        let whole = pictures(&whole);
        let kept = read(here.join(&damaged), &with(DamagePolicy::Keep)).unwrap();
        let runs = told(&kept);
        let kept = pictures(&kept);
        assert_eq!(kept.len() + gone, whole.len(), "{name}");
        let [run] = &runs[..] else { panic!("{name}: one run of damage, got {runs:?}") };
        // Pictures shown before a key frame may be predicted from it.
        assert!(run.len() < 2 * GROUP && run.end <= kept.len(), "{name}: {run:?}");
        assert!(run.clone().any(|index| !whole.contains(&kept[index])), "{name}: {run:?}");
        assert!(kept[..run.start] == whole[..run.start], "{name}: before {run:?}");
        assert!(kept[run.end..] == whole[run.end + gone..], "{name}: behind {run:?}");

        let text = refused(read(here.join(&damaged), &unscaled()), name);
        let whole_of_all = format!("got {} frames, {} of them whole", kept.len(), kept.len() - run.len());
        let first = format!("the first {} are whole", run.start);
        for mention in [&whole_of_all, &first, &damaged] {
            assert!(text.contains(mention), "{name}: {mention:?} is not in {text}");
        }

        let dropped = read(here.join(&damaged), &with(DamagePolicy::Drop)).unwrap();
        assert!(dropped.damage[0].dropped && told(&dropped) == runs, "{name}");
        let rest = [&kept[..run.start], &kept[run.end..]].concat();
        assert!(pictures(&dropped) == rest, "{name}: without {run:?}");

        // A selection counts the frames that the policy delivers.
        let selection = FrameSelection::default().start(run.start - 2).count(3).stride(2);
        let chosen =
            |damaged| read(here.join(format!("damaged_{name}")), &unscaled().selection(selection).damaged(damaged));
        let every_other =
            |from: &[&[u8]]| from[run.start - 2..].iter().step_by(2).take(3).map(|p| p.to_vec()).collect();
        let wanted: [Vec<Vec<u8>>; 2] = [every_other(&kept), every_other(&rest)];
        for (policy, wanted) in [DamagePolicy::Keep, DamagePolicy::Drop].into_iter().zip(wanted) {
            assert!(pictures(&chosen(policy).unwrap()) == wanted, "{name}: {}", policy);
        }
        refused(chosen(DamagePolicy::Error), name);

        // Sampling chooses among the remaining frames, however many frames the file states.
        let step = (kept.len() - 1) / 3;
        let sampling = Some(Sampling::new(4, step, None, Rule::Strided).start(0));
        let sampled = read(here.join(&damaged), &with(DamagePolicy::Drop).sampling(sampling)).unwrap();
        let wanted: Vec<usize> = (0..4).map(|index| index * step % rest.len()).collect();
        assert_eq!(sampled.taken[0].frames, wanted, "{name}: {} of {}", rest.len(), kept.len());
        assert!(pictures(&sampled) == wanted.iter().map(|&index| rest[index]).collect::<Vec<_>>(), "{name}");

        // A selection before or after the damage is no error.
        let before = FrameSelection::default().count(run.start);
        let behind = FrameSelection::default().start(run.end);
        for (selection, wanted) in [(before, &kept[..run.start]), (behind, &kept[run.end..])] {
            let input = read(here.join(&damaged), &unscaled().selection(selection)).unwrap();
            assert!(pictures(&input) == wanted, "{name}: {selection:?}");
        }
        let into = FrameSelection::default().count(run.start + 1);
        refused(read(here.join(&damaged), &unscaled().selection(into)), name);
    }
}

#[test]
fn recordings_behind_one_another_are_whole() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for (codec, name) in [(H264, "h264"), (MPEG2, "mpeg2"), (MPEG4, "mpeg4")] {
        ffmpeg(here, &format!("{SOURCE} {codec} one.ts"));
        ffmpeg(here, &format!("{SOURCE} -vf negate -frames:v 10 {codec} other.ts"));
        let bytes = |name: &str| std::fs::read(here.join(name)).unwrap();
        std::fs::write(here.join("joined.ts"), [bytes("one.ts"), bytes("other.ts"), bytes("one.ts")].concat()).unwrap();
        let [one, other, joined] =
            ["one.ts", "other.ts", "joined.ts"].map(|name| read(here.join(name), &unscaled()).unwrap());
        let wanted = [pictures(&one), pictures(&other), pictures(&one)].concat();
        assert!(pictures(&joined) == wanted, "{name}: {} of {} frames", pictures(&joined).len(), wanted.len());
        assert!(joined.damage.is_empty(), "{name}: {:?}", joined.damage);
        let selection = FrameSelection::default().start(23).count(3).stride(1);
        let chosen = read(here.join("joined.ts"), &unscaled().selection(selection)).unwrap();
        assert!(pictures(&chosen) == wanted[23..26], "{name}");
    }
}

#[test]
fn a_video_that_was_cut_off_gives_its_frames_to_who_asks_for_them() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    ffmpeg(here, &format!("{SOURCE} {H264} -movflags +faststart whole.mp4"));
    let bytes = std::fs::read(here.join("whole.mp4")).unwrap();
    std::fs::write(here.join("cut.mp4"), &bytes[..bytes.len() * 7 / 10]).unwrap();
    let text = refused(read(here.join("cut.mp4"), &unscaled()), "cut.mp4");
    assert!(text.contains("partial file"), "{text}");
    let whole = read(here.join("whole.mp4"), &unscaled()).unwrap();
    for policy in [DamagePolicy::Keep, DamagePolicy::Drop] {
        let cut = read(here.join("cut.mp4"), &with(policy)).unwrap();
        let [damage] = &cut.damage[..] else { panic!("{:?}", cut.damage) };
        assert!(damage.cut_off && damage.to_string().contains("ends too early"), "{damage}");
        let runs = told(&cut);
        let (cut, whole) = (pictures(&cut), pictures(&whole));
        assert!((8..20).contains(&cut.len()) && cut[..8] == whole[..8], "{}", cut.len());
        for (index, picture) in cut.iter().enumerate() {
            let damaged = runs.iter().any(|run| run.contains(&index));
            assert!(damaged || whole.contains(picture), "frame {index}");
        }
    }
}

/// The ranges of an AVI's chunks with pictures. A chunk is a name, a length and data.
fn chunks(avi: &[u8]) -> Vec<Range<usize>> {
    let first = avi.windows(4).position(|name| name == b"movi").unwrap() + 4;
    let mut chunks = Vec::new();
    let mut at = first;
    while avi[at..].starts_with(b"00dc") {
        let length = u32::from_le_bytes(avi[at + 4..at + 8].try_into().unwrap()) as usize;
        chunks.push(at..at + 8 + length);
        at += 8 + length.next_multiple_of(2);
    }
    chunks
}

#[test]
fn a_picture_that_is_gone_is_an_error_where_it_leaves_a_hole() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    ffmpeg(here, &format!("{SOURCE} {MJPEG} whole.avi"));
    let bytes = std::fs::read(here.join("whole.avi")).unwrap();
    let whole = read(here.join("whole.avi"), &unscaled()).unwrap();
    let whole = pictures(&whole);
    let chunks = chunks(&bytes);
    assert_eq!(chunks.len(), 24);
    let selected = |name: &str, start, count| {
        let selection = FrameSelection::default().start(start).count(count);
        read(here.join(name), &unscaled().selection(selection))
    };
    for gone in [0, 12, 23] {
        let name = format!("without_{gone}.avi");
        let mut harmed = bytes.clone();
        harmed[chunks[gone].clone()][8..].fill(0);
        std::fs::write(here.join(&name), harmed).unwrap();
        let text = refused(selected(&name, 0, None), &name);
        let mention = format!(
            "23 frames of 24 that the file states, all of them whole; 1 picture could not be decoded, \
                               before frame {gone}"
        );
        assert!(text.contains(&mention), "{name}: {mention:?} is not in {text}");
        let kept = read(here.join(&name), &with(DamagePolicy::Keep)).unwrap();
        assert_eq!(kept.damage[0].lost, [gone]);
        assert!(pictures(&kept) == [&whole[..gone], &whole[gone + 1..]].concat(), "{name}");
    }
    // Frames on one side of the missing picture are unchanged.
    assert!(pictures(&selected("without_12.avi", 0, Some(12)).unwrap()) == whole[..12]);
    assert!(pictures(&selected("without_12.avi", 12, None).unwrap()) == whole[13..]);
    refused(selected("without_12.avi", 11, Some(2)), "without_12.avi");

    // The hole reaches from the last bytes of one picture into the next, and covers the next one's name and length.
    let mut harmed = bytes.clone();
    harmed[chunks[9].end - 40..chunks[10].start + 40].fill(0);
    std::fs::write(here.join("hole.avi"), harmed).unwrap();
    let text = refused(selected("hole.avi", 0, None), "hole.avi");
    assert!(text.contains("23 frames of 24") && text.contains("22 of them whole: damaged is frame 9"), "{text}");
    let dropped = read(here.join("hole.avi"), &with(DamagePolicy::Drop)).unwrap();
    assert!(pictures(&dropped) == [&whole[..9], &whole[11..]].concat());
}

#[test]
fn a_part_of_a_file_that_cannot_be_read_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    // Each picture is in a separate cluster, so that the reader finds the first picture after the hole.
    ffmpeg(here, &format!("{SOURCE} {MJPEG} -cluster_time_limit 1 whole.mkv"));
    let mut bytes = std::fs::read(here.join("whole.mkv")).unwrap();
    let clusters: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(b"\x1f\x43\xb6\x75")).collect();
    assert_eq!(clusters.len(), 24);
    // The hole covers three whole clusters.
    bytes[clusters[10]..clusters[13]].fill(0);
    std::fs::write(here.join("hole.mkv"), bytes).unwrap();
    let whole = read(here.join("whole.mkv"), &unscaled()).unwrap();
    let whole = pictures(&whole);
    let kept = read(here.join("hole.mkv"), &with(DamagePolicy::Keep)).unwrap();
    assert!(pictures(&kept) == [&whole[..10], &whole[13..]].concat(), "{}", kept.clip.shape());
    assert_eq!((kept.damage[0].gaps.as_slice(), told(&kept)), ([10].as_slice(), vec![]));

    let selected = |start, count| {
        let selection = FrameSelection::default().start(start).count(count);
        read(here.join("hole.mkv"), &unscaled().selection(selection))
    };
    let text = refused(selected(0, None), "hole.mkv");
    assert!(
        text.contains("21 frames, all of them whole; part of the file could not be read, before frame 10"),
        "{text}"
    );
    refused(selected(9, Some(2)), "hole.mkv");
    assert!(pictures(&selected(0, Some(10)).unwrap()) == whole[..10]);
    assert!(pictures(&selected(10, None).unwrap()) == whole[13..]);
}

#[test]
fn a_recording_that_begins_between_key_frames_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    ffmpeg(here, &format!("{SOURCE} {H264} -bsf:v h264_mp4toannexb whole.h264"));
    let bytes = std::fs::read(here.join("whole.h264")).unwrap();
    // Each unit of the stream begins with three bytes and its type: 5 is a key frame, 1 another picture.
    let starts: Vec<usize> = (0..bytes.len() - 4).filter(|&at| bytes[at..].starts_with(&[0, 0, 1])).collect();
    let kind = |at: &usize| bytes[at + 3] & 31;
    let first = starts.iter().position(|at| kind(at) == 5).unwrap();
    let behind = starts[first..].iter().find(|at| kind(at) == 1).unwrap();
    std::fs::write(here.join("late.h264"), &bytes[*behind..]).unwrap();
    let whole = read(here.join("whole.h264"), &unscaled()).unwrap();
    let late = read(here.join("late.h264"), &unscaled()).unwrap();
    assert!(pictures(&late) == pictures(&whole)[GROUP..], "{} frames", late.clip.shape().t);
}
