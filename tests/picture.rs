//! The pictures for people, and the numbers behind them.
#![cfg(feature = "picture")]

use resnet3d_wgpu::clip::files::{LoadOptions, load_inputs};
use resnet3d_wgpu::clip::preprocess::{ChannelOrder, Frames, Normalization, Preprocess, Size, preprocess};
use resnet3d_wgpu::picture::{
    Activation, Backdrop, HeatmapMode, Picture, Scene, activation_map, change_map, class_map, heatmap,
};
use resnet3d_wgpu::{Clip, ErrorKind, Shape};

/// An activation with a strong and constant value in one corner, and a weak peak that moves along `peaks` (row,
/// column).
fn moving_peak(shape: Shape, peaks: &[(usize, usize)]) -> Vec<f32> {
    let mut data = vec![0.5; shape.len()];
    for n in 0..shape.n {
        for c in 0..shape.c {
            for (t, &(y, x)) in peaks.iter().enumerate() {
                let plane = ((n * shape.c + c) * shape.t + t) * shape.h * shape.w;
                data[plane] = 100.0;
                // Channels of both signs, so that they cancel in a sum over channels.
                data[plane + y * shape.w + x] += if c % 2 == 0 { 3.0 } else { -3.0 };
            }
        }
    }
    data
}

fn uniform_clip(shape: Shape) -> Clip {
    Clip::new(shape, vec![0.0; shape.len()]).unwrap()
}

#[test]
fn change_follows_what_moves_and_activation_what_is_strong() {
    let shape = Shape::new(2, 4, 4, 5, 7);
    let peaks = [(1, 1), (2, 3), (3, 5), (4, 6)];
    let mut data = moving_peak(shape, &peaks);
    // The second item of the batch moves along another path.
    let other = [(4, 0), (3, 0), (2, 0), (1, 0)];
    let half = data.len() / 2;
    data[half..].copy_from_slice(&moving_peak(Shape { n: 1, ..shape }, &other));
    let activation = Activation { name: "res4_1_sum", shape, data: &data };
    for (item, peaks) in [peaks, other].iter().enumerate() {
        let change = change_map(&activation, item).unwrap();
        assert_eq!([change.count(), change.height(), change.width()], shape.thw());
        for (t, &peak) in peaks.iter().enumerate() {
            assert_eq!(change.argmax(t), Some(peak), "item {item}, frame {t}");
            // A peak of 3 in one frame of four differs from the mean over time by three quarters of 3.
            let value = change.frame(t).unwrap()[peak.0 * shape.w + peak.1];
            assert!((value - 3.0 * 0.75).abs() < 1e-5, "{value}");
            assert_eq!(change.frame(t).unwrap()[0], 0.0, "what is still does not change");
        }
        let strength = activation_map(&activation, item).unwrap();
        assert_eq!(strength.argmax(0), Some((0, 0)));
        assert_eq!(strength.range(), Some((0.5, 100.0)));
    }
    assert_eq!(change_map(&activation, 0).unwrap().argmax(shape.t), None);
}

#[test]
fn maps_take_what_is_no_number_and_refuse_what_is_no_activation() {
    let shape = Shape::new(1, 1, 1, 1, 3);
    let activation = |data| Activation { name: "blob", shape, data };
    let maps = activation_map(&activation(&[f32::NAN, 2.0, f32::INFINITY]), 0).unwrap();
    assert_eq!(maps.argmax(0), Some((0, 2)));
    assert_eq!(maps.range(), Some((2.0, 2.0)));
    let nothing = activation_map(&activation(&[f32::NAN; 3]), 0).unwrap();
    assert_eq!((nothing.argmax(0), nothing.range()), (None, None));
    heatmap(
        &Backdrop::new(&uniform_clip(Shape::new(1, 3, 1, 1, 3)), None, &Preprocess::default()).unwrap(),
        &[activation(&[f32::NAN, 2.0, f32::INFINITY])],
        HeatmapMode::Activation,
    )
    .unwrap();

    let error = activation_map(&activation(&[1.0; 2]), 0).unwrap_err();
    assert!(error.to_string().contains("blob: wanted shape 1x1x1x1x3"), "{error}");
    assert!(change_map(&activation(&[1.0; 3]), 1).is_err_and(|error| error.kind() == ErrorKind::Shape));
    let empty = Activation { name: "blob", shape: Shape::new(1, 0, 1, 1, 1), data: &[] };
    assert!(change_map(&empty, 0).is_err_and(|error| error.kind() == ErrorKind::Size));
}

