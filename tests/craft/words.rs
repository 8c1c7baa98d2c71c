//! The words in identifiers: coined words for which the field has a term do not come back.

use std::path::Path;

/// Words that are not part of any identifier.
const COINED: [&str; 24] = [
    "afford",
    "affords",
    "contender",
    "contest",
    "dear",
    "dearer",
    "home",
    "homes",
    "own",
    "pays",
    "piece",
    "pieces",
    "quad",
    "quads",
    "reach",
    "spot",
    "spots",
    "spread",
    "streamed",
    "stretch",
    "stretches",
    "stripe",
    "stripes",
    "suits",
];

/// Words that also have an ordinary meaning. Only the identifiers in [`ORDINARY`] may contain them.
const AMBIGUOUS: [&str; 13] = [
    "entries", "entry", "hold", "image", "images", "lane", "lanes", "round", "rounds", "runs", "segment", "segments",
    "term",
];

/// Uses with the ordinary meaning: a word, the start of a file's path, and the identifiers that contain the word. An
/// empty list stands for all identifiers.
const ORDINARY: &[(&str, &str, &[&str])] = &[
    // Entries of a directory.
    ("entries", "cli/tests/", &["entries"]),
    ("entries", "src/atomic_file.rs", &["entries"]),
    ("entry", "cli/", &["entry"]),
    ("entry", "src/atomic_file.rs", &["entry"]),
    ("entry", "src/clip/files/pictures/listing.rs", &["entry"]),
    // Entries of a tensor file, of an archive, of a dictionary.
    ("entry", "cli/src/features.rs", &["Entry"]),
    ("entry", "src/clip/files/tensors.rs", &["Entry"]),
    ("entry", "src/tensor_file.rs", &[]),
    ("entries", "src/tensor_file.rs", &[]),
    ("entry", "src/weights/save.rs", &["Entry"]),
    ("entries", "src/weights/save.rs", &["entries"]),
    ("entry", "src/weights/torch/", &[]),
    ("entries", "src/weights/torch/", &[]),
    ("entries", "src/weights/pickle/", &[]),
    // Names in wgpu.
    ("entry", "src/", &["BindGroupEntry", "BindGroupLayoutEntry", "ENTRY_POINT", "entry_point", "entry_points"]),
    ("entries", "src/gpu/", &["entries"]),
    ("image", "src/gpu/", &["as_image_copy"]),
    // Pictures, and networks for them.
    ("image", "src/clip/", &[]),
    ("image", "src/picture/", &[]),
    ("image", "cli/", &[]),
    ("images", "cli/", &[]),
    ("image", "src/weights/", &[]),
    // Lanes of a subgroup.
    ("lanes", "src/kernels/conv_gemm.rs", &["LANES"]),
    ("lanes", "src/kernels/conv_gemm_subgroup.rs", &["LANES"]),
    ("lanes", "src/kernels/conv_pool_subgroup.rs", &["LANES"]),
    ("lanes", "src/kernels/table.rs", &["lanes"]),
    ("lanes", "src/kernels/target.rs", &["LANES"]),
    // Segments of a JPEG file.
    ("segment", "src/clip/files/pictures/jpeg.rs", &["segment"]),
    // Round trips, runs of a measurement, a kernel that runs on a device, signals, the width of a terminal.
    ("round", "src/named.rs", &["assert_round_trip"]),
    ("runs", "cli/", &[]),
    ("runs", "src/kernels/", &["runs_on"]),
    ("runs", "src/tuning/", &["runs"]),
    ("runs", "src/verify/", &["runs", "runs_on"]),
    ("term", "cli/src/cli.rs", &["max_term_width"]),
    ("term", "cli/tests/", &["TERM"]),
    // The home directory; frames that are spread evenly.
    ("home", "cli/tests/cli/caches.rs", &["home"]),
    ("spread", "src/clip/sampling.rs", &["Spread", "spread"]),
    ("spread", "src/graph/", &["Spread", "spread"]),
    ("spread", "src/network/", &["Spread", "spread"]),
    ("spread", "src/verify/cases.rs", &["Spread", "spread"]),
    ("spread", "src/weights/", &["Spread", "spread"]),
];

/// The identifiers in a Rust or WGSL file with a word that does not belong there, with that word. `path` is relative to
/// the root of the repository.
pub fn offenders<'a>(path: &str, text: &'a str) -> Vec<(&'a str, String)> {
    let identifiers = identifiers(text);
    let uses_subgroups = identifiers.iter().any(|(name, _)| name.starts_with("subgroup")) && path.ends_with(".wgsl");
    let is_ordinary = |name: &str, word: &str| {
        ORDINARY.iter().any(|&(ordinary, start, names)| {
            ordinary == word && path.starts_with(start) && (names.is_empty() || names.contains(&name))
        })
    };
    let found = identifiers.iter().flat_map(|&(name, is_method)| {
        let words = words(name).into_iter().filter(move |word| match word.as_str() {
            // Methods of maps and of floats.
            "entry" | "round" if is_method => false,
            "lane" | "lanes" if uses_subgroups => false,
            word => (COINED.contains(&word) || AMBIGUOUS.contains(&word)) && !is_ordinary(name, word),
        });
        words.map(move |word| (name, word))
    });
    found.collect()
}

