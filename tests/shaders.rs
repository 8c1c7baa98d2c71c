//! The shaders and their Rust twins agree, by naga's reflection: parameters, bindings, entry points.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Statement, StorageAccess, TypeInner};
use resnet3d_wgpu::low_level::dtype::{DType, Format};
use resnet3d_wgpu::low_level::kernels::{ENTRY_POINT, Kernel, Method, OperandMemory, WindowParams};
use std::collections::BTreeSet;

fn module(kernel: Kernel, dtype: DType) -> naga::Module {
    naga::front::wgsl::parse_str(&kernel.source(dtype)).unwrap_or_else(|e| panic!("{}: {e}", kernel.name_in(dtype)))
}

/// Every kernel for every number format, as naga reads it.
fn modules() -> impl Iterator<Item = (Kernel, naga::Module)> {
    Kernel::forms().map(|(kernel, dtype)| (kernel, module(kernel, dtype)))
}

#[test]
fn every_shader_is_valid_with_no_more_than_subgroups() {
    for (kernel, module) in modules() {
        let capabilities = match kernel.subgroup_size() {
            Some(_) => Capabilities::SUBGROUP,
            None => Capabilities::empty(),
        };
        let mut validator = Validator::new(ValidationFlags::all(), capabilities);
        validator.validate(&module).unwrap_or_else(|e| panic!("{}: {e:?}", kernel.name()));
        let entries: Vec<String> = module.entry_points.iter().map(|e| e.name.clone()).collect();
        assert_eq!(entries, [ENTRY_POINT], "{}", kernel.name());
    }
}

#[test]
fn parameters_have_the_layout_of_the_host_structs() {
    let mut windows = 0;
    for (kernel, module) in modules() {
        let (_, uniform) = module
            .global_variables
            .iter()
            .find(|(_, v)| v.space == AddressSpace::Uniform)
            .unwrap_or_else(|| panic!("{} has no parameters", kernel.name()));
        assert_eq!(layout(&module, uniform.ty), kernel.params_layout(), "{}", kernel.name());
        for (ty, _) in module.types.iter().filter(|(_, ty)| ty.name.as_deref() == Some("Window")) {
            assert_eq!(layout(&module, ty), WindowParams::LAYOUT, "{}", kernel.name());
            windows += 1;
        }
    }
    assert!(windows > 3, "the kernels that slide share their window");
}

/// SwiftShader's compiler takes time and memory as if it followed every path through the body of a loop. `&&` is a
/// branch, and five of them, unrolled eight times, took all memory. `&` is no branch
/// (`docs/results/2026-11-24-drivers.md`).
#[test]
fn few_paths_lead_through_the_body_of_a_loop() {
    // SwiftShader's subgroups have four lanes.
    let runs_there = |kernel: &Kernel| kernel.subgroup_size().is_none_or(|lanes| lanes == 4);
    for (kernel, module) in modules().filter(|(kernel, _)| runs_there(kernel)) {
        let mut worst = 1.0;
        for function in module.functions.iter().map(|(_, f)| f).chain(module.entry_points.iter().map(|e| &e.function)) {
            paths(&module, &function.body, &mut worst);
        }
        println!("{:32} {worst}", kernel.name());
        assert!(worst <= 65_536.0, "{}: {worst} paths through the body of a loop", kernel.name());
    }
}

/// How many paths lead through a block, and the most that lead through the body of a loop in it.
fn paths(module: &naga::Module, block: &naga::Block, worst: &mut f64) -> f64 {
    let through = |statement: &Statement, worst: &mut f64| match statement {
        Statement::Block(block) => paths(module, block, worst),
        Statement::If { accept, reject, .. } => paths(module, accept, worst) + paths(module, reject, worst),
        Statement::Switch { cases, .. } => cases.iter().map(|case| paths(module, &case.body, worst)).sum(),
        Statement::Loop { body, continuing, .. } => {
            let own = paths(module, body, worst) * paths(module, continuing, worst);
            *worst = worst.max(own);
            own
        }
        // Drivers inline the function.
        Statement::Call { function, .. } => paths(module, &module.functions[*function].body, worst),
        _ => 1.0,
    };
    block.iter().map(|statement| through(statement, worst)).product()
}

/// Names and offsets of a struct's members, then its size under an empty name.
fn layout(module: &naga::Module, ty: naga::Handle<naga::Type>) -> Vec<(&str, usize)> {
    let TypeInner::Struct { members, span } = &module.types[ty].inner else { panic!("no struct") };
    let mut layout: Vec<(&str, usize)> =
        members.iter().map(|m| (m.name.as_deref().unwrap(), m.offset as usize)).collect();
    layout.push(("", *span as usize));
    layout
}

