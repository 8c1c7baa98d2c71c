//! The limits of an adapter that planning depends on, and the rejection of candidates that exceed them.

use crate::dtype::DType;
use crate::error::{Error, ErrorRepr, Result};
use crate::kernels::{OperandMemory, texture_row_bytes};

/// The limits of an adapter that planning depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLimits {
    /// Bytes of one storage binding.
    pub max_binding_bytes: u64,
    /// Bytes of one buffer.
    pub max_buffer_bytes: u64,
    /// Workgroups along one axis of a dispatch.
    pub max_groups: u32,
    /// The offsets of storage bindings must be multiples of this.
    pub offset_alignment: u64,
    /// Rows of a texture.
    pub max_texture_rows: u32,
    /// The most work of one submission: multiply-adds, plus [`MACS_PER_BYTE`] for every byte that is moved. A single
    /// dispatch that cannot be cut may do more. Systems take a device for hung and reset it if a submission takes
    /// longer than some seconds; Windows waits for two.
    pub max_macs: u64,
}

/// What a slow integrated GPU does in a second: 100 GFLOP, or 10 GB moved. So a submission takes less than two seconds
/// on any device that is more than half as fast.
const SLOW_MACS: u64 = 50_000_000_000;

/// The number of multiply-adds that a slow integrated GPU does in the time that it takes to move a byte.
pub const MACS_PER_BYTE: u64 = 5;

impl Default for PlanLimits {
    /// For planning without an adapter: bindings and buffers of 2^31 - 1 bytes, the most that wgpu offers everywhere,
    /// and WebGPU's default alignment of 256 bytes.
    fn default() -> Self {
        Self {
            max_binding_bytes: i32::MAX as u64,
            max_buffer_bytes: i32::MAX as u64,
            max_groups: 65_535,
            offset_alignment: 256,
            max_texture_rows: 8192,
            max_macs: SLOW_MACS,
        }
    }
}

impl From<&wgpu::Limits> for PlanLimits {
    fn from(limits: &wgpu::Limits) -> Self {
        Self {
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_buffer_bytes: limits.max_buffer_size,
            max_groups: limits.max_compute_workgroups_per_dimension,
            offset_alignment: u64::from(limits.min_storage_buffer_offset_alignment),
            max_texture_rows: limits.max_texture_dimension_2d,
            max_macs: SLOW_MACS,
        }
    }
}

impl PlanLimits {
    /// The stricter of two adapters' limits, one by one: a plan within them runs on both.
    pub fn within(self, other: Self) -> Self {
        Self {
            max_binding_bytes: self.max_binding_bytes.min(other.max_binding_bytes),
            max_buffer_bytes: self.max_buffer_bytes.min(other.max_buffer_bytes),
            max_groups: self.max_groups.min(other.max_groups),
            offset_alignment: self.offset_alignment.max(other.offset_alignment),
            max_texture_rows: self.max_texture_rows.min(other.max_texture_rows),
            max_macs: self.max_macs.min(other.max_macs),
        }
    }

    /// Offsets are multiples of this.
    pub(super) fn alignment(&self) -> u64 {
        self.offset_alignment.max(1)
    }

    /// In a sequence of items of `bytes` bytes each, a binding can begin at items whose index is a multiple of this.
    pub(super) fn aligned_step(&self, bytes: u64) -> usize {
        let (mut gcd, mut rest) = (self.alignment(), bytes);
        while rest > 0 {
            (gcd, rest) = (rest, gcd % rest);
        }
        (self.alignment() / gcd) as usize
    }

    /// The most bytes of one blob or constant that one dispatch can bind.
    pub(super) fn bindable(&self) -> u64 {
        // Shaders index with 32 bits, and drivers compute byte offsets in 32 bits.
        self.max_binding_bytes.min(self.max_buffer_bytes).min(u64::from(u32::MAX))
    }

    /// The most bytes of one operand in `memory` that one dispatch can bind, in the number format `dtype`.
    pub(super) fn bindable_in(&self, memory: OperandMemory, dtype: DType) -> u64 {
        match memory {
            OperandMemory::Buffer => self.bindable(),
            // The executor may add a row.
            OperandMemory::Texture => {
                self.bindable().min(u64::from(self.max_texture_rows.saturating_sub(1)) * texture_row_bytes(dtype))
            }
        }
    }

    /// Fails if `needed` bytes do not fit into one binding, because of the limit on bindings or of the limit on
    /// buffers.
    pub(super) fn check_binding(&self, needed: u64, what: impl FnOnce() -> String) -> Result<()> {
        self.check_bindable(self.bindable(), needed, what)
    }

    /// The same for an operand in `memory`.
    pub(super) fn check_binding_in(
        &self,
        memory: OperandMemory,
        dtype: DType,
        needed: u64,
        what: impl FnOnce() -> String,
    ) -> Result<()> {
        self.check_bindable(self.bindable_in(memory, dtype), needed, what)
    }

    fn check_bindable(&self, limit: u64, needed: u64, what: impl FnOnce() -> String) -> Result<()> {
        if needed <= limit {
            return Ok(());
        }
        let limit_name = match limit {
            _ if limit < self.bindable() => "texture",
            _ if limit == self.max_buffer_bytes => "buffer",
            _ => "binding",
        };
        Err(ErrorRepr::Limit { what: what(), needed, limit, limit_name }.into())
    }
}

/// The reason why a candidate gives no plan.
#[derive(Debug)]
pub(super) enum Rejection {
    /// It exceeds a limit that another candidate may keep to.
    Limit(Error),
    /// An error that no other candidate would avoid.
    Error(Error),
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Limit(error) | Rejection::Error(error) => error,
        }
    }
}
