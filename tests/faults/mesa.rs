//! Faults that need Mesa's drivers for the CPU: lavapipe with chosen calls of one function failing
//! (`failing_driver.c`), and a lack of memory. Each runs in a separate process.
//!
//! A machine with a GPU may lack these drivers, and libtest cannot ignore a test at run time. So these tests are always
//! ignored, and `scripts/test` runs them if Mesa is installed. If it is not, they fail.

use super::common::failing_driver::build;
use super::common::{contexts, this_binary};
use super::{CLIP, anew, assert_lost, backbone, clip};
use resnet3d_wgpu::low_level::kernels::AdapterClass;
use resnet3d_wgpu::{Backend, ContextOptions, Error, ErrorKind, GpuContext, Shape, Timing};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Set for processes that run on a failing driver.
const CHILD: &str = "RESNET3D_TEST_FAILING_DRIVER";

/// Set to the index of an adapter for processes that run out of memory.
const STARVED: &str = "RESNET3D_TEST_STARVED_ADAPTER";

// VK_ERROR_OUT_OF_HOST_MEMORY and so on.
const NO_HOST_MEMORY: i32 = -1;
const NO_MEMORY: i32 = -2;
const LOST: i32 = -4;
const NOT_MAPPED: i32 = -5;
const TIMEOUT: i32 = 2;

#[test]
#[ignore = "needs Mesa's drivers for the CPU; scripts/test runs it where they are"]
fn a_failing_driver_is_a_typed_error() {
    if std::env::var_os(CHILD).is_some() {
        return on_the_failing_driver();
    }
    let directory = tempfile::tempdir().unwrap();
    let driver = build(directory.path());
    let mut kinds = std::collections::BTreeMap::new();
    // Functions that fail when memory is short or the GPU has been reset. (If ending a command buffer fails, wgpu 30
    // panics when its device is dropped, which this crate cannot catch.)
    for (function, code) in [
        ("vkAllocateMemory", NO_MEMORY),
        ("vkCreateBuffer", NO_MEMORY),
        ("vkMapMemory", NOT_MAPPED),
        ("vkCreateComputePipelines", NO_MEMORY),
        ("vkCreateShaderModule", NO_HOST_MEMORY),
        ("vkAllocateDescriptorSets", LOST),
        ("vkBeginCommandBuffer", LOST),
        ("vkQueueSubmit", LOST),
        ("vkWaitSemaphores", LOST),
        ("vkGetSemaphoreCounterValue", LOST),
    ] {
        for first in [1, 5, 14] {
            let mut child = this_binary("mesa::a_failing_driver_is_a_typed_error");
            child
                .env(CHILD, "1")
                .envs([("VK_ICD_FILENAMES", driver.manifest.as_os_str()), ("FAILING_DRIVER", driver.real.as_os_str())]);
            let output = child.env("FAILING_CALLS", format!("{function}:{first}:1:{code}")).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            let what = format!("{function} fails with {code} at call {first}");
            let said = said + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{what}: {:?}\n{said}", output.status);
            let kind =
                said.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap_or_else(|| panic!("{what}: {said}"));
            println!("{what}: {kind}");
            *kinds.entry((function, kind.to_owned())).or_insert(0) += 1;
        }
    }
    for (function, kind) in [
        ("vkAllocateMemory", "Device"),
        ("vkCreateBuffer", "OutOfMemory"),
        ("vkQueueSubmit", "DeviceLost"),
        ("vkWaitSemaphores", "DeviceLost"),
        ("vkGetSemaphoreCounterValue", "DeviceLost"),
    ] {
        assert!(kinds.contains_key(&(function, kind.to_owned())), "{function} never led to {kind}: {kinds:?}");
    }
}

/// After a run is given up because the device takes too long, the next run of that shape is right.
#[test]
#[ignore = "needs Mesa's drivers for the CPU; scripts/test runs it where they are"]
fn a_timeout_does_not_poison_a_shape() {
    if std::env::var_os(CHILD).is_some() {
        return after_a_timeout();
    }
    let directory = tempfile::tempdir().unwrap();
    let driver = build(directory.path());
    let mut given_up = 0;
    for call in 1..12 {
        let mut child = this_binary("mesa::a_timeout_does_not_poison_a_shape");
        child
            .env(CHILD, "1")
            .envs([("VK_ICD_FILENAMES", driver.manifest.as_os_str()), ("FAILING_DRIVER", driver.real.as_os_str())]);
        let output = child.env("FAILING_CALLS", format!("vkWaitSemaphores:{call}:1:{TIMEOUT}")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "call {call}: {:?}\n{said}", output.status);
        given_up += said.matches("given up: ").count();
    }
    assert!(given_up > 3, "a wait of a run was to fail, and that happened {given_up} times");
}

