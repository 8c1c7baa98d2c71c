//! Logs of videos with known damage.

use super::*;

/// A packet of the video: the position of its picture in display order, and its kind: key frame (`I`), predicted (`P`)
/// or bidirectional (`B`). Packets are in decoding order.
type Picture = (usize, char);

/// Two groups of six: displayed as I P B B P P, decoded as I P P B B P.
const ORDER: [Picture; 12] = [
    (0, 'I'),
    (1, 'P'),
    (4, 'P'),
    (2, 'B'),
    (3, 'B'),
    (5, 'P'),
    (6, 'I'),
    (7, 'P'),
    (10, 'P'),
    (8, 'B'),
    (9, 'B'),
    (11, 'P'),
];

/// A fault of a packet.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    /// The decoder conceals errors in its picture.
    Mended,
    /// The decoder cannot decode it.
    Lost,
    /// The decoder complains.
    Complaint,
}

/// The events of a program that reads one packet at a time, as version 5 does, or all packets first, as later versions
/// may. The decoder lags two packets behind.
fn events(major: usize, times: bool, wrong: &[(usize, Wrong)]) -> Vec<Event> {
    let time = |place: usize| times.then(|| 100 + 10 * i64::try_from(place).unwrap());
    let is = |packet: usize, what: Wrong| wrong.contains(&(packet, what));
    let mut events = vec![Event::Version { major }];
    let packet = |number: usize| {
        [Event::Read { decoded: i64::try_from(number).ok() }, Event::Packet { time: time(ORDER[number].0) }]
    };
    if major > 5 {
        events.extend((0..ORDER.len()).flat_map(packet));
    }
    let shown = |events: &mut Vec<Event>, place: usize| {
        let number = ORDER.iter().position(|&(shown, _)| shown == place).unwrap();
        if is(number, Wrong::Lost) {
            return;
        }
        if is(number, Wrong::Mended) {
            events.push(Event::FrameCorrupt);
        }
        let kind = ORDER[number].1;
        events.push(Event::Frame { time: time(place), key: kind == 'I', bidirectional: kind == 'B' });
    };
    for number in 0..ORDER.len() {
        if major <= 5 {
            events.extend(packet(number));
        }
        if is(number, Wrong::Complaint) || is(number, Wrong::Mended) {
            events.push(Event::Complaint);
        }
        if is(number, Wrong::Lost) {
            events.extend([Event::Complaint, Event::Lost]);
        }
        if let Some(place) = number.checked_sub(2) {
            shown(&mut events, place);
        }
    }
    for place in ORDER.len() - 2..ORDER.len() {
        shown(&mut events, place);
    }
    events
}

fn found(codec: &str, events: impl IntoIterator<Item = Event>) -> Findings {
    let mut survey = Survey::of(codec);
    events.into_iter().for_each(|event| survey.take(event));
    survey.findings()
}

#[test]
fn damage_extends_in_decoding_order_to_the_next_key_frame() {
    type Case = (&'static str, Wrong, usize, &'static [Range<usize>]);
    let cases: [Case; 8] = [
        // Displayed at 4; 2 and 3 are decoded after it.
        ("h264", Wrong::Mended, 2, &[2..6]),
        ("h264", Wrong::Mended, 3, &[2..4, 5..6]),
        // Nothing is predicted from a bidirectional picture.
        ("mpeg2video", Wrong::Mended, 3, &[2..3]),
        ("mpeg2video", Wrong::Mended, 2, &[2..6]),
        ("h264", Wrong::Mended, 6, &[6..12]),
        // The picture at 4 is lost, and later ones move up.
        ("h264", Wrong::Lost, 2, &[2..5]),
        ("hevc", Wrong::Complaint, 7, &[7..12]),
        // The decoder marks concealed errors.
        ("h264", Wrong::Complaint, 7, &[]),
    ];
    for (codec, wrong, packet, wanted) in cases {
        for major in [5, 7] {
            let findings = found(codec, events(major, true, &[(packet, wrong)]));
            let lost = usize::from(wrong == Wrong::Lost);
            assert_eq!((findings.frames, findings.lost.len()), (12 - lost, lost));
            let what = format!("{codec}, version {major}, packet {packet}: {findings:?}");
            if major == 5 || wrong != Wrong::Complaint {
                assert_eq!(findings.damaged, wanted, "{what}");
            } else {
                // It is unknown which packet it was. Earlier pictures are intact.
                let all = findings.damaged.iter().all(|range| range.start >= packet - 2);
                assert!(
                    all && wanted
                        .iter()
                        .flat_map(Clone::clone)
                        .all(|i| findings.damaged.iter().any(|range| range.contains(&i))),
                    "{what}"
                );
            }
        }
    }
    assert_eq!(found("h264", events(5, true, &[])), Findings { frames: 12, ..Findings::default() });
}