/// The mean of a class map is the classifier's score for the mean, and evidence against a class is negative.
#[test]
fn a_class_map_adds_up_to_the_score() {
    let shape = Shape::new(2, 3, 2, 2, 2);
    let data: Vec<f32> = (0..shape.len()).map(|i| (i * 7 % 11) as f32 - 3.0).collect();
    let activation = Activation { name: "res5_0_sum", shape, data: &data };
    // The last two weights belong to a second pathway.
    let weights = [0.5, -2.0, 0.25, 7.0, 7.0];
    for item in [0, 1] {
        let map = class_map(&activation, item, &weights).unwrap();
        assert_eq!((map.count(), map.height(), map.width()), (2, 2, 2));
        let channels: Vec<&[f32]> = data[item * 24..][..24].chunks(8).collect();
        for (index, &value) in map.values().iter().enumerate() {
            let wanted: f32 = channels.iter().zip(weights).map(|(channel, weight)| channel[index] * weight).sum();
            assert_eq!(value, wanted);
        }
        let mean = |values: &[f32]| values.iter().sum::<f32>() / 8.0;
        let score: f32 = channels.iter().zip(weights).map(|(channel, weight)| mean(channel) * weight).sum();
        assert!((mean(map.values()) - score).abs() < 1e-5);
        assert!(map.values().iter().any(|&value| value < 0.0));
    }
    assert!(class_map(&activation, 2, &weights).unwrap_err().to_string().contains("res5_0_sum"));
    assert!(class_map(&activation, 0, &weights[..2]).unwrap_err().to_string().contains("weights of a class"));
}

fn pixel(picture: &Picture, x: usize, y: usize) -> [u8; 3] {
    let at = (y * picture.width() + x) * 3;
    picture.rgb()[at..at + 3].try_into().unwrap()
}

/// All pixels, as x, y, that fulfil a condition.
fn pixels(picture: &Picture, condition: impl Fn([u8; 3]) -> bool) -> Vec<(usize, usize)> {
    let all = (0..picture.height()).flat_map(|y| (0..picture.width()).map(move |x| (x, y)));
    all.filter(|&(x, y)| condition(pixel(picture, x, y))).collect()
}

#[test]
fn the_heatmap_has_labels_scales_and_a_row_per_blob() {
    let clip = uniform_clip(Shape::new(2, 3, 12, 24, 32));
    let shape = Shape::new(2, 2, 12, 3, 4);
    let peaks: Vec<_> = (0..12).map(|t| (1 + t % 2, t % 4)).collect();
    let data = moving_peak(shape, &peaks);
    let draw = |names: &[&str]| {
        let activations: Vec<_> = names.iter().map(|name| Activation { name, shape, data: &data }).collect();
        let backdrop = Backdrop::new(&clip, None, &Preprocess::default()).unwrap();
        heatmap(&backdrop, &activations, HeatmapMode::Change).unwrap()
    };
    let [none, one, two] = [draw(&[]), draw(&["res2_1_sum"]), draw(&["res2_1_sum", "res4_1_sum"])];
    let bytes = two.to_png().unwrap();
    let decoded = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png).unwrap().into_rgb8();
    assert_eq!((decoded.width() as usize, decoded.height() as usize), (two.width(), two.height()));
    assert_eq!(decoded.as_raw(), two.rgb());

    // Eight frames of 4:3 fill the available width, and all rows have the same height.
    assert!((2000..=2400).contains(&two.width()), "{}", two.width());
    let row = one.height() - none.height();
    assert_eq!(two.height() - one.height(), row);
    assert!((2000 / 8 * 3 / 4..2400 / 8).contains(&row), "{row}");

    // One colour bar in each row, from the scale's brightest to its darkest colour.
    let ends = [1.0, 0.0].map(|level| colorous::INFERNO.eval_continuous(level).into_array());
    let bars = ends.map(|colour| pixels(&two, |found| found == colour));
    let mut tops: Vec<usize> = bars[0].iter().map(|&(_, y)| y).collect();
    tops.dedup();
    assert_eq!(tops.len(), 2, "{tops:?}");
    assert_eq!(tops[1] - tops[0], row);
    assert!(bars[0].len() >= 20 && bars[0].iter().all(|top| bars[1].iter().any(|low| low.0 == top.0 && low.1 > top.1)));

    // Another name changes the label of its row, and nothing else in the picture.
    let renamed = draw(&["res2_1_sum", "res5_1_sum"]);
    let changed: Vec<(usize, usize)> = (0..two.height())
        .flat_map(|y| (0..two.width()).map(move |x| (x, y)))
        .filter(|&(x, y)| pixel(&two, x, y) != pixel(&renamed, x, y))
        .collect();
    assert!(!changed.is_empty());
    assert!(changed.iter().all(|&(x, y)| x < 300 && y < tops[1] && y + 40 > tops[1]), "{changed:?}");
}

