//! The output of the commands: keys of JSON, tables, help.

use crate::harness::{NARROW, command, json, keys, listing, run, succeed};
use serde_json::{Value, json as value};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

const CLIP: &str = "1x3x2x32x40";

#[test]
fn plan_has_the_keys_of_the_contract() {
    let report = json(["plan", "--clip", "1x3x8x224x224"]);
    assert_eq!(
        keys(&report),
        [
            "clip",
            "config",
            "dim_out",
            "dispatches",
            "macs",
            "memory",
            "micro_batches",
            "ops",
            "params",
            "spatial_scale",
            "submissions"
        ]
    );
    assert_eq!(
        keys(&report["ops"][0]),
        ["buffer", "dispatches", "fused", "inputs", "kernel", "kind", "macs", "name", "output", "shape"]
    );
    assert_eq!(
        keys(&report["memory"]),
        ["buffers", "lower_bound_bytes", "peak_bytes", "scratch_bytes", "unshared_bytes", "weight_bytes"]
    );
    assert_eq!(keys(&report["memory"]["buffers"][0]), ["bytes"]);
    assert_eq!(report["clip"], value!([1, 3, 8, 224, 224]));
    assert_eq!((&report["dim_out"], &report["spatial_scale"]), (&value!(256), &value!(0.0625)));
    let ops = report["ops"].as_array().unwrap();
    assert_eq!(ops.last().unwrap()["output"], "res4_1_sum");
    let sum: u64 = ops.iter().map(|op| op["macs"].as_u64().unwrap()).sum();
    assert_eq!(report["macs"], sum);
    let unfused = json(["plan", "--clip", "1x3x8x224x224", "--no-fusion"]);
    assert!(unfused["ops"].as_array().unwrap().len() > ops.len());
    assert_eq!((&unfused["macs"], &unfused["params"]), (&report["macs"], &report["params"]));
    assert!(unfused["ops"].as_array().unwrap().iter().all(|op| op["fused"] == value!([])));
}

/// The list has the commands of a run: as many dispatches and submissions as the report counts, the copy of the clip
/// first, and the copies of the outputs before the last submission.
#[test]
fn a_plan_lists_its_commands() {
    let arguments = ["plan", "--clip", "3x3x8x64x64", "--taps", "stages", "--max-binding", "2", "--commands"];
    let report = json(arguments);
    let commands = report["commands"].as_array().unwrap();
    let count = |kind: &str| commands.iter().filter(|command| command["command"] == kind).count() as u64;
    assert!(report["micro_batches"].as_u64().unwrap() > 1, "a batch in several micro-batches");
    assert_eq!(count("dispatch"), report["dispatches"].as_u64().unwrap());
    assert_eq!(count("submit"), report["submissions"].as_u64().unwrap());
    assert_eq!((&commands[0]["command"], &commands[0]["blob"]), (&value!("copy_in"), &value!("data")));
    let bytes = |kind: &str| -> u64 {
        commands
            .iter()
            .filter(|command| command["command"] == kind)
            .map(|command| command["bytes"].as_u64().unwrap())
            .sum()
    };
    assert!(bytes("copy_in") >= 4 * 3 * 3 * 8 * 64 * 64, "the whole clip, and what slices share of it");
    let [.., out, submit] = &commands[..] else { panic!("{} commands", commands.len()) };
    assert_eq!((&out["command"], &out["blob"]), (&value!("copy_out"), &value!("res4_1_sum")));
    assert_eq!(submit, &value!({"command": "submit"}));
    let text = succeed(arguments);
    let numbered = text.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    assert_eq!(numbered.count(), commands.len());
    assert!(json(&arguments[..arguments.len() - 1])["commands"].is_null(), "only where it is asked for");
}

#[test]
fn a_plan_says_what_is_split() {
    let long = json(["plan", "--clip", "1x3x250x224x224", "--max-binding", "128"]);
    assert_eq!(long["micro_batches"], value!(1));
    // 167 frames of pool1 fit into a binding; chunks that save memory are a little smaller.
    let stem = long["ops"][0]["dispatches"].as_u64().unwrap();
    assert!((2..=4).contains(&stem), "{stem}");
    let inside: u64 = long["ops"].as_array().unwrap().iter().map(|op| op["dispatches"].as_u64().unwrap()).sum();
    assert!(long["dispatches"].as_u64().unwrap() > inside, "the conversions at the edges count");
    let batch = succeed(["plan", "--clip", "12x3x8x224x224", "--max-binding", "128"]);
    assert!(batch.contains("1128 dispatches (12 micro-batches)"), "{batch}");
}

