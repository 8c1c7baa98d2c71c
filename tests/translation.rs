//! Every shader of the crate is translated by naga for each backend of wgpu's, checked and unchecked, and what is
//! found of compilers on the PATH accepts the result. `scripts/test-shaders` fetches compilers, DXC among them.

#[path = "../examples/translate/shaders.rs"]
mod shaders;
#[path = "../examples/translate/targets.rs"]
mod targets;

use naga::back::hlsl::ShaderModel;
use rayon::prelude::*;
use resnet3d_wgpu::ShaderChecks::{Checked, Unchecked};
use resnet3d_wgpu::config::PRESETS;
use resnet3d_wgpu::kernels::{AdapterClass, Images, Kernel, Target as Device};
use resnet3d_wgpu::{BackboneConfig, Body, Plan, PlanOptions, Shape};
use shaders::Shader;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};
use targets::{CHECKS, Language, TARGETS, Target};

/// A shader in a language, and the name of its file.
struct Translated {
    target: Target,
    file: String,
    text: Vec<u8>,
}

fn shaders() -> Vec<Shader> {
    shaders::all().unwrap_or_else(|e| panic!("{e}"))
}

fn translations() -> Vec<Translated> {
    let translate = |shader: &Shader| -> Vec<Translated> {
        let targets = TARGETS.into_iter().filter(|target| target.excludes(shader).is_none());
        let pairs = targets.flat_map(|target| CHECKS.map(|checks| (target, checks)));
        let translations = pairs.map(|(target, (checks_name, checks))| {
            let file = target.file(shader, checks_name);
            let text = target.translate(shader, checks).unwrap_or_else(|e| panic!("{file}: {e}"));
            Translated { target, file, text }
        });
        translations.collect()
    };
    shaders().par_iter().flat_map_iter(translate).collect()
}

fn shader(name: &str, source: &str, subgroups: bool) -> Shader {
    Shader::new(name, String::new(), source.to_owned(), subgroups).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_shader_is_translated_for_every_backend() {
    let (shaders, translations) = (shaders(), translations());
    let excluded = shaders.iter().flat_map(|shader| TARGETS.iter().filter(|target| target.excludes(shader).is_some()));
    assert_eq!(translations.len(), CHECKS.len() * (shaders.len() * TARGETS.len() - excluded.count()));
    for target in TARGETS {
        let of_target = translations.iter().filter(|t| t.target == target);
        println!("{}: {} translations", target.name, of_target.clone().count());
        assert!(of_target.clone().count() > 0, "{}", target.name);
        for translated in of_target {
            // What naga writes in place of a binding that nobody has placed.
            let text = String::from_utf8_lossy(&translated.text);
            assert!(!text.is_empty() && !text.contains("user(fake"), "{}", translated.file);
        }
    }
    let files: BTreeSet<&str> = translations.iter().map(|t| t.file.as_str()).collect();
    assert_eq!(files.len(), translations.len(), "one would overwrite another");
}

#[test]
fn no_shader_is_left_out_and_none_has_overrides() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut files = BTreeSet::new();
    for directory in ["", "ceilings/", "shared/"] {
        for entry in root.join(directory).read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && std::fs::read_to_string(&path).unwrap().contains("@compute") {
                files.insert(format!("{directory}{}", path.file_name().unwrap().to_str().unwrap()));
            }
        }
    }
    let shaders = shaders();
    assert_eq!(files, shaders.iter().map(|shader| shader.file.clone()).collect());
    for shader in &shaders {
        // All choices are constants of the source. An override would have to be translated with each of its values.
        assert!(shader.module.overrides.is_empty(), "{}", shader.name);
        assert_eq!(shader.subgroups, shader.source.contains("subgroup_invocation_id"), "{}", shader.name);
    }
}

#[test]
fn checks_are_in_what_is_checked_and_nowhere_else() {
    let mut hlsl = 0;
    for shader in shaders() {
        for target in TARGETS.into_iter().filter(|target| target.excludes(&shader).is_none()) {
            let [checked, unchecked] = [Checked, Unchecked].map(|checks| target.translate(&shader, checks).unwrap());
            let name = format!("{} {}", shader.name, target.name);
            match target.language {
                Language::Spirv(..) | Language::Msl(..) => assert!(unchecked.len() < checked.len(), "{name}"),
                // Buffers are checked by Direct3D itself: what remains are loops, and arrays in registers.
                Language::Hlsl(_) => {
                    assert!(unchecked.len() <= checked.len(), "{name}");
                    hlsl += usize::from(unchecked != checked);
                }
                // Nothing that wgpu could leave out, but for zeros in workgroup memory.
                Language::Glsl(_) => {
                    assert!(checked == unchecked || shader.source.contains("var<workgroup>"), "{name}")
                }
            }
        }
    }
    assert!(hlsl > 5, "{hlsl} kernels have loops or arrays");
}

