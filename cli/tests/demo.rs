//! Tests of `demo`: the features change where the disc is.

#[allow(dead_code)] // each test binary uses a part
#[path = "cli/harness.rs"]
mod harness;

use harness::{json, listing, read_tensors};
use resnet3d_wgpu::Shape;
use resnet3d_wgpu::picture::{Activation, FrameMaps, Scene, change_map};

/// Pixels of the clip per element of res3.
const STRIDE: f64 = 8.0;

/// The number of frames whose largest change is within the disc, which is enlarged by one element and moved `shift`
/// pixels of the clip to the right.
fn frames_on_the_disc(maps: &FrameMaps, clip: Shape, shift: f64) -> usize {
    let scene = Scene::default();
    let scale = clip.h as f64 / scene.height as f64;
    let hits = |t: &usize| {
        let (row, column) = maps.argmax(*t).expect("a map of numbers");
        // Element i is centred on pixel STRIDE * i, which extends from STRIDE * i to STRIDE * i + 1.
        let [y, x] = [row, column].map(|i| STRIDE * i as f64 + 0.5);
        let (disc_x, disc_y, radius) = scene.disc(*t);
        let (dx, dy) = (x - disc_x * scale - shift, y - disc_y * scale);
        println!("frame {t}: largest change {:.1} pixels from the disc's centre", dx.hypot(dy));
        dx.hypot(dy) <= radius * scale + STRIDE
    };
    (0..maps.count()).filter(hits).count()
}

#[test]
fn features_change_where_the_disc_is() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("new/demo");
    let report = json(["demo", "--output", output.to_str().unwrap()]);

    assert_eq!(listing(&output), ["features.safetensors", "frames", "heatmap.png"]);
    let scene = Scene::default();
    assert_eq!(listing(&output.join("frames")).len(), scene.frames);
    for (key, name) in [("frames", "frames"), ("features", "features.safetensors"), ("heatmap", "heatmap.png")] {
        assert_eq!(report[key].as_str(), output.join(name).to_str());
    }
    assert!(image::open(output.join("heatmap.png")).unwrap().width() > 1000);

    let clip: Shape = serde_json::from_value(report["plan"]["clip"].clone()).unwrap();
    assert_eq!(clip.t, scene.frames);
    let (tensors, _) = read_tensors(&output.join("features.safetensors"));
    let (shape, data) = &tensors["res3_1_sum"];
    let shape = Shape::from(<[usize; 5]>::try_from(shape.as_slice()).unwrap());
    let activation = Activation { name: "res3_1_sum", shape, data };
    let maps = change_map(&activation, 0).unwrap();
    assert_eq!(maps.count(), scene.frames);

    let enough = |hits: usize| hits as f64 >= 0.8 * scene.frames as f64;
    let hits = frames_on_the_disc(&maps, clip, 0.0);
    assert!(enough(hits), "{hits} of {} frames", scene.frames);
    // The test can fail: there is no such change elsewhere.
    for shift in [clip.w as f64 / 3.0, -(clip.w as f64) / 3.0] {
        let hits = frames_on_the_disc(&maps, clip, shift);
        assert!(!enough(hits), "{hits} of {} frames with the disc in the wrong place", scene.frames);
    }
}

#[test]
fn the_demonstration_says_where_things_are() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("demo");
    let narrow = ["--config", harness::NARROW];
    let stdout = harness::succeed(["demo", "--output", output.to_str().unwrap()].iter().chain(&narrow));
    for name in ["frames", "features.safetensors", "heatmap.png"] {
        assert!(stdout.contains(output.join(name).to_str().unwrap()), "{stdout}");
    }
    for fact in ["GMAC", "parameters", "memory", "to prepare", "res4_0_sum"] {
        assert!(stdout.contains(fact), "{fact}: {stdout}");
    }

    // Other frames would become part of the clip.
    std::fs::copy(output.join("frames/000000.png"), output.join("frames/mine.png")).unwrap();
    let ran = harness::run(["demo", "--output", output.to_str().unwrap()].iter().chain(&narrow));
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("9 frames") && ran.stderr.contains("another --output"), "{}", ran.stderr);
}

/// Tests on one of Mesa's drivers for the CPU: see `tests/faults/mesa.rs`.
#[cfg(target_os = "linux")]
mod mesa {
    use super::harness;
    use std::os::unix::fs::PermissionsExt as _;

    /// Selects Mesa's GL on the CPU, also on a machine with a GPU and the GL of its vendor.
    const ON_THE_CPU: [(&str, &str); 2] = [
        ("__EGL_VENDOR_LIBRARY_FILENAMES", "/usr/share/glvnd/egl_vendor.d/50_mesa.json"),
        ("LIBGL_ALWAYS_SOFTWARE", "1"),
    ];

    /// `scripts/demo` asks `scripts/ensure-driver` for a better driver after the program is built and can tell which
    /// one it uses. Fake programs replace the system's programs. They report the drivers, and record what is installed.
    #[test]
    #[ignore = "needs Mesa's drivers for the CPU; scripts/test runs it where they are"]
    fn where_only_gl_on_the_cpu_is_found_the_demonstration_installs_vulkan() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let script = |name: &str, text: &str| {
            std::fs::write(at(name), format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        let program = env!("CARGO_BIN_EXE_resnet3d");
        let found = harness::command(["adapters", "--backend", "gl"]).envs(ON_THE_CPU).output().unwrap();
        let found = String::from_utf8_lossy(&found.stdout);
        assert!(
            found.contains("llvmpipe"),
            "the test needs it; on Debian: apt-get install libegl1 libgl1-mesa-dri: {found}"
        );
        // The real output for GL, which the script has to understand.
        script("on_gl", &format!("exec {program} \"$@\" --backend gl"));
        script("on_vulkan", "echo '* used      llvmpipe (LLVM 15.0.6, 256 bits) (vulkan)'");
        script("apt-get", &format!("echo \"$@\" >> {}", at("installed").display()));
        script("sudo", "exit 1");
        let without_vulkan = "echo '\tlibEGL.so.1 (libc6,x86-64) => /lib/libEGL.so.1'";
        script("ldconfig", without_vulkan);

        let ensure = |program: &str, user: usize| {
            script("id", &format!("echo {user}"));
            let _ = std::fs::remove_file(at("installed"));
            let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
            let mut command =
                std::process::Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/ensure-driver"));
            command.arg(at(program)).env("PATH", path).envs(ON_THE_CPU);
            for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "WGPU_BACKEND", "RUST_LOG"] {
                command.env_remove(variable);
            }
            let ran = command.output().unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            (std::fs::read_to_string(at("installed")).unwrap_or_default(), String::from_utf8(ran.stderr).unwrap())
        };
        let (installed, _) = ensure("on_gl", 0);
        assert!(installed.contains("install -y") && installed.contains("mesa-vulkan-drivers"), "{installed:?}");
        // Without the right to install, the existing driver is used.
        let (installed, said) = ensure("on_gl", 1000);
        assert!(installed.is_empty() && said.contains("mesa-vulkan-drivers") && said.contains("slower"), "{said}");
        assert_eq!(ensure("on_vulkan", 0).0, "");
    }
}