#[test]
fn a_configuration_is_a_preset_json_or_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    std::fs::write(&file, r#"{"preset": "r34-conv5"}"#).unwrap();
    let config = |text: &str| json(["plan", "--clip", CLIP, "--config", text])["config"].clone();
    let preset = config("r34-conv5");
    assert_eq!(preset["block_counts"], value!([3, 4, 6, 3]));
    assert_eq!(preset, config(r#"{"preset": "r34-conv5"}"#));
    assert_eq!(preset, config(file.to_str().unwrap()));
}

#[test]
fn the_table_of_a_plan_marks_where_the_gradient_stops() {
    let plan = |json: &str| succeed(["plan", "--clip", CLIP, "--config", json]);
    for (freeze_at, last_frozen) in [(2, "res2_1_sum"), (3, "res3_1_sum")] {
        let table = plan(&format!(r#"{{"freeze_at": {freeze_at}}}"#));
        let lines: Vec<&str> = table.lines().collect();
        let mark = lines.iter().position(|line| line.contains("gradient stops here")).unwrap();
        assert!(lines[mark - 1].contains(last_frozen), "{table}");
        assert_eq!(table.matches("gradient stops here").count(), 1);
    }
    assert!(!plan(r#"{"freeze_at": 0}"#).contains("gradient stops here"));
    let unfused = succeed(["plan", "--clip", CLIP, "--no-fusion"]);
    let lines: Vec<&str> = unfused.lines().collect();
    let mark = lines.iter().position(|line| line.contains("gradient stops here")).unwrap();
    assert!(lines[mark - 1].contains("stop_gradient"), "{unfused}");
}

#[test]
fn a_plan_is_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plan.svg");
    let blobs = ["data", "pool1", "res2_1_sum", "res3_1_sum", "res4_1_sum", "conv1"];
    // With fusion, there is no conv1.
    for (further, blobs) in [(&[][..], &blobs[..5]), (&["--no-fusion", "--taps", "all"], &blobs)] {
        let arguments = ["plan", "--clip", CLIP, "--svg", path.to_str().unwrap()];
        succeed(arguments.iter().chain(further));
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        // Every element is closed, and every blob is drawn.
        for tag in ["text", "title", "style", "svg"] {
            let (opened, closed) = (svg.matches(&format!("<{tag}")).count(), svg.matches(&format!("</{tag}>")).count());
            assert_eq!(opened, closed, "{tag}");
        }
        for blob in blobs {
            assert!(svg.contains(&format!("<title>{blob} ")), "{blob}");
        }
    }
    assert_eq!(listing(directory.path()), ["plan.svg"]);
}

#[test]
fn bench_has_the_keys_of_the_contract() {
    let arguments = ["bench", "--clip", CLIP, "--config", NARROW, "--runs", "3"];
    let report = json(arguments);
    let wanted = [
        "adapter",
        "backend",
        "ceilings",
        "clip",
        "dispatches",
        "driver",
        "first_forward_ms",
        "gflops",
        "gpu_ms",
        "latency_ms",
        "layers",
        "peak_gpu_bytes",
        "precision",
        "prepare_ms",
    ];
    assert_eq!(keys(&report), wanted);
    assert_eq!(keys(&report["latency_ms"]), ["max", "median", "min"]);
    assert_eq!((&report["layers"], &report["ceilings"]), (&value!([]), &Value::Null));
    assert_eq!(report["precision"], "f32");
    let number = |value: &Value| value.as_f64().unwrap();
    let latency = &report["latency_ms"];
    assert!(0.0 < number(&latency["min"]) && number(&latency["min"]) <= number(&latency["median"]));
    assert!(number(&latency["median"]) <= number(&latency["max"]));
    for key in ["gflops", "first_forward_ms", "prepare_ms", "peak_gpu_bytes", "dispatches"] {
        assert!(number(&report[key]) > 0.0, "{key}");
    }

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("roofline.svg");
    let layered = json(arguments.iter().chain(&["--roofline", path.to_str().unwrap()]));
    assert_eq!(keys(&layered), wanted);
    assert_eq!(keys(&layered["gpu_ms"]), ["max", "median", "min"]);
    let ceilings = &layered["ceilings"];
    assert_eq!(keys(ceilings), ["gb_per_s", "gflops"]);
    let layers = layered["layers"].as_array().unwrap();
    assert!(layers.len() as u64 <= layered["dispatches"].as_u64().unwrap(), "a layer has one dispatch or several");
    let wanted = [
        "actual_gflops",
        "bound",
        "bytes",
        "ceiling_share",
        "gb_per_s",
        "gflops",
        "gpu_ms",
        "intensity",
        "kernel",
        "name",
        "time_share",
    ];
    let mut time = 0.0;
    for layer in layers {
        assert_eq!(keys(layer), wanted);
        let [done, rate, share] = ["actual_gflops", "gb_per_s", "ceiling_share"].map(|key| number(&layer[key]));
        let shares = [(done, "gflops", "compute"), (rate, "gb_per_s", "memory")]
            .map(|(rate, ceiling, bound)| (rate / number(&ceilings[ceiling]), bound));
        let (nearer, bound) = if shares[0].0 >= shares[1].0 { shares[0] } else { shares[1] };
        assert!((share - nearer).abs() < 1e-9 && share > 0.0, "{layer}");
        assert_eq!(layer["bound"], bound, "{layer}");
        time += number(&layer["time_share"]);
    }
    assert!((time - 1.0).abs() < 1e-9, "{time}");
    assert!(layers.iter().any(|layer| layer["name"] == "conv1"), "{layered}");

    // Each layer with multiply-adds has a marker with a tooltip, and a second one if Winograd's method needs fewer.
    let svg = std::fs::read_to_string(&path).unwrap();
    let tips = tips(&svg);
    for layer in layers {
        let name = layer["name"].as_str().unwrap();
        let marks = tips.iter().filter(|tip| tip.starts_with(&format!("{name}, "))).count();
        assert_eq!(marks > 0, number(&layer["actual_gflops"]) > 0.0, "{name}: {marks}");
    }
    for what in
        ["GFLOP/s: multiply-adds in registers", "GB/s: a triad", "(FLOP/B)", layered["adapter"].as_str().unwrap()]
    {
        assert!(svg.contains(what), "{what}: {svg}");
    }
    assert_eq!(listing(directory.path()), ["roofline.svg"]);
}

/// The tooltips of an SVG, which has to be well-formed.
fn tips(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let root = document.root_element();
    assert!(root.has_tag_name(("http://www.w3.org/2000/svg", "svg")));
    for node in document.descendants() {
        let numbers = node.attributes().filter(|a| matches!(a.name(), "x" | "y" | "x1" | "x2" | "y1" | "y2" | "d"));
        for attribute in numbers {
            assert!(!attribute.value().contains("NaN") && !attribute.value().contains("inf"), "{attribute:?}");
        }
    }
    let titles = document.descendants().filter(|node| node.has_tag_name("title"));
    titles.map(|node| node.text().unwrap_or_default().to_owned()).collect()
}

#[test]
fn layers_are_a_table_that_fits() {
    let table = succeed(["bench", "--clip", CLIP, "--config", NARROW, "--runs", "1", "--layers"]);
    assert!(table.contains("ceilings") && table.contains("res2_0_branch2b"), "{table}");
    let widest = table.lines().filter(|line| !line.starts_with("adapter")).map(|line| line.chars().count()).max();
    assert!(widest.unwrap() <= 110, "{table}");
}

#[test]
fn a_sweep_is_drawn_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scaling.svg");
    let arguments = ["bench", "--clip", "1x3x2x24x24", "--config", NARROW, "--runs", "2", "--sweep-to", "6", "--sweep"];
    let report = json(arguments.iter().chain(&[path.to_str().unwrap()]));
    assert_eq!(keys(&report), ["adapter", "backend", "batch", "clip", "driver", "frames", "precision"]);
    let number = |value: &Value| value.as_f64().unwrap();
    for (series, clips) in [
        ("frames", [[1, 3, 1, 24, 24], [1, 3, 2, 24, 24], [1, 3, 4, 24, 24], [1, 3, 6, 24, 24]]),
        ("batch", [[1, 3, 2, 24, 24], [2, 3, 2, 24, 24], [4, 3, 2, 24, 24], [6, 3, 2, 24, 24]]),
    ] {
        let series = &report[series];
        assert_eq!(keys(series), ["largest_off_line", "line", "points"]);
        assert_eq!(keys(&series["line"]), ["fixed_ms", "step_ms"]);
        let points = series["points"].as_array().unwrap();
        let mut largest = 0.0;
        assert_eq!(points.len(), clips.len());
        for (point, clip) in points.iter().zip(clips) {
            assert_eq!(keys(point), ["clip", "gpu_ms", "latency_ms", "line_ms", "ms_per_frame", "off_line", "size"]);
            assert_eq!(point["clip"], value!(clip));
            let median = number(&point["latency_ms"]["median"]);
            assert!((number(&point["ms_per_frame"]) * f64::from(clip[0] * clip[2]) - median).abs() < 1e-9);
            let line =
                number(&series["line"]["fixed_ms"]) + number(&point["size"]) * number(&series["line"]["step_ms"]);
            assert!((number(&point["line_ms"]) - line).abs() < 1e-9);
            largest = f64::max(largest, number(&point["off_line"]).abs());
        }
        assert_eq!(number(&series["largest_off_line"]), largest);
    }
    let svg = std::fs::read_to_string(&path).unwrap();
    let tips = tips(&svg);
    for clip in ["1x3x1x24x24", "1x3x6x24x24", "6x3x2x24x24"] {
        assert!(tips.iter().any(|tip| tip.starts_with(clip)), "{clip}: {tips:?}");
    }
    assert!(svg.contains("% off the line, at T = ") && svg.contains(report["adapter"].as_str().unwrap()), "{svg}");
    assert_eq!(listing(directory.path()), ["scaling.svg"]);
}

#[test]
fn adapters_say_which_would_be_used() {
    let report = json(["adapters"]);
    assert_eq!(keys(&report), ["adapters", "default"]);
    let adapters = report["adapters"].as_array().unwrap();
    let default = &adapters[report["default"].as_u64().unwrap() as usize];
    assert_eq!(
        keys(default),
        ["backend", "class", "driver", "features", "limits", "name", "notes", "shader_compiler", "type", "unusable"]
    );
    assert!(default["unusable"].is_null());
    for adapter in adapters {
        let compilers: &[&str] = if adapter["backend"] == "dx12" { &["dxc", "fxc"] } else { &["driver"] };
        let compiler = adapter["shader_compiler"].as_str().unwrap();
        assert!(compilers.contains(&compiler), "{adapter}");
        let notes = adapter["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap());
        assert_eq!(notes.filter(|note| note.contains("dxcompiler.dll")).count(), usize::from(compiler != "driver"));
    }
    let used = json(["bench", "--clip", CLIP, "--config", NARROW, "--runs", "1"]);
    assert_eq!((&used["adapter"], &used["backend"]), (&default["name"], &default["backend"]));
    for adapter in adapters.iter().filter(|adapter| adapter["unusable"].is_null()) {
        let (name, backend) = (adapter["name"].as_str().unwrap(), adapter["backend"].as_str().unwrap());
        let asked = json(["adapters", "--backend", backend, "--adapter", &name.to_uppercase()]);
        let index = asked["default"].as_u64().unwrap() as usize;
        assert_eq!((&adapters[index]["name"], &adapters[index]["backend"]), (&adapter["name"], &adapter["backend"]));
    }
    let table = succeed(["adapters"]);
    for adapter in adapters {
        assert!(table.contains(adapter["name"].as_str().unwrap()), "{table}");
    }
}

#[test]
fn kernels_are_listed_and_written_as_drivers_get_them() {
    let directory = tempfile::tempdir().unwrap();
    let wgsl = directory.path().join("new/wgsl");
    let report = json(["kernels", "--wgsl", wgsl.to_str().unwrap()]);
    let kernels = report["kernels"].as_array().unwrap();
    assert!(kernels.len() > 30);
    for kernel in kernels {
        assert_eq!(keys(kernel), ["bindings", "invocations", "name", "shader", "subgroup_size", "textures"]);
        let name = kernel["name"].as_str().unwrap();
        let text = std::fs::read_to_string(wgsl.join(format!("{name}.wgsl"))).unwrap();
        assert!(text.contains("fn main(") && !text.contains("// unroll"), "{name}");
    }
    assert_eq!(std::fs::read_dir(&wgsl).unwrap().count(), kernels.len());
    let table = succeed(["kernels"]);
    assert!(table.contains("conv_gemm_tiled_compact") && table.contains("subgroups of 8, textures"), "{table}");
}

#[test]
fn every_command_has_help_with_examples() {
    let commands = ["run", "classify", "clip", "convert", "plan", "verify", "bench", "adapters", "kernels", "demo"];
    for command in commands {
        let help = succeed([command, "--help"]);
        assert!(help.contains("EXAMPLES:") && help.contains(&format!("resnet3d {command}")), "{help}");
        for option in ["--adapter", "--backend", "--precision", "--config", "--json", "--verbose"] {
            assert!(help.contains(option), "{command}: {option}");
        }
    }
    let help = succeed(["--help"]);
    for command in commands {
        assert!(help.contains(&format!("\n  {command}")), "{help}");
    }
    assert!(succeed(["--version"]).starts_with("resnet3d "));
}

#[test]
fn common_options_stand_before_and_behind_the_command() {
    for arguments in [
        ["--config", "r50-conv4", "plan", "--clip", CLIP, "--json"],
        ["plan", "--clip", CLIP, "--json", "--config", "r50-conv4"],
    ] {
        let report: Value = serde_json::from_str(&succeed(arguments)).unwrap();
        assert_eq!(report["dim_out"], 1024);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = command(["plan", "--clip", CLIP, "--config", "r152-conv5", "--no-fusion", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(child.wait().unwrap().success(), "{stderr}");
    assert_eq!(stderr, "");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_standard_output_is_one() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(["plan", "--clip", CLIP]).stdout(full).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: cannot write to standard output\n"), "{stderr}");
}

#[test]
fn results_are_alone_on_standard_output() {
    let quiet = run(["plan", "--clip", CLIP]);
    assert_eq!(quiet.stderr, "");
    let report = run(["bench", "--clip", CLIP, "--config", NARROW, "--runs", "1", "--json", "-vv"]);
    assert!(serde_json::from_str::<Value>(&report.stdout).is_ok(), "{}", report.stdout);
}

#[test]
fn verify_covers_the_adapters_and_repeats_by_seed() {
    let verify = |seed: &str| json(["verify", "--all-adapters", "--cases", "3", "--seed", seed]);
    let report = verify("3");
    assert_eq!((&report["passed"], &report["operators"], &report["bodies"]), (&value!(true), &value!(3), &value!(1)));
    let adapters = report["adapters"].as_array().unwrap();
    assert_eq!(adapters.len(), json(["adapters"])["adapters"].as_array().unwrap().len());
    for adapter in adapters {
        let rows = adapter["rows"].as_array().unwrap();
        assert!(rows.iter().any(|row| row["name"].as_str().unwrap().starts_with("body, unfused")));
        assert!(rows.iter().all(|row| row["failed"] == 0 && row["worst_of_tolerance"].as_f64().unwrap() <= 1.0));
    }
    assert_eq!(report["adapters"][0]["coverage"], verify("3")["adapters"][0]["coverage"]);
    assert_ne!(report["adapters"][0]["coverage"], verify("4")["adapters"][0]["coverage"]);
    let table = succeed(["verify", "--cases", "2", "--all-adapters", "--limits", "webgpu"]);
    for word in ["relative", "worst at", "index", "f32", "1 ", "all correct"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert!(table.lines().any(|line| line.split_whitespace().eq(["limits", "webgpu"])), "{table}");
    let widest = table.lines().map(|line| line.chars().count()).max();
    assert!(widest.unwrap() <= 120, "{table}");
}

/// A case that runs alone has the same operators, shapes and methods as in a longer run: the counts of the cases, each
/// run alone, add up to the counts of the longer run, by method and by property.
#[test]
fn verify_replays_a_case_alone() {
    let whole = json(["verify", "--cases", "6", "--seed", "3"]);
    let counts = |report: &Value| -> BTreeMap<String, u64> {
        let adapter = &report["adapters"][0];
        let rows = adapter["rows"].as_array().unwrap().iter();
        let runs = rows.map(|row| (row["name"].as_str().unwrap().to_owned(), row["runs"].as_u64().unwrap()));
        let properties = adapter["coverage"].as_object().unwrap().iter();
        runs.chain(properties.map(|(name, count)| (format!("covered: {name}"), count.as_u64().unwrap()))).collect()
    };
    let mut sum = BTreeMap::new();
    // Every sixth case is a body.
    for (case, body) in [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (6, 0), (11, 1)] {
        let alone = json(["verify", "--seed", "3", "--case", &case.to_string()]);
        assert_eq!((&alone["case"], &alone["bodies"]), (&value!(case), &value!(body)));
        assert_eq!(alone["adapters"][0]["cases"], 1);
        for (name, count) in counts(&alone) {
            *sum.entry(name).or_insert(0) += count;
        }
    }
    assert_eq!(sum, counts(&whole));
    let ran = run(["verify", "--case", "5"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("1: number 5 of seed 1") && !ran.stderr.contains("not covered"), "{}", ran.stderr);
    for other in [["--cases", "3"], ["--for", "1s"]] {
        assert_eq!(run(["verify", "--case", "5"].iter().chain(&other)).code, 2, "{other:?}");
    }
}

/// The file for bug reports is complete, and the same as the printed report.
#[test]
fn verify_writes_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let arguments = ["verify", "--all-adapters", "--cases", "3", "--report", path.to_str().unwrap()];
    let printed = json(arguments);
    let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(report, printed);
    assert_eq!(listing(directory.path()), ["report.json"]);
    assert_eq!((&report["version"], &report["seed"]), (&value!(env!("CARGO_PKG_VERSION")), &value!(1)));
    assert_eq!((&report["system"]["os"], &report["limits"]), (&value!(std::env::consts::OS), &value!("adapter")));
    for adapter in report["adapters"].as_array().unwrap() {
        assert_eq!(adapter["cases"], 4);
        assert!(adapter["device"]["limits"]["max_binding_bytes"].is_u64() && adapter["error"].is_null());
        for row in adapter["rows"].as_array().unwrap() {
            assert_eq!(row["precision"], "f32");
            assert!(row["worst"]["index"].is_u64() && row["worst"]["blob"].is_string(), "{row}");
        }
    }
    let nowhere = directory.path().join("no such directory").join("report.json");
    let ran = run(["verify", "--cases", "100000", "--report", nowhere.to_str().unwrap()]);
    assert_eq!(ran.code, 1, "found out before the work: {}", ran.stderr);
}

#[test]
fn verify_goes_on_for_a_stated_time() {
    let started = Instant::now();
    let report = json(["verify", "--for", "2s", "--cases", "2", "--seed", "40"]);
    assert!(started.elapsed() >= Duration::from_secs(2), "as many seeds as it takes");
    let adapter = &report["adapters"][0];
    assert_eq!(
        (&report["passed"], &report["seconds"], &report["operators"]),
        (&value!(true), &value!(2.0), &value!(2))
    );
    let cases = adapter["cases"].as_u64().unwrap();
    assert!(cases >= 3 && cases % 3 == 0, "whole seeds: {cases}");
    for wrong in ["0s", "10", "m", "-1s", "99999999999999999999h"] {
        assert_eq!(run(["verify", "--for", wrong]).code, 2, "{wrong}");
    }
}

#[test]
fn a_plan_for_webgpu_has_no_subgroups_and_smaller_bindings() {
    let long = ["plan", "--clip", "1x3x250x224x224"];
    let kernels = |report: &Value| {
        let ops = report["ops"].as_array().unwrap();
        ops.iter().filter(|op| op["kernel"].as_str().is_some_and(|name| name.contains("subgroup"))).count()
    };
    let wide = json(long.iter().chain(&["--class", "gpu"]));
    let narrow = json(long.iter().chain(&["--class", "gpu", "--limits", "webgpu"]));
    assert_eq!(kernels(&narrow), 0);
    assert!(kernels(&json(long)) > 0 && kernels(&json(long.iter().chain(&["--limits", "webgpu"]))) == 0);
    assert!(narrow["dispatches"].as_u64() > wide["dispatches"].as_u64(), "it is split");
}
