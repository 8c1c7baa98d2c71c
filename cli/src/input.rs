//! Reads inputs and shows the progress.

use crate::failure::Failure;
use crate::progress::Progress;
use anyhow::Result;
use resnet3d_wgpu::clip::files::{Input, LoadOptions, load_inputs_watched};
use std::path::Path;

/// Checks that an input exists, before anything else is read.
pub fn check(path: &Path) -> Result<()> {
    let exists = path.metadata().map(drop);
    Ok(exists.map_err(|source| Failure::file("read", path, source))?)
}

/// Reads `paths` as one batch.
pub fn load<P: AsRef<Path>>(paths: &[P], options: &LoadOptions) -> Result<Input> {
    let progress = Progress::counting("reading the clip");
    Ok(load_inputs_watched(paths, options, &mut |state| progress.at(state.frames, state.expected))?)
}
