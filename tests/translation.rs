//! naga translates every shader of the crate for each of wgpu's backends, checked and unchecked.
//! `scripts/test-shaders`, which `scripts/test` runs, has compilers judge the translations.

#[path = "translation/definitions.rs"]
mod definitions;
#[path = "../examples/translate/shaders.rs"]
mod shaders;
#[path = "../examples/translate/targets.rs"]
mod targets;

use definitions::{definitions, repeated};
use naga::back::hlsl::ShaderModel;
use rayon::prelude::*;
use resnet3d_wgpu::ShaderChecks::{Checked, Unchecked};
use resnet3d_wgpu::low_level::graph::Body;
use resnet3d_wgpu::low_level::kernels::{ENTRY_POINT, Kernel, Target as Device, TextureSupport};
use resnet3d_wgpu::low_level::plan::{Plan, PlanOptions};
use resnet3d_wgpu::{BackboneConfig, Shape};
use shaders::Shader;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use targets::{CHECKS, Language, TARGETS, Target};

/// A shader translated for a target, and the name of its file.
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
            // naga writes `user(fake` in place of a binding that nobody has placed.
            let text = String::from_utf8_lossy(&translated.text);
            assert!(!text.is_empty() && !text.contains("user(fake"), "{}", translated.file);
        }
    }
    let files: BTreeSet<&str> = translations.iter().map(|t| t.file.as_str()).collect();
    assert_eq!(files.len(), translations.len(), "one would overwrite another");
}

/// naga names some of its helpers after the shape of a type, and writes one for each type it distinguishes, aliases
/// included. Compilers refuse a second definition.
#[test]
fn nothing_is_defined_twice() {
    for translated in translations().iter().filter(|t| !matches!(t.target.language, Language::Spirv(..))) {
        let definitions = definitions(&String::from_utf8_lossy(&translated.text));
        assert!(definitions.iter().any(|key| key.starts_with(ENTRY_POINT)), "{}: {definitions:?}", translated.file);
        let repeated = repeated(&definitions);
        assert!(repeated.is_empty(), "{}: {repeated:?}", translated.file);
    }
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
                // Direct3D checks buffers itself: only checks of loops and of arrays in registers remain.
                Language::Hlsl(_) => {
                    assert!(unchecked.len() <= checked.len(), "{name}");
                    hlsl += usize::from(unchecked != checked);
                }
                // wgpu can leave out nothing except the zeros in workgroup memory.
                Language::Glsl(_) => {
                    assert!(checked == unchecked || shader.source.contains("var<workgroup>"), "{name}")
                }
            }
        }
    }
    assert!(hlsl > 5, "{hlsl} kernels have loops or arrays");
}

#[test]
fn hlsl_is_the_same_for_the_compiler_that_windows_has_but_for_zeros() {
    let hlsl = |model| TARGETS.into_iter().find(|target| target.language == Language::Hlsl(model)).unwrap();
    let [fxc, dxc] = [ShaderModel::V5_1, ShaderModel::V6_0].map(hlsl);
    let mut filled = 0;
    let workgroup = |shader: &Shader| {
        let variables = shader.module.global_variables.iter().map(|(_, variable)| variable);
        let workgroup = variables.filter(|variable| variable.space == naga::AddressSpace::WorkGroup);
        workgroup.map(|variable| variable.name.clone().unwrap()).collect::<Vec<_>>()
    };
    for shader in shaders().iter().filter(|shader| !shader.subgroups) {
        for (_, checks) in CHECKS {
            let [fxc, dxc] =
                [fxc, dxc].map(|target| String::from_utf8(target.translate(shader, checks).unwrap()).unwrap());
            let variables = workgroup(shader);
            if checks == Unchecked || variables.is_empty() {
                assert_eq!(fxc, dxc, "{}", shader.name);
                continue;
            }
            for variable in variables {
                let filling = format!("        {variable} = (float4[");
                assert!(dxc.contains(&filling) && !fxc.contains(&filling), "{}: {variable}", shader.name);
                filled += 1;
            }
        }
    }
    assert!(filled > 5, "{filled} variables are in workgroup memory");
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
        let plain = glsl || ["vulkan1.0", "cs_5_1"].contains(&target.name);
        assert_eq!(target.excludes(&lane).is_some(), plain, "{}", target.name);
        if target.excludes(&lane).is_none() {
            assert!(target.translate(&lane, Unchecked).is_ok(), "{}", target.name);
        }
    }
}

/// Every kernel that a plan launches is among the translated ones. A kernel that a method uses but the table lacks
/// would be compiled only on users' machines.
#[test]
fn plans_launch_nothing_but_what_is_translated() {
    let mut launched = HashSet::new();
    let configs = BackboneConfig::PRESETS.iter().map(|preset| format!(r#"{{"preset": "{preset}"}}"#));
    let grouped = r#"{"preset": "r50-conv4", "num_groups": 4}"#.to_owned();
    for json in configs.chain([grouped]) {
        let body = Body::new(BackboneConfig::from_json(&json).unwrap()).unwrap();
        let targets = Device::all_typical().flat_map(|typical| {
            let textures = [TextureSupport::Unavailable, TextureSupport::Available, TextureSupport::Faster];
            let targets = textures.map(|textures| Device { textures, ..typical });
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
    for &kernel in &launched {
        assert!(Kernel::all().any(|own| own == kernel), "{kernel:?}");
    }
    assert!(launched.len() > 10, "{launched:?}");
}
