//! A lost device: the messages of the program, and the report that it still writes. The device is lavapipe's, one of
//! Mesa's drivers for the CPU: see `tests/faults/mesa.rs`.

use super::harness::command;
use crate::common::failing_driver::build;

/// The exit code is 1, the message states what happened and what to do, and `verify` writes its results so far.
#[test]
#[ignore = "needs Mesa's drivers for the CPU; scripts/test runs it where they are"]
fn the_program_says_what_to_do_about_a_lost_device() {
    let directory = tempfile::tempdir().unwrap();
    let driver = build(directory.path());
    let run = |calls: &str, arguments: &[&str]| {
        let mut command = command(arguments.iter().chain(&["--backend", "vulkan", "--no-cache"]));
        command.envs([("VK_ICD_FILENAMES", driver.manifest.as_os_str()), ("FAILING_DRIVER", driver.real.as_os_str())]);
        let output = command.env("FAILING_CALLS", calls).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = run("vkQueueSubmit:1:1:-4", &["bench", "--clip", "1x3x2x32x40", "--runs", "1"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("error: device llvmpipe") && stderr.contains("is lost: "), "{stderr}");
    assert!(stderr.contains("hint: run it again"), "{stderr}");

    let report = directory.path().join("report.json");
    let arguments = ["verify", "--cases", "50", "--report", report.to_str().unwrap()];
    let (code, stderr) = run("vkQueueSubmit:40:1:-4", &arguments);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("\nreplay: resnet3d verify --seed 1 --case "), "{stderr}");
    assert!(stderr.contains("the device was lost") && stderr.contains("runs failed"), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let adapter = &report["adapters"][0];
    assert_eq!((&report["passed"], &adapter["lost"]), (&false.into(), &true.into()));
    let failure = &adapter["failures"][0];
    assert!(failure["error"].as_str().unwrap().contains("is lost") && failure["seed"] == 1, "{failure}");
}
