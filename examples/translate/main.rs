//! Writes every shader of the crate, and naga's translations for the backends of wgpu, to a directory.
//!
//! ```sh
//! cargo run --example translate -- DIR
//! ```
//!
//! writes `DIR/wgsl/KERNEL.wgsl`, and `DIR/LANGUAGE/KERNEL.CHECKS.VERSION.EXTENSION` for SPIR-V (`spv`), `hlsl`, `msl`
//! and `glsl`, with all of wgpu's run-time checks and with none. `scripts/test-shaders` compiles the results.

mod shaders;
mod targets;

use std::error::Error;
use std::path::Path;
use targets::{CHECKS, TARGETS};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: translate DIR".into());
    };
    let directory = Path::new(&directory);
    let write = |file: &str, bytes: &[u8]| {
        let path = directory.join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
        std::fs::write(path, bytes)
    };
    for shader in shaders::all()? {
        println!("{} from shaders/{}", shader.name, shader.file);
        write(&format!("wgsl/{}.wgsl", shader.name), shader.source.as_bytes())?;
        for target in TARGETS.into_iter().filter(|target| target.excludes(&shader).is_none()) {
            for (checks_name, checks) in CHECKS {
                let file = target.file(&shader, checks_name);
                let translation = target.translate(&shader, checks).map_err(|e| format!("{file}: {e}"))?;
                write(&file, &translation)?;
            }
        }
    }
    Ok(())
}