#[test]
fn maps_lie_where_the_network_looked() {
    // One frame of 61x61, drawn large; the map's element (2, 1) of 4x4 looks at pixel (32, 16).
    let clip = uniform_clip(Shape::new(1, 3, 1, 61, 61));
    let mut data = [0.0; 16];
    data[2 * 4 + 1] = 1.0;
    let activation = Activation { name: "blob", shape: Shape::new(1, 1, 1, 4, 4), data: &data };
    let backdrop = Backdrop::new(&clip, None, &Preprocess::default()).unwrap();
    let picture = heatmap(&backdrop, &[activation], HeatmapMode::Activation).unwrap();

    let top_colour = colorous::INFERNO.eval_continuous(1.0).into_array();
    let (bar_left, top) = pixels(&picture, |found| found == top_colour)[0];
    let bottom_colour = colorous::INFERNO.eval_continuous(0.0).into_array();
    let side = 1 + pixels(&picture, |found| found == bottom_colour).last().unwrap().1 - top;
    let left = bar_left - 12 - side;
    let brightness = |(x, y): (usize, usize)| pixel(&picture, x, y).into_iter().map(u32::from).sum::<u32>();
    let cell = (top..top + side).flat_map(|y| (left..left + side).map(move |x| (x, y)));
    let brightest = cell.max_by_key(|&at| brightness(at)).unwrap();
    let in_clip = |at: usize, from: usize| (at - from) as f64 * 61.0 / side as f64;
    let (x, y) = (in_clip(brightest.0, left), in_clip(brightest.1, top));
    assert!((x - 16.5).abs() < 2.0 && (y - 32.5).abs() < 2.0, "brightest at ({x}, {y}) of the clip");
    assert!(brightness(brightest) > 2 * brightness((left, top)), "the peak stands out");
}

#[test]
fn backdrops_are_the_clip_or_the_frames_that_became_it() {
    let scene = Scene { frames: 2, height: 24, width: 32 }.render().unwrap();
    let options = Preprocess::default().size(Size::Shorter(24)).max_size(32).pad_stride(32);
    let clip = preprocess(std::slice::from_ref(&scene), &options).unwrap();
    let from_frames = heatmap(&Backdrop::new(&clip, Some(&scene), &options).unwrap(), &[], HeatmapMode::Activation);
    let unpadded = preprocess(std::slice::from_ref(&scene), &options.pad_stride(None)).unwrap();
    let from_clip = heatmap(&Backdrop::new(&unpadded, None, &options).unwrap(), &[], HeatmapMode::Activation);
    // Nothing was resized, so the clip plus the means equals the frames. Only the heading tells that the clip was
    // padded.
    let [from_frames, from_clip] = [from_frames.unwrap(), from_clip.unwrap()];
    assert_eq!((from_frames.width(), from_frames.height()), (from_clip.width(), from_clip.height()));
    let below_heading = 3 * 70 * from_frames.width();
    assert!(from_frames.rgb()[below_heading..] == from_clip.rgb()[below_heading..]);

    // The same holds for another normalisation, and for a crop from the middle of the frames.
    let imagenet = Preprocess::usual(Normalization::ImageNet).size(Size::Shorter(24));
    let draw = |frames: &Frames, options: &Preprocess, originals: Option<&Frames>| {
        let clip = preprocess(std::slice::from_ref(frames), options).unwrap();
        heatmap(&Backdrop::new(&clip, originals, options).unwrap(), &[], HeatmapMode::Activation).unwrap()
    };
    assert!(draw(&scene, &imagenet, None) == draw(&scene, &imagenet, Some(&scene)));
    let cropped = imagenet.crop(24);
    let middle = scene.iter().flat_map(|frame| frame.chunks_exact(32 * 3)).flat_map(|row| &row[4 * 3..28 * 3]);
    let middle = Frames::new([2, 24, 24], ChannelOrder::Rgb, middle.copied().collect()).unwrap();
    let square = draw(&middle, &imagenet, Some(&middle));
    assert!(draw(&scene, &cropped, Some(&scene)) == square && draw(&scene, &cropped, None) == square);

    let longer = Scene { frames: 3, height: 24, width: 32 }.render().unwrap();
    assert!(Backdrop::new(&clip, Some(&longer), &options).is_err_and(|error| error.kind() == ErrorKind::Clip));
    let features = uniform_clip(Shape::new(1, 4, 1, 2, 2));
    assert!(Backdrop::new(&features, None, &options).is_err_and(|error| error.kind() == ErrorKind::Shape));
}

