//! Logs of videos whose damage is known.

use super::*;

/// A packet of the video, and whether its picture is a key frame (`I`), predicted (`P`) or bidirectional (`B`). Packets
/// are given in the order of decoding, with the place in which they are shown.
type Picture = (usize, char);

/// Two groups of six: shown I P B B P P, decoded I P P B B P.
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

/// What is wrong with a packet.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    /// The decoder mends its picture.
    Mended,
    /// The decoder makes nothing of it.
    Lost,
    /// The decoder complains.
    Complaint,
}

/// The events of a program that reads one packet at a time, as version 5 does, or all of them first, as later ones may.
/// A decoder that is two packets behind.
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
        let number = ORDER.iter().position(|&(own, _)| own == place).unwrap();
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
fn damage_reaches_what_is_decoded_after_it_up_to_the_next_key_frame() {
    type Case = (&'static str, Wrong, usize, &'static [Range<usize>]);
    let cases: [Case; 8] = [
        // Shown at 4; 2 and 3 are decoded after it.
        ("h264", Wrong::Mended, 2, &[2..6]),
        ("h264", Wrong::Mended, 3, &[2..4, 5..6]),
        // Nothing is predicted from a bidirectional picture.
        ("mpeg2video", Wrong::Mended, 3, &[2..3]),
        ("mpeg2video", Wrong::Mended, 2, &[2..6]),
        ("h264", Wrong::Mended, 6, &[6..12]),
        // The picture shown at 4 is gone, and those behind it move up.
        ("h264", Wrong::Lost, 2, &[2..5]),
        ("hevc", Wrong::Complaint, 7, &[7..12]),
        // The decoder marks what it mends.
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
                // Which packet it was is not known: what was shown before is whole.
                let all = findings.damaged.iter().all(|run| run.start >= packet - 2);
                assert!(
                    all && wanted
                        .iter()
                        .flat_map(Clone::clone)
                        .all(|i| findings.damaged.iter().any(|run| run.contains(&i))),
                    "{what}"
                );
            }
        }
    }
    assert_eq!(found("h264", events(5, true, &[])), Findings { frames: 12, ..Findings::default() });
}

#[test]
fn without_times_too_much_may_be_told_and_not_too_little() {
    for (packet, wanted) in [(2, 2..6), (3, 2..6), (7, 7..12)] {
        let findings = found("h264", events(5, false, &[(packet, Wrong::Mended)]));
        let covered = wanted.clone().all(|index| findings.damaged.iter().any(|run| run.contains(&index)));
        assert!(covered, "{packet}: {:?}", findings.damaged);
        assert!(findings.damaged.iter().all(|run| run.start >= wanted.start && run.end <= wanted.end));
    }
    for major in [5, 7] {
        let findings = found("h264", events(major, false, &[(2, Wrong::Lost)]));
        assert!(findings.damaged.iter().any(|run| run.start <= 2 && run.end >= 5), "{:?}", findings.damaged);
    }
}

#[test]
fn a_gap_before_a_key_frame_is_none() {
    // Behind which packet something is missing, and what is damaged.
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
fn pictures_that_stand_alone_are_damaged_alone() {
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
            let gone = time == at && event == Event::Lost;
            [Some(read), Some(packet), wrong, (!gone).then_some(frame)].into_iter().flatten()
        })
    };
    assert_eq!(found("mjpeg", with(Event::Complaint, 3)).damaged, [3..4]);
    assert_eq!(found("mjpeg", with(Event::FrameCorrupt, 3)).damaged, [3..4]);
    let lost = found("mjpeg", with(Event::Lost, 3));
    assert_eq!((lost.frames, lost.damaged, lost.lost), (5, vec![], vec![3]));
    let doubtful = found("mjpeg", with(Event::Doubt, 3));
    assert_eq!((doubtful.damaged, doubtful.doubtful), (vec![], vec![3]));
    // A camera that always does so.
    assert_eq!(found("mjpeg", with(Event::Doubt, 0)).doubtful, [0; 0]);
    assert!(found("mjpeg", with(Event::Size([6, 4]), 3)).sizes.is_empty());
}

#[test]
fn what_ends_in_a_gap_may_be_damaged_where_the_decoder_says_nothing() {
    // Behind which packet the reader gives up, and begins anew; before which frame, and what is damaged.
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