/// On a driver where one wait fails immediately, at most one run is an error.
fn after_a_timeout() {
    let options = ContextOptions::default().backend(Backend::Vulkan);
    let gpu = GpuContext::new(options).unwrap();
    let mut backbone = backbone(&gpu);
    // The wait that fails may be in this call.
    let _ = backbone.prepare(CLIP);
    backbone.prepare(CLIP).unwrap();
    let mut good = Vec::new();
    for _ in 0..12 {
        match backbone.forward_timed(&clip(1), Timing::Layers) {
            Ok((features, _)) => good.push(features),
            Err(error) if error.kind() == ErrorKind::Device => println!("given up: {error}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(good.len() >= 11 && good.iter().all(|features| *features == good[0]), "{} of 12", good.len());
}

/// Every result is right or a typed error, and a new context works.
fn on_the_failing_driver() {
    let open = || GpuContext::new(ContextOptions::default().backend(Backend::Vulkan));
    let mut kind = "none";
    let mut good = Vec::new();
    for _ in 0..3 {
        let Ok(gpu) = open().inspect_err(|error| kind = name(error)) else { continue };
        let mut backbone = backbone(&gpu);
        for _ in 0..3 {
            match backbone.forward(&clip(1)) {
                Ok(features) => good.push(features),
                Err(error) => {
                    kind = name(&error);
                    println!("{error}");
                    if error.kind() == ErrorKind::DeviceLost {
                        assert!(gpu.lost().is_some());
                        break;
                    }
                }
            }
        }
    }
    // Only one call failed, so all other forwards worked.
    assert!(good.len() >= 6 && good.iter().all(|features| *features == good[0]), "{}", good.len());
    println!("kind: {kind}");
}

fn name(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::OutOfMemory => "OutOfMemory",
        ErrorKind::DeviceLost => "DeviceLost",
        ErrorKind::Device => "Device",
        ErrorKind::NoAdapter => "NoAdapter",
        _ => panic!("{error}"),
    }
}

/// In a process with a limit on memory, an allocation that the driver cannot make is an error before any of it is
/// touched. Only an adapter on the CPU allocates in the memory of the process.
#[test]
#[ignore = "needs Mesa's drivers for the CPU; scripts/test runs it where they are"]
fn a_lack_of_memory_is_a_typed_error() {
    let contexts = contexts();
    // The limit applies to a whole process, so each adapter has a separate process.
    if let Ok(index) = std::env::var(STARVED) {
        return starve(&contexts[index.parse::<usize>().unwrap()]);
    }
    let software = contexts.iter().enumerate().filter(|(_, gpu)| gpu.class() == AdapterClass::Software);
    let mut starved = 0;
    for (index, gpu) in software {
        let mut child = this_binary("mesa::a_lack_of_memory_is_a_typed_error");
        let output = child.env(STARVED, index.to_string()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {:?}\n{}", gpu.backend(), output.status, said);
        starved += 1;
    }
    assert!(starved > 0, "the test needs an adapter on the CPU; on Debian: apt-get install mesa-vulkan-drivers");
}

fn starve(gpu: &GpuContext) {
    let mut backbone = backbone(gpu);
    let want = backbone.forward(&clip(1)).unwrap();
    // As many shapes as the backbone keeps.
    for t in 1..4 {
        backbone.prepare(Shape { t: CLIP.t + t, ..CLIP }).unwrap();
    }
    let prepared = backbone.device_bytes();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    let most = (kib << 10) + (400 << 20);
    let old = getrlimit(Resource::As);
    setrlimit(Resource::As, Rlimit { current: Some(most), ..old }).unwrap();
    // The largest buffer of this clip alone exceeds the limit.
    let long = Shape::new(1, 3, 900, 224, 224);
    for _ in 0..2 {
        match (gpu.backend(), backbone.prepare(long)) {
            // OpenGL does not report a buffer without memory. Everything after it fails for good.
            ("gl", result) => assert_lost(result, gpu, ""),
            (_, Err(error)) if error.kind() == ErrorKind::OutOfMemory => {
                assert_eq!(error.adapter(), Some(gpu.adapter_name()));
                assert!(error.reason().unwrap_or_default().contains("resnet3d.activation0"), "{error}");
                assert_eq!(gpu.lost(), None);
                assert_eq!(backbone.device_bytes(), prepared, "every shape is as it was");
                assert!(backbone.forward(&clip(1)).unwrap() == want, "what was there before is as it was");
            }
            (_, other) => panic!("{other:?}"),
        }
    }
    setrlimit(Resource::As, old).unwrap();
    assert!(super::backbone(&anew(gpu)).forward(&clip(1)).unwrap() == want, "a new device works");
}