#[test]
fn the_scene_is_one_moving_disc() {
    let scene = Scene::default();
    let frames = scene.render().unwrap();
    assert_eq!(frames, scene.render().unwrap());
    assert_eq!([frames.count(), frames.height(), frames.width()], [scene.frames, scene.height, scene.width]);
    assert_eq!(frames.order(), ChannelOrder::Rgb);
    let discs: Vec<_> = (0..scene.frames).map(|t| scene.disc(t)).collect();
    for (t, &(x, y, r)) in discs.iter().enumerate() {
        assert!(x - r > 1.0 && x + r + 1.0 < scene.width as f64, "frame {t}: x {x}, r {r}");
        assert!(y - r > 1.0 && y + r + 1.0 < scene.height as f64, "frame {t}: y {y}, r {r}");
        if let Some(&(last_x, last_y, _)) = t.checked_sub(1).and_then(|t| discs.get(t)) {
            assert!((x - last_x).hypot(y - last_y) > r, "frame {t}: hardly moved");
        }
    }
    // A pixel is bright exactly where a disc is; where none ever is, it is the same in all frames.
    let at = |t: usize, x: usize, y: usize| &frames.frame(t).unwrap()[(y * scene.width + x) * 3..][..3];
    let distance = |t: usize, x: usize, y: usize| {
        let (cx, cy, r) = discs[t];
        (x as f64 + 0.5 - cx).hypot(y as f64 + 0.5 - cy) - r
    };
    for y in 0..scene.height {
        for x in 0..scene.width {
            let outside: Vec<_> = (0..scene.frames).filter(|&t| distance(t, x, y) > 1.0).collect();
            assert!(outside.iter().all(|&t| at(t, x, y) == at(outside[0], x, y)), "background moves at ({x}, {y})");
            for t in 0..scene.frames {
                let bright = at(t, x, y)[0] > 170;
                assert!(
                    distance(t, x, y).abs() <= 1.0 || bright == (distance(t, x, y) < 0.0),
                    "({x}, {y}) of frame {t}"
                );
            }
        }
    }
}

#[test]
fn the_scene_goes_to_disk_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/scene");
    let scene = Scene { frames: 11, height: 30, width: 40 };
    scene.write_png_frames(&path).unwrap();
    let input = load_inputs(&[&path], &LoadOptions::default().keep_frames(true)).unwrap();
    assert_eq!(input.frames, [scene.render().unwrap()]);
    assert_eq!(input.clip.shape(), Shape::new(1, 3, 11, 250, 333));

    for scene in [Scene { frames: 0, ..scene }, Scene { width: 0, ..scene }] {
        assert!(scene.render().is_err_and(|error| error.kind() == ErrorKind::Clip), "{scene:?}");
    }
    let endless = Scene { frames: usize::MAX, ..scene };
    assert!(endless.render().is_err_and(|error| error.kind() == ErrorKind::Size));
    let tiny: Frames = Scene { frames: 1, height: 1, width: 1 }.render().unwrap();
    assert_eq!(tiny.data().len(), 3);
}
