//! The arithmetic of [`super::engine`], written once over a vector type and compiled for each instruction set.
//!
//! Functions here check every bound they rely on and are safe to call; `unsafe` does not leave this folder.
#![allow(unsafe_code)]

mod buffer;
mod dot;
mod finish;
mod gather;
#[cfg(target_arch = "aarch64")]
mod neon;
mod output;
mod peak;
mod pool;
mod portable;
mod source;
mod vector;
mod window;
mod winograd;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use buffer::{Buffer, bytes, bytes_mut, give_back_freed};
pub(super) use dot::{DotRow, DotTerm, MAX_DEPTH, MAX_TERMS};
pub(super) use finish::{Finish, Grid, Values, ValuesMut};
pub(super) use gather::{GatherRow, Tap};
pub(super) use output::{Output, Residual};
pub(super) use pool::AverageRows;
pub(super) use vector::BLOCK;
use vector::Vector;
pub(super) use window::{Window, WindowRow};
pub(super) use winograd::{Band, BandWeights, Share, Squares, Tile, WordWeights};

/// Channels are stored in multiples of this many values, the widest vector of any instruction set.
pub(super) const LANES: usize = 16;

/// An instruction set that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// AVX-512 with VNNI, and tiles for products of bytes.
    #[cfg(target_arch = "x86_64")]
    Amx,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 with products of bytes.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// NEON with products of matrices of bytes.
    #[cfg(target_arch = "aarch64")]
    NeonI8mm,
    /// NEON with products of bytes.
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

/// Work that is compiled for each instruction set.
trait Kernel {
    /// # Safety
    /// The processor has the instructions of `V`, and every access that `self` describes lies in its slices.
    unsafe fn run<V: Vector>(self);
}

impl Isa {
    /// Every instruction set of this processor, fastest first.
    pub fn available() -> Vec<Self> {
        let mut kinds = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma");
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx512 && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni") {
                if dot::amx::is_granted() {
                    kinds.push(Kind::Amx);
                }
                kinds.push(Kind::Avx512Vnni);
            }
            if avx512 {
                kinds.push(Kind::Avx512);
            }
            if avx2 && is_x86_feature_detected!("avxvnni") {
                kinds.push(Kind::AvxVnni);
            }
            if avx2 {
                kinds.push(Kind::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            if std::arch::is_aarch64_feature_detected!("dotprod") {
                kinds.push(Kind::NeonDot);
            }
            // Counted, a frame takes more instructions: docs/performance.md.
            if std::arch::is_aarch64_feature_detected!("i8mm") {
                kinds.push(Kind::NeonI8mm);
            }
            kinds.push(Kind::Neon);
        }
        kinds.push(Kind::Portable);
        kinds.into_iter().map(Self).collect()
    }

    /// The fastest instruction set of this processor.
    pub fn best() -> Self {
        Self::available().into_iter().next().unwrap_or(Self(Kind::Portable))
    }

    /// `amx`, `avx512vnni`, `avx512`, `avxvnni`, `avx2`, `neoni8mm`, `neondot`, `neon` or `portable`.
    ///
    /// # Errors
    /// A sentence where `name` is none of them or this processor lacks it.
    pub fn named(name: &str) -> Result<Self, String> {
        let available = Self::available();
        available.iter().copied().find(|isa| isa.name() == name).ok_or_else(|| {
            let names: Vec<&str> = available.iter().map(|isa| isa.name()).collect();
            format!("expected an instruction set of this processor ({}), got {name:?}", names.join(", "))
        })
    }

    /// The name that [`Isa::named`] takes.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => "amx",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => "avx512vnni",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Kind::NeonI8mm => "neoni8mm",
            #[cfg(target_arch = "aarch64")]
            Kind::NeonDot => "neondot",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
            Kind::Portable => "portable",
        }
    }

    /// Values in one vector.
    fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx | Kind::Avx512Vnni | Kind::Avx512 => x86::Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni | Kind::Avx2 => x86::Avx2::LANES,
            #[cfg(target_arch = "aarch64")]
            Kind::NeonI8mm | Kind::NeonDot | Kind::Neon => neon::Neon::LANES,
            Kind::Portable => portable::Portable::LANES,
        }
    }

    /// Vectors of output channels that are computed together.
    fn panel(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx | Kind::Avx512Vnni | Kind::Avx512 => x86::Avx512::PANEL,
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni | Kind::Avx2 => x86::Avx2::PANEL,
            #[cfg(target_arch = "aarch64")]
            Kind::NeonI8mm | Kind::NeonDot | Kind::Neon => neon::Neon::PANEL,
            Kind::Portable => portable::Portable::PANEL,
        }
    }

    /// Runs `kernel`.
    ///
    /// # Safety
    /// Every access that `kernel` describes lies in its slices.
    unsafe fn run(self, kernel: impl Kernel) {
        // SAFETY: an `Isa` is made only by `available`, which asked the processor for the features that each of these
        // functions is compiled with; the caller vouches for the accesses.
        unsafe {
            match self.0 {
                #[cfg(target_arch = "x86_64")]
                Kind::Amx | Kind::Avx512Vnni | Kind::Avx512 => x86::with_avx512(kernel),
                #[cfg(target_arch = "x86_64")]
                Kind::AvxVnni | Kind::Avx2 => x86::with_avx2(kernel),
                #[cfg(target_arch = "aarch64")]
                Kind::NeonI8mm | Kind::NeonDot | Kind::Neon => neon::with_neon(kernel),
                Kind::Portable => kernel.run::<portable::Portable>(),
            }
        }
    }

    /// Reorders a (depth, channels) matrix for the micro-kernel: panel by panel, each (depth, panel width).
    ///
    /// `channels` is a multiple of [`LANES`]. Of a lower `triangle` each panel leaves out the rows before its first
    /// channel.
    pub(super) fn pack(self, matrix: &[f32], channels: usize, triangle: bool) -> Buffer {
        let depth = matrix.len() / channels.max(1);
        let mut packed = Vec::with_capacity(matrix.len());
        let mut first = 0;
        while first < channels {
            let width = next_panel((channels - first) / self.lanes(), self.panel()) * self.lanes();
            for k in skipped(first, depth, triangle)..depth {
                packed.extend_from_slice(&matrix[k * channels + first..][..width]);
            }
            first += width;
        }
        Buffer::from(&packed[..])
    }
}

/// Rows that a panel from channel `first` on leaves out.
fn skipped(first: usize, depth: usize, triangle: bool) -> usize {
    if triangle { first.min(depth) } else { 0 }
}

/// Vectors in the next panel where `left` vectors of channels are left and `most` fit a panel: 4, 2 or 1.
fn next_panel(left: usize, most: usize) -> usize {
    match left.min(most) {
        0 | 1 => 1,
        2 | 3 => 2,
        _ => 4,
    }
}

/// `channels`, rounded up to whole vectors.
pub(super) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}
