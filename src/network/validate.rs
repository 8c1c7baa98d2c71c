//! Validation of described networks.

use super::json::MAX_BLOCKS;
use super::{Block, Description, FastPathway, FirstHalf, Pool, Shortcut, Stage, Stem, Unit, strides};
use crate::error::{Error, Result};

/// The largest width, kernel, stride or number of classes: far beyond any use, and small enough that no product of two
/// overflows 64 bits.
const LARGEST: usize = 1 << 20;

/// The maximum number of stages: res2 to res5.
const MAX_STAGES: usize = 4;

/// The maximum number of units in a branch: one per letter.
const MAX_UNITS: usize = 26;

impl Description {
    /// Checks that the network can be built and run.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the first invalid field. A valid network has one to four
    /// stages of at least one block; no zero; odd kernels (an even one would give T + 1 frames, which cannot be added
    /// to the shortcut); groups that divide the widths around them; convolutions whose weights can be indexed;
    /// shortcuts with the width and stride of the branch; pathways with equal strides.
    pub fn validate(&self) -> Result<()> {
        if let Some(classes) = self.classes.filter(|&classes| classes == 0 || classes > LARGEST) {
            return Err(Error::config("classes", format!("1 to {LARGEST}"), classes));
        }
        let joined = self.fast.as_ref().map(|fast| fast.validate(&self.stem, &self.stages)).transpose()?;
        let (joined, fast_width) = joined.unwrap_or_default();
        let width = validate_pathway(&self.stem, &self.stages, &joined, "")?;
        if self.stride().iter().any(|&stride| stride > LARGEST) {
            let wanted = format!("at most {LARGEST} in total along each axis");
            return Err(Error::config("stride", wanted, format!("{:?}", self.stride())));
        }
        if let Some(classes) = self.classes {
            check_weight(width + fast_width, classes, [1; 3], "classes")?;
        }
        Ok(())
    }
}

/// Checks a stem and stages and returns the output width of the last stage. Lateral connections add `joined[i]`
/// channels to the input of stage i. `place` is the prefix of the keys.
fn validate_pathway(stem: &Stem, stages: &[Stage], joined: &[usize], place: &str) -> Result<usize> {
    if stem.convs.is_empty() || stem.convs.len() > 3 {
        return Err(Error::config(format!("{place}stem.convs"), "one to three convolutions", stem.convs.len()));
    }
    if stages.is_empty() || stages.len() > MAX_STAGES {
        return Err(Error::config(format!("{place}stages"), format!("one to {MAX_STAGES} stages"), stages.len()));
    }
    // The channels of a clip.
    let mut width = 3;
    for (i, unit) in stem.convs.iter().enumerate() {
        width = unit.validate(width, &format!("{place}stem.convs[{i}]"))?;
    }
    validate_pool(stem.pool.as_ref(), &format!("{place}stem.pool"))?;
    for (i, stage) in stages.iter().enumerate() {
        let place = format!("{place}stages[{i}]");
        if stage.blocks.is_empty() || stage.blocks.len() > MAX_BLOCKS {
            let wanted = format!("1 to {MAX_BLOCKS} blocks");
            return Err(Error::config(format!("{place}.blocks"), wanted, stage.blocks.len()));
        }
        width += joined.get(i).copied().unwrap_or(0);
        for (j, block) in stage.blocks.iter().enumerate() {
            width = block.validate(width, &format!("{place}.blocks[{j}]"))?;
        }
        validate_pool(stage.pool.as_ref(), &format!("{place}.pool"))?;
    }
    Ok(width)
}

impl FastPathway {
    /// Checks the fast pathway against the slow one of `stem` and `stages`. Returns how many channels the fast pathway
    /// adds to the input of each slow stage, and the output width of its last stage.
    fn validate(&self, stem: &Stem, stages: &[Stage]) -> Result<(Vec<usize>, usize)> {
        if self.alpha == 0 || self.alpha > LARGEST {
            return Err(Error::config("fast.alpha", format!("1 to {LARGEST}"), self.alpha));
        }
        for (key, count) in [("stages", self.stages.len()), ("laterals", self.laterals.len())] {
            if count != stages.len() {
                let wanted = format!("{}, as many as the slow pathway has stages", stages.len());
                return Err(Error::config(format!("fast.{key}"), wanted, count));
            }
        }
        let width = validate_pathway(&self.stem, &self.stages, &[], "fast.")?;
        let slow = strides(stem, stages);
        let fast = strides(&self.stem, &self.stages);
        for (i, ((_, slow), (_, fast))) in slow.into_iter().zip(fast).take(stages.len()).enumerate() {
            if slow != fast {
                let place = if i == 0 { "fast.stem".to_owned() } else { format!("fast.stages[{}]", i - 1) };
                let wanted = format!("at stride {slow:?} to the clip, as in the slow pathway");
                return Err(Error::config(place, wanted, format!("{fast:?}")));
            }
        }
        let blobs = self.stages.iter().map(|stage| stage.blocks.last().map_or(0, Block::width));
        let stem = self.stem.convs.last().map_or(0, |unit| unit.width);
        for (i, (lateral, width)) in self.laterals.iter().zip(std::iter::once(stem).chain(blobs)).enumerate() {
            let place = format!("fast.laterals[{i}]");
            let kernel = [lateral.kernel, 1, 1];
            check_sizes(&[lateral.width], kernel, [1; 3], &place)?;
            check_weight(width, lateral.width, kernel, &place)?;
        }
        Ok((self.laterals.iter().map(|lateral| lateral.width).collect(), width))
    }
}

