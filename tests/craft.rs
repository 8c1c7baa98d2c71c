//! Invariants of the sources.

#[path = "craft/browser.rs"]
mod browser;
#[path = "../examples/modules/graph.rs"]
mod graph;
#[path = "craft/words.rs"]
mod words;

use std::path::{Path, PathBuf};

/// The Rust files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    files(directory, &["rs"])
}

/// The files below a directory with one of these extensions.
fn files(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| if path.is_dir() { files(&path, extensions) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|e| extensions.iter().any(|wanted| e == *wanted))).collect()
}

#[test]
fn unsafe_code_is_in_one_file_and_says_why() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (crate_root, wanted) in
        [("src/lib.rs", "#![deny(unsafe_code)]"), ("cli/src/main.rs", "#![forbid(unsafe_code)]")]
    {
        assert!(std::fs::read_to_string(root.join(crate_root)).unwrap().contains(wanted), "{crate_root}");
    }
    let files = sources(&root.join("src"));
    assert!(files.len() > 30);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let uses = code.clone().filter(|line| line.contains("unsafe ")).count();
        let allows = code.filter(|line| line.contains("allow(unsafe_code)")).count();
        if path.ends_with("src/gpu/trusted.rs") {
            assert_eq!((uses, allows), (2, 1));
            assert_eq!(text.matches("// SAFETY: ").count(), uses);
        } else {
            assert_eq!((uses, allows), (0, 0), "{}", path.display());
        }
    }
}

/// `cli/src/failure.rs` has the advice about options, by the kind of an error.
#[test]
fn the_library_does_not_know_the_program_s_options() {
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let mut after_dashes = line.split("--").skip(1);
            assert!(
                !after_dashes.any(|text| text.starts_with(|c: char| c.is_ascii_lowercase())),
                "{}: {line}",
                path.display()
            );
        }
    }
}

/// Neither the sources nor their dependencies use a network. (`ffmpeg` may only read files, see
/// `cli/tests/cli/video.rs`.)
#[test]
fn nothing_uses_a_network() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in [sources(&root.join("src")), sources(&root.join("cli/src"))].concat() {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in ["std::net", "TcpStream", "UdpSocket", "UnixStream"] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let packages: Vec<&str> = lock.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
    assert!(packages.contains(&"\"wgpu\""));
    let of_networks = ["curl", "hyper", "mio", "native-tls", "openssl", "reqwest", "rustls", "socket2", "ureq"];
    for package in of_networks {
        assert!(!packages.contains(&format!("\"{package}\"").as_str()), "{package}");
    }
}

/// The dependencies between the modules of the library have no cycles. (`scripts/modules` prints the graph, and the
/// graph of the files in each module, where cycles are allowed.)
#[test]
fn no_two_modules_use_each_other() {
    let graph = graph::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let root = &graph[&Vec::new()];
    assert!(root["backbone"].contains("gpu") && root["gpu"].contains("plan"), "{root:?}");
    assert_eq!(graph::cycle(root), None);
    let edges = |pairs: &[(&str, &str)]| {
        let edge = |&(user, used): &(&str, &str)| (user.to_owned(), [used.to_owned()].into());
        pairs.iter().map(edge).collect()
    };
    assert_eq!(graph::cycle(&edges(&[("a", "b"), ("b", "c")])), None);
    let cycle = graph::cycle(&edges(&[("a", "b"), ("b", "c"), ("c", "b")])).expect("there is a cycle");
    assert_eq!(cycle, ["b", "c"]);
}

/// In a browser a blocking call never returns, there are no threads, and the clock of the standard library panics.
/// (`scripts/check-wasm` compiles the code for browsers.)
#[test]
fn nothing_waits_in_a_browser() {
    let files = browser::names(Path::new(env!("CARGO_MANIFEST_DIR")));
    let names_in = |file: &str| files.iter().find(|(path, _)| path.ends_with(file)).map(|(_, names)| names);
    assert!(names_in("src/gpu/executor.rs").unwrap().iter().any(|name| name == "poll_fn"));
    assert!(names_in("src/backbone.rs").unwrap().iter().any(|name| name == "Executor::new_async"));
    assert!(names_in("src/gpu/blocking.rs").is_none() && names_in("src/tuning/mod.rs").is_none(), "they are excluded");
    let waits = |name: &&String| {
        let words: Vec<&str> = name.split("::").collect();
        ["block_on", "recv", "recv_timeout", "thread", "sleep", "Instant", "SystemTime", "Condvar", "pollster"]
            .iter()
            .any(|word| words.contains(word))
    };
    let found = files.iter().map(|(path, names)| (path, names.iter().filter(waits).collect::<Vec<_>>()));
    let found: Vec<_> = found.filter(|(_, names)| !names.is_empty()).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// The words in `tests/craft/words.rs` do not come back.
#[test]
fn identifiers_have_the_words_of_the_field() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths = ["src", "cli", "shaders"].map(|directory| files(&root.join(directory), &["rs", "wgsl"])).concat();
    assert!(paths.len() > 200, "{} files", paths.len());
    let mut found = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = words::relative(root, &path);
        found.extend(words::offenders(&path, &text).into_iter().map(|(name, word)| format!("{path}: {name} ({word})")));
    }
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "{} identifiers:\n{}", found.len(), found.join("\n"));
}

/// A name says what a thing is, which `own` does not.
#[test]
fn the_word_own_is_rare() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts = sources(&root.join("src")).into_iter().map(|path| std::fs::read_to_string(path).unwrap());
    let count: usize = texts.map(|text| words::count("own", &text)).sum();
    assert!(count <= 50, "{count} times in src");
}

#[test]
fn lines_have_at_most_120_characters() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for directory in ["src", "cli", "shaders", "tests", "examples"] {
        for path in files(&root.join(directory), &["rs", "wgsl", "py", "c"]) {
            let numbers = words::long_lines(&std::fs::read_to_string(&path).unwrap());
            let path = words::relative(root, &path);
            found.extend(numbers.into_iter().map(|number| format!("{path}:{number}")));
        }
    }
    assert!(found.is_empty(), "{} lines:\n{}", found.len(), found.join("\n"));
}

/// Files that documents name in code style exist.
#[test]
fn documents_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for document in ["docs/architecture.md", "docs/planner.md", "docs/changes.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for path in files_named_in(&text) {
            named += 1;
            assert!(root.join(path).exists(), "{document} names {path}");
        }
    }
    assert!(named > 100, "{named}");
    assert_eq!(files_named_in("`src/a.rs`, `src/X.rs`, `cli/…`, `none`, `tests/b/`"), ["src/a.rs", "tests/b/"]);
}

/// The paths in code style, without patterns.
fn files_named_in(text: &str) -> Vec<&str> {
    let places = ["src/", "shaders/", "cli/", "tests/", "examples/", "benches/", "scripts/", "docs/", "fuzz/"];
    let code = text.split('`').skip(1).step_by(2);
    let paths = code.filter(|code| places.iter().any(|place| code.starts_with(place)));
    paths.filter(|path| !path.contains([' ', '*', '…', '{']) && !path.contains("X")).collect()
}