#[test]
fn without_times_findings_include_all_damage() {
    for (packet, wanted) in [(2, 2..6), (3, 2..6), (7, 7..12)] {
        let findings = found("h264", events(5, false, &[(packet, Wrong::Mended)]));
        let covered = wanted.clone().all(|index| findings.damaged.iter().any(|range| range.contains(&index)));
        assert!(covered, "{packet}: {:?}", findings.damaged);
        assert!(findings.damaged.iter().all(|range| range.start >= wanted.start && range.end <= wanted.end));
    }
    for major in [5, 7] {
        let findings = found("h264", events(major, false, &[(2, Wrong::Lost)]));
        assert!(findings.damaged.iter().any(|range| range.start <= 2 && range.end >= 5), "{:?}", findings.damaged);
    }
}

#[test]
fn a_gap_before_a_key_frame_is_not_damage() {
    // The packet after which something is missing, and the damaged frames.
    for (packet, wanted) in [(5_i64, &[][..]), (2, &[2..6][..]), (11, &[11..12])] {
        let mut all = events(5, true, &[]);
        let at = all.iter().position(|event| *event == Event::Read { decoded: Some(packet) }).unwrap();
        // The reader is one packet ahead.
        let at = if packet < 11 { at - 3 } else { at };
        all.splice(at..at, [Event::Incomplete { decoded: Some(packet) }, Event::PacketCorrupt]);
        assert_eq!(found("mpeg2video", all).damaged, wanted, "{packet}");
    }
}

#[test]
fn damage_of_key_frames_does_not_extend() {
    let frame = |time| {
        [
            Event::Read { decoded: Some(time) },
            Event::Packet { time: Some(time) },
            Event::Frame { time: Some(time), key: true, bidirectional: false },
        ]
    };
    let with = |event: Event, at: i64| {
        (0..6).flat_map(move |time| {
            let [read, packet, frame] = frame(time);
            let wrong = (time == at).then_some(event);
            let is_lost = time == at && event == Event::Lost;
            [Some(read), Some(packet), wrong, (!is_lost).then_some(frame)].into_iter().flatten()
        })
    };
    assert_eq!(found("mjpeg", with(Event::Complaint, 3)).damaged, [3..4]);
    assert_eq!(found("mjpeg", with(Event::FrameCorrupt, 3)).damaged, [3..4]);
    let lost = found("mjpeg", with(Event::Lost, 3));
    assert_eq!((lost.frames, lost.damaged, lost.lost), (5, vec![], vec![3]));
    let doubtful = found("mjpeg", with(Event::Doubt, 3));
    assert_eq!((doubtful.damaged, doubtful.doubtful), (vec![], vec![3]));
    // If all pictures are odd, the camera is the reason.
    assert_eq!(found("mjpeg", with(Event::Doubt, 0)).doubtful, [0; 0]);
    assert!(found("mjpeg", with(Event::Size([6, 4]), 3)).sizes.is_empty());
}

#[test]
fn a_packet_before_a_gap_may_be_damaged_without_a_report() {
    // The packet after which the reader resynchronises, the frame after the gap, and the damaged frames.
    for (codec, packet, before, damaged) in
        [("vp9", 5_i64, 6, &[5..6][..]), ("h264", 5, 6, &[]), ("vp9", 4, 5, &[3..4, 5..6]), ("vp9", 11, 12, &[11..12])]
    {
        let mut all = events(5, true, &[]);
        let at = all.iter().position(|event| *event == Event::Read { decoded: Some(packet + 1) }).unwrap_or(all.len());
        all.insert(at, Event::PassedOver);
        let findings = found(codec, all);
        assert_eq!((&findings.gaps[..], &findings.damaged[..]), (&[before][..], damaged), "{codec} {packet}");
    }
}