impl Block {
    /// Checks the block, whose input has `dim_in` channels, and returns its output width.
    fn validate(&self, dim_in: usize, place: &str) -> Result<usize> {
        if self.branch.is_empty() || self.branch.len() > MAX_UNITS {
            let wanted = format!("1 to {MAX_UNITS} units");
            return Err(Error::config(format!("{place}.branch"), wanted, self.branch.len()));
        }
        let mut width = dim_in;
        for (i, unit) in self.branch.iter().enumerate() {
            width = unit.validate(width, &format!("{place}.branch[{i}]"))?;
        }
        let stride = self.stride();
        let wanted = format!("{width} channels at stride {stride:?}, as in the branch");
        match &self.shortcut {
            Shortcut::Identity if dim_in != width || stride != [1; 3] => {
                let given = format!("identity: {dim_in} channels at stride 1");
                Err(Error::config(format!("{place}.shortcut"), wanted, given))
            }
            Shortcut::ZeroPad if dim_in > width => {
                let given = format!("zero_pad: {dim_in} channels");
                Err(Error::config(format!("{place}.shortcut"), wanted, given))
            }
            Shortcut::Identity | Shortcut::ZeroPad => Ok(width),
            Shortcut::Projection(unit) => {
                let place = format!("{place}.shortcut.projection");
                unit.validate(dim_in, &place)?;
                if unit.width != width || unit.total_stride() != stride {
                    let given = format!("{} channels at stride {:?}", unit.width, unit.total_stride());
                    return Err(Error::config(place, wanted, given));
                }
                Ok(width)
            }
        }
    }
}

impl Unit {
    /// Checks the unit, whose input has `dim_in` channels, and returns its output width.
    fn validate(&self, dim_in: usize, place: &str) -> Result<usize> {
        let mut dim_in = dim_in;
        if let Some(FirstHalf { width, kernel, stride, .. }) = self.mid {
            let place = format!("{place}.mid");
            check_sizes(&[width], kernel, stride, &place)?;
            check_weight(dim_in, width, kernel, &place)?;
            dim_in = width;
        }
        check_sizes(&[self.width, self.groups], self.kernel, self.stride, place)?;
        if let Some(&dilation) = self.dilation.iter().find(|&&d| d == 0 || d > LARGEST) {
            return Err(Error::config(format!("{place}.dilation"), format!("1 to {LARGEST}"), dilation));
        }
        if !dim_in.is_multiple_of(self.groups) || !self.width.is_multiple_of(self.groups) {
            let wanted = format!("a divisor of the {dim_in} and {} channels around it", self.width);
            return Err(Error::config(format!("{place}.groups"), wanted, self.groups));
        }
        check_weight(dim_in / self.groups, self.width, self.kernel, place)?;
        Ok(self.width)
    }
}

fn validate_pool(pool: Option<&Pool>, place: &str) -> Result<()> {
    let Some(pool) = pool else { return Ok(()) };
    for axis in 0..3 {
        let (kernel, stride, pad) = (pool.kernel[axis], pool.stride[axis], pool.pad[axis]);
        if kernel == 0 || kernel > LARGEST || stride == 0 || stride > LARGEST || pad >= kernel {
            let wanted = format!("kernel and stride of 1 to {LARGEST}, and less padding than kernel");
            return Err(Error::config(place, wanted, format!("{pool:?}")));
        }
    }
    Ok(())
}

fn check_sizes(widths: &[usize], kernel: [usize; 3], stride: [usize; 3], place: &str) -> Result<()> {
    let out_of_range = |&&n: &&usize| n == 0 || n > LARGEST;
    for (field, values) in [("width or groups", widths), ("kernel", &kernel), ("stride", &stride)] {
        if let Some(&value) = values.iter().find(out_of_range) {
            return Err(Error::config(format!("{place}.{field}"), format!("1 to {LARGEST}"), value));
        }
    }
    if kernel.iter().any(|n| n.is_multiple_of(2)) {
        let wanted = "odd (an even kernel changes the extent, so the output cannot be added to the shortcut)";
        return Err(Error::config(format!("{place}.kernel"), wanted, format!("{kernel:?}")));
    }
    Ok(())
}

/// Checks that 32-bit offsets can address the weight of a convolution.
fn check_weight(per_group: usize, width: usize, kernel: [usize; 3], place: &str) -> Result<()> {
    let values = kernel.iter().fold(per_group as u128 * width as u128, |all, &n| all * n as u128);
    if values > u128::from(u32::MAX / 4) {
        let wanted = "a convolution of fewer than 2^30 weights";
        return Err(Error::config(place, wanted, format!("{width}x{per_group} channels of {kernel:?}")));
    }
    Ok(())
}
