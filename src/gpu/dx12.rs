//! The choice of Microsoft's compilers of HLSL for Direct3D 12: DXC if it is found, else FXC.
//!
//! wgpu would choose in the same way, but does not report its choice. No version of Windows includes DXC; all include
//! FXC.

use crate::kernels::Compiler;
use std::path::{Path, PathBuf};
use wgpu::Dx12Compiler;

/// DXC's file.
const LIBRARY: &str = "dxcompiler.dll";

/// The compiler to open Direct3D 12 with: the one that the user has named in `WGPU_DX12_COMPILER`, else DXC if it is
/// beside the program or in a directory of the PATH, else FXC. On systems without Direct3D 12 it searches nothing.
pub(super) fn compiler() -> Dx12Compiler {
    if !cfg!(windows) {
        return Dx12Compiler::Fxc;
    }
    let program = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    let path = std::env::var_os("PATH").unwrap_or_default();
    choose(Dx12Compiler::from_env(), program.into_iter().chain(std::env::split_paths(&path)))
}

fn choose(asked: Option<Dx12Compiler>, directories: impl Iterator<Item = PathBuf>) -> Dx12Compiler {
    match asked {
        None | Some(Dx12Compiler::Auto) => find(directories).unwrap_or(Dx12Compiler::Fxc),
        Some(asked) => asked,
    }
}

/// DXC in the first of `directories` that has it. Relative directories are skipped: they depend on where the program
/// was started, and anybody may have put a library there.
fn find(directories: impl Iterator<Item = PathBuf>) -> Option<Dx12Compiler> {
    let mut files = directories.filter(|directory| directory.is_absolute()).map(|directory| directory.join(LIBRARY));
    let dxc_path = files.find(|file| file.is_file())?.into_os_string().into_string().ok()?;
    Some(Dx12Compiler::DynamicDxc { dxc_path })
}

/// The compiler of an adapter's shaders, for an instance with `compiler`.
pub(super) fn compiler_on(backend: wgpu::Backend, compiler: &Dx12Compiler) -> Compiler {
    match (backend, compiler) {
        (wgpu::Backend::Dx12, Dx12Compiler::Fxc) => Compiler::Fxc,
        (wgpu::Backend::Dx12, _) => Compiler::Dxc,
        _ => Compiler::Driver,
    }
}

/// The same for a device that a caller has opened. Only DXC supports subgroups, so a device without them, for whatever
/// reason, is assumed to use FXC.
pub(super) fn compiler_of(backend: wgpu::Backend, features: wgpu::Features) -> Compiler {
    match backend {
        wgpu::Backend::Dx12 if features.contains(wgpu::Features::SUBGROUP) => Compiler::Dxc,
        wgpu::Backend::Dx12 => Compiler::Fxc,
        _ => Compiler::Driver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dxc_is_taken_where_it_lies() {
        let root = tempfile::tempdir().unwrap();
        let [program, tools] = ["program", "tools"].map(|name| root.path().join(name));
        for directory in [&program, &tools] {
            std::fs::create_dir(directory).unwrap();
        }
        let chosen = |asked: Option<Dx12Compiler>| {
            let directories =
                [PathBuf::new(), PathBuf::from("."), root.path().join("none"), program.clone(), tools.clone()];
            match choose(asked, directories.into_iter()) {
                Dx12Compiler::DynamicDxc { dxc_path } => dxc_path,
                other => format!("{other:?}"),
            }
        };
        assert_eq!(chosen(None), "Fxc");
        let place = |directory: &Path| {
            let file = directory.join(LIBRARY);
            std::fs::write(&file, "").unwrap();
            file.to_str().unwrap().to_owned()
        };
        let on_path = place(&tools);
        assert_eq!(chosen(None), on_path);
        let beside = place(&program);
        assert_eq!(chosen(Some(Dx12Compiler::Auto)), beside, "beside the program goes first");
        assert_eq!(chosen(Some(Dx12Compiler::Fxc)), "Fxc", "what is asked for is taken");
        assert_eq!(chosen(Some(Dx12Compiler::default_dynamic_dxc())), LIBRARY);
    }

    #[test]
    fn compilers_are_told_apart() {
        let dxc = Dx12Compiler::default_dynamic_dxc();
        assert_eq!(compiler_on(wgpu::Backend::Dx12, &dxc), Compiler::Dxc);
        assert_eq!(compiler_on(wgpu::Backend::Dx12, &Dx12Compiler::Fxc), Compiler::Fxc);
        assert_eq!(compiler_on(wgpu::Backend::Vulkan, &Dx12Compiler::Fxc), Compiler::Driver);
        let subgroups = wgpu::Features::SUBGROUP;
        assert_eq!(compiler_of(wgpu::Backend::Dx12, subgroups), Compiler::Dxc);
        assert_eq!(compiler_of(wgpu::Backend::Dx12, wgpu::Features::empty()), Compiler::Fxc);
        assert_eq!(compiler_of(wgpu::Backend::Vulkan, wgpu::Features::empty()), Compiler::Driver);
    }
}