/// The identifiers in code, without comments and literals, and whether each is the name of a called method.
fn identifiers(text: &str) -> Vec<(&str, bool)> {
    let bytes = text.as_bytes();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &text[at..];
        at += if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = string(rest) {
            length
        } else if rest.starts_with('\'') {
            quoted(rest)
        } else if is_part(bytes[at]) {
            let length = rest.bytes().position(|byte| !is_part(byte)).unwrap_or(rest.len());
            let is_method = text[..at].ends_with('.') && rest[length..].starts_with('(');
            if !bytes[at].is_ascii_digit() {
                found.push((&rest[..length], is_method));
            }
            length
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
    }
    found
}

/// The length of a block comment at the start of `text`. Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string literal at the start of `text`, plain or raw, of characters, bytes or C, if there is one.
fn string(text: &str) -> Option<usize> {
    let prefix = ["", "b", "c", "r", "br", "cr"].into_iter().find(|prefix| {
        let rest = text
            .strip_prefix(prefix)
            .map(|rest| if prefix.ends_with('r') { rest.trim_start_matches('#') } else { rest });
        rest.is_some_and(|rest| rest.starts_with('"'))
    })?;
    let start = text.find('"')? + 1;
    if prefix.ends_with('r') {
        let end = format!("\"{}", "#".repeat(start - 1 - prefix.len()));
        return Some(text[start..].find(&end).map_or(text.len(), |length| start + length + end.len()));
    }
    let mut escaped = false;
    let end = text[start..].find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(end.map_or(text.len(), |length| start + length + 1))
}

/// The length of a character literal or of a lifetime at the start of `text`.
fn quoted(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(text.len(), |length| length + 4),
        Some((_, _)) => match characters.next() {
            Some((end, '\'')) => end + 1,
            _ => 1 + text[1..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len() - 1),
        },
        None => 1,
    }
}

/// The words of an identifier in snake or camel case, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let letters: Vec<char> = name.chars().collect();
    for (index, &letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| letters[before]);
        let next_is_lower = letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        let begins = before.is_none_or(|before| {
            before == '_'
                || before.is_ascii_digit() != letter.is_ascii_digit()
                || letter.is_ascii_uppercase() && (!before.is_ascii_uppercase() || next_is_lower)
        });
        match words.last_mut() {
            _ if letter == '_' => {}
            Some(word) if !begins => word.push(letter.to_ascii_lowercase()),
            _ => words.push(letter.to_ascii_lowercase().to_string()),
        }
    }
    words
}

/// How often `word` stands in `text`, comments included, in any case.
pub fn count(word: &str, text: &str) -> usize {
    text.split(|c: char| !c.is_alphanumeric()).filter(|part| part.eq_ignore_ascii_case(word)).count()
}

/// The lines of `text` with more than 120 characters, by number.
pub fn long_lines(text: &str) -> Vec<usize> {
    text.lines().zip(1..).filter(|(line, _)| line.chars().count() > 120).map(|(_, number)| number).collect()
}

/// The path of a file from the root of the repository, with `/` between its parts.
pub fn relative(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).expect("a path below the root").iter();
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[test]
fn coined_words_are_found_in_code_alone() {
    let text = r####"
        // own quad /* stripe
        /* own /* nested */ stretch */
        fn stretches<'own>(own_tile: &'own QuadGrid, MOST_SPOTS: char) -> HTTPHome {
            let text = ("own", r#"a "quad" piece"#, b"reach \" reach", 'o', '\'', '\u{6f}');
            map.entry(1).or_insert(2.5_f32.round()); let rounded = round(x); homely.entry_point
        }
    "####;
    let names = |path: &str| -> Vec<String> {
        offenders(path, text).into_iter().map(|(name, word)| format!("{name}: {word}")).collect()
    };
    let coined = ["stretches: stretches", "own_tile: own", "QuadGrid: quad", "MOST_SPOTS: spots", "HTTPHome: home"];
    assert_eq!(names("src/a.rs"), [&coined[..], &["round: round"]].concat());
    assert_eq!(names("shaders/a.wgsl"), [&coined[..], &["round: round", "entry_point: entry"]].concat());
    assert_eq!(words("conv3DGemm_2x"), ["conv", "3", "d", "gemm", "2", "x"]);
}

#[test]
fn words_have_an_ordinary_meaning_where_the_table_says_so() {
    for (path, text, wanted) in [
        ("src/clip/sampling.rs", "Spread home", &["home"][..]),
        ("src/plan/mod.rs", "Spread", &["Spread"]),
        ("src/kernels/method.rs", "runs_on runs", &["runs"]),
        ("shaders/a.wgsl", "subgroup_invocation_id lane", &[]),
        ("shaders/a.wgsl", "lane // subgroup_size", &["lane"]),
        ("src/clip/files/pictures/jpeg.rs", "segment image segments", &["segments"]),
    ] {
        let found: Vec<&str> = offenders(path, text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, wanted, "{path}: {text}");
    }
}

#[test]
fn counts_and_long_lines() {
    assert_eq!(count("own", "Own own_tile, owner's own. // known: its own"), 4);
    assert_eq!(long_lines(&format!("{}\n{}\n{}", "é".repeat(120), "a".repeat(121), "")), [2]);
}
