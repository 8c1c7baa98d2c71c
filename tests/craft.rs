//! What the sources promise about themselves.

#[path = "craft/browser.rs"]
mod browser;
#[path = "../examples/modules/graph.rs"]
mod graph;

use std::path::{Path, PathBuf};

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
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

/// What its messages would say of options, `cli/src/failure.rs` says by the kind of an error.
#[test]
fn the_library_does_not_know_the_program_s_options() {
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let mut behind = line.split("--").skip(1);
            assert!(
                !behind.any(|text| text.starts_with(|c: char| c.is_ascii_lowercase())),
                "{}: {line}",
                path.display()
            );
        }
    }
}

/// Neither the sources nor what they depend on could reach a network. (`ffmpeg` is told to read files only, see
/// `cli/tests/cli/video.rs`.)
#[test]
fn nothing_here_speaks_to_a_network() {
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
    let speakers = ["curl", "hyper", "mio", "native-tls", "openssl", "reqwest", "rustls", "socket2", "ureq"];
    for speaker in speakers {
        assert!(!packages.contains(&format!("\"{speaker}\"").as_str()), "{speaker}");
    }
}

/// Data flows one way between the modules of the library. (`scripts/modules` prints the graph, and that of the files
/// within each, where a part and what it is made of may know each other.)
#[test]
fn no_two_modules_use_each_other() {
    let graph = graph::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let root = &graph[&Vec::new()];
    assert!(root["backbone"].contains("gpu") && root["gpu"].contains("plan"), "{root:?}");
    assert_eq!(graph::cycle(root), None);
    let edges = |pairs: &[(&str, &str)]| {
        let own = |&(user, used): &(&str, &str)| (user.to_owned(), [used.to_owned()].into());
        pairs.iter().map(own).collect()
    };
    assert_eq!(graph::cycle(&edges(&[("a", "b"), ("b", "c")])), None);
    let round = graph::cycle(&edges(&[("a", "b"), ("b", "c"), ("c", "b")])).expect("a way round");
    assert_eq!(round, ["b", "c"]);
}

/// In a browser whoever blocks waits for ever, there are no threads, and std's clock panics. (`scripts/check-wasm`
/// compiles what is there.)
#[test]
fn nothing_waits_in_a_browser() {
    let files = browser::names(Path::new(env!("CARGO_MANIFEST_DIR")));
    let there = |name: &str| files.iter().find(|(path, _)| path.ends_with(name)).map(|(_, names)| names);
    assert!(there("src/gpu/executor.rs").unwrap().iter().any(|name| name == "poll_fn"));
    assert!(there("src/backbone.rs").unwrap().iter().any(|name| name == "Executor::new_async"));
    assert!(there("src/gpu/blocking.rs").is_none() && there("src/tuning/mod.rs").is_none(), "they are left out");
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