#[test]
fn bindings_are_parameters_then_inputs_then_the_output() {
    for (kernel, module) in modules() {
        let mut bindings = BTreeSet::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else { continue };
            assert_eq!(binding.group, 0);
            bindings.insert(binding.binding);
            let operand = (binding.binding as usize).checked_sub(1);
            let last = kernel.bindings().len() - 1;
            let wanted = match operand.map(|index| (kernel.bindings()[index], index == last)) {
                None => AddressSpace::Uniform,
                Some((OperandMemory::Texture, _)) => AddressSpace::Handle,
                Some((OperandMemory::Buffer, true)) => {
                    AddressSpace::Storage { access: StorageAccess::LOAD | StorageAccess::STORE }
                }
                Some((OperandMemory::Buffer, false)) => AddressSpace::Storage { access: StorageAccess::LOAD },
            };
            assert_eq!(variable.space, wanted, "{} binding {}", kernel.name(), binding.binding);
        }
        assert!(bindings.into_iter().eq(0..=kernel.bindings().len() as u32), "{}", kernel.name());
    }
}

/// Every binding has the number format in its kernel's row: the format of the plan through the aliases of that format,
/// or f32.
#[test]
fn what_is_bound_has_the_number_format_of_the_row() {
    for kernel in Kernel::all() {
        let source = kernel.source(DType::F32);
        let declared = |index: usize| {
            let at = source.split(&format!("@group(0) @binding({}) ", index + 1)).nth(1);
            at.and_then(|text| text.split_once(';')).map(|(line, _)| line.split_once(": ").unwrap().1)
        };
        assert_eq!(kernel.formats().len(), kernel.bindings().len(), "{}", kernel.name());
        for (index, format) in kernel.formats().iter().enumerate() {
            let ty = declared(index).unwrap_or_else(|| panic!("{}: no binding {}", kernel.name(), index + 1));
            let wanted: &[&str] = match format {
                Format::Plan => &["array<Value>", "array<Value4>", "array<StoredChannelVec>", "ValueTexture"],
                Format::F32 => {
                    &["array<f32>", "array<vec4<f32>>", "array<ChannelVec>", "texture_storage_2d<rgba32float, write>"]
                }
            };
            assert!(wanted.contains(&ty), "{} binds {ty}, which is not {format:?}", kernel.name());
        }
    }
}

#[test]
fn every_shader_file_has_its_kernel_and_every_kernel_its_name() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let files: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let used: BTreeSet<String> = Kernel::all().map(|kernel| kernel.shader().to_owned()).collect();
    assert_eq!(files, used);
    for name in &files {
        let twin = format!("{}/src/kernels/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        assert!(std::path::Path::new(&twin).exists(), "{name}.wgsl has no Rust twin");
    }
    let names: BTreeSet<&str> = Kernel::all().map(Kernel::name).collect();
    assert_eq!(names.len(), Kernel::all().len());
    let methods: Vec<Method> = Method::all().collect();
    let names: BTreeSet<&str> = methods.iter().map(|method| method.name()).collect();
    assert_eq!(names.len(), methods.len());
    for name in names {
        assert_eq!(Method::by_name(name).unwrap().name(), name);
    }
}

/// A misplaced marker would leave its loop as it stands, and the kernel would run slower without a message.
#[test]
fn every_marked_loop_is_unrolled() {
    let misplaced = Kernel::forms().flat_map(|(kernel, dtype)| kernel.expanded(dtype).misplaced);
    let misplaced: BTreeSet<String> = misplaced.map(|marker| marker.to_string()).collect();
    assert!(misplaced.is_empty(), "{misplaced:#?}");
    for (kernel, dtype) in Kernel::forms() {
        assert!(!kernel.source(dtype).contains("// unroll"), "{}", kernel.name());
    }
}

/// One kernel as drivers get it, without comments and empty lines. After an intended change, the file's new content is
/// what this prints.
#[test]
fn an_unrolled_kernel_is_as_in_its_golden() {
    let kernel = Kernel::all().find(|kernel| kernel.name() == "winograd_output_2x2").unwrap();
    let source = kernel.source(DType::F32);
    let code = source.lines().map(|line| line.split("//").next().unwrap().trim_end());
    let code: String = code.filter(|line| !line.trim().is_empty()).flat_map(|line| [line, "\n"]).collect();
    let golden =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/winograd_output_2x2.wgsl"));
    if golden.unwrap() != code {
        println!("{code}");
        panic!("winograd_output_2x2 is not as in tests/goldens/winograd_output_2x2.wgsl");
    }
}
