//! Writes the WGSL of every kernel into a directory, one file each, for other compilers to read:
//! `cargo run --example dump_shaders -- DIR`

use resnet3d_wgpu::kernels::Kernel;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: dump_shaders DIR");
        return ExitCode::from(2);
    };
    let write = |kernel: &Kernel| std::fs::write(directory.join(format!("{}.wgsl", kernel.name())), kernel.source());
    match std::fs::create_dir_all(&directory).and_then(|()| Kernel::ALL.iter().try_for_each(write)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}