#[test]
fn hlsl_is_the_same_for_the_compiler_that_windows_has() {
    let [fxc, dxc] = [ShaderModel::V5_1, ShaderModel::V6_0].map(|model| Target {
        name: "",
        extension: "",
        language: Language::Hlsl(model),
    });
    for shader in shaders().iter().filter(|shader| !shader.subgroups) {
        for (_, checks) in CHECKS {
            assert_eq!(fxc.translate(shader, checks), dxc.translate(shader, checks), "{}", shader.name);
        }
    }
}

#[test]
fn what_a_target_lacks_is_noticed() {
    let half = shader(
        "half",
        "enable f16; @group(0) @binding(0) var<storage, read_write> x: array<f16>;
        @compute @workgroup_size(1) fn main() { x[0] *= 2h; }",
        false,
    );
    let lane = shader(
        "lane",
        "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
        @compute @workgroup_size(8) fn main(@builtin(subgroup_invocation_id) i: u32) { x[i] = subgroupAdd(i); }",
        true,
    );
    for target in TARGETS {
        let glsl = matches!(target.language, Language::Glsl(_));
        assert_eq!(target.translate(&half, Checked).is_err(), glsl, "{}", target.name);
        assert_eq!(target.excludes(&lane).is_some(), glsl || target.name == "vulkan1.0", "{}", target.name);
        if target.excludes(&lane).is_none() {
            assert!(target.translate(&lane, Unchecked).is_ok(), "{}", target.name);
        }
    }
}

/// A compiler that is on the PATH, with what it wants besides a file.
fn compiler(target: &Target) -> (&'static str, Vec<&'static str>) {
    match target.language {
        Language::Spirv(..) => ("spirv-val", vec!["--target-env", target.name]),
        Language::Glsl(_) => ("glslangValidator", vec!["-S", "comp"]),
        Language::Hlsl(_) => ("dxc", vec!["-nologo", "-E", "main", "-T", target.name, "-HV", "2018", "-Ges"]),
        Language::Msl(..) => ("metal", vec!["-fsyntax-only", "-std=macos-metal2.3"]),
    }
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// What the compiler for `target` says against `text`, if it does.
fn refusal(target: &Target, file: &Path, text: &[u8]) -> Option<String> {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
    let (program, options) = compiler(target);
    let ran = Command::new(program).args(options).arg(file).output().unwrap();
    let said = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (!ran.status.success()).then_some(said)
}

#[test]
fn compilers_accept_the_translations() {
    let directory = tempfile::tempdir().unwrap();
    let translations = translations();
    for target in TARGETS {
        let (program, _) = compiler(&target);
        if !is_there(program) {
            println!("skipped: {program} is not on the PATH, so that {} is translated only", target.name);
            continue;
        }
        let nonsense = directory.path().join(format!("nonsense.{}", target.extension));
        assert!(refusal(&target, &nonsense, b"nonsense").is_some(), "{program} accepts nonsense");
        let own: Vec<&Translated> = translations.iter().filter(|t| t.target == target).collect();
        let refusals = own.par_iter().filter_map(|t| {
            let said = refusal(&target, &directory.path().join(&t.file), &t.text)?;
            Some(format!("{program} refuses {}: {said}", t.file))
        });
        let refusals: Vec<String> = refusals.collect();
        assert!(refusals.is_empty(), "{}", refusals.join("\n"));
        println!("{program} accepts {} translations for {}", own.len(), target.name);
    }
}

/// Whatever a plan launches is among those that are translated: a kernel that a method uses and `Kernel::ALL` lacks
/// would be compiled on machines of users only.
#[test]
fn plans_launch_nothing_but_what_is_translated() {
    let mut launched = HashSet::new();
    let configs = PRESETS.map(|preset| format!(r#"{{"preset": "{preset}"}}"#));
    let grouped = r#"{"preset": "r50-conv4", "num_groups": 4}"#.to_owned();
    for json in configs.into_iter().chain([grouped]) {
        let body = Body::new(&BackboneConfig::from_json(&json).unwrap()).unwrap();
        let targets = AdapterClass::ALL.into_iter().flat_map(|class| {
            let images = [Images::Unavailable, Images::Available, Images::Quicker];
            let targets = images.map(|images| Device { images, ..Device::typical(class) });
            targets.into_iter().flat_map(|target| [target, Device { subgroup_size: None, ..target }])
        });
        for target in targets {
            for (fusion, shape) in [(true, Shape::new(1, 3, 8, 224, 224)), (false, Shape::new(1, 3, 2, 64, 64))] {
                let options = PlanOptions { target, fusion, ..PlanOptions::default() };
                let plan = Plan::new(&body.graph, &[shape], &options).unwrap();
                launched.extend(plan.steps().iter().flat_map(|step| &step.dispatches).map(|d| d.launch.kernel));
            }
        }
    }
    for kernel in &launched {
        assert!(Kernel::ALL.contains(kernel), "{kernel:?}");
    }
    assert!(launched.len() > 10, "{launched:?}");
}
