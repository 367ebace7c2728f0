//! Intel's AMX: products of whole tiles of bytes, 16 × 64 codes by 64 × 16 weights.
//!
//! Written as assembly, because Rust has no stable intrinsics for it. Tiles and their configuration are no state that the
//! compiler uses; they live from `ldtilecfg` to `tilerelease` within one call of a function here.

use super::row::{DotRow, depth};
use super::x86::Dot512;
use super::{Dot, MAX_TERMS};
use crate::infer::kernels::vector::Vector;
use crate::infer::kernels::x86::Avx512;
use crate::infer::kernels::{LANES, Tap};
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::mem::{MaybeUninit, offset_of};
use std::sync::OnceLock;

/// Rows of a tile: pixels.
const ROWS: usize = 16;
/// Channels that are computed together: two tiles.
const CHANNELS: usize = 2 * LANES;

/// Whether this process may use the tiles: Linux grants them on request, to all threads from then on.
pub(in super::super) fn is_granted() -> bool {
    static GRANTED: OnceLock<bool> = OnceLock::new();
    *GRANTED.get_or_init(|| {
        const TILE: u32 = 1 << 24;
        const INT8: u32 = 1 << 25;
        // SAFETY: every 64-bit x86 processor has the instruction; newer compilers than the oldest promised call it safe.
        #[allow(unused_unsafe)]
        let features = unsafe { __cpuid_count(7, 0) }.edx;
        features & TILE != 0 && features & INT8 != 0 && ask()
    })
}

#[cfg(target_os = "linux")]
fn ask() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and touches no memory of this process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn ask() -> bool {
    false
}

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

impl Configuration {
    /// Sums 0 and 1 and codes 4 of `rows` rows; sums 2 and 3, codes 5 and weights 6 and 7 of 16.
    fn new(rows: usize) -> Self {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        for tile in 0..8 {
            bytes[16 + 2 * tile] = 64;
            bytes[48 + tile] = if matches!(tile, 0 | 1 | 4) { rows as u8 } else { ROWS as u8 };
        }
        Self(bytes)
    }
}

/// The sums of two tiles of pixels by two of channels, pixel by pixel.
#[repr(C, align(64))]
struct Sums(MaybeUninit<[i32; 2 * ROWS * CHANNELS]>);

/// # Safety
/// [`is_granted`], the processor has AVX-512 F and VNNI, and [`DotRow::run`] has checked the slices.
#[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
pub(super) unsafe fn row(mut row: DotRow) {
    let (count, channels) = (row.count, row.bias.len());
    let strip = if count >= 2 * ROWS { 2 * ROWS } else { count.min(ROWS) };
    let configuration = Configuration::new(strip.min(ROWS));
    let mut sums = [const { Sums(MaybeUninit::uninit()) }; MAX_TERMS];
    // SAFETY: the caller's; no strip reaches past `count`, and `sums` is written for as many pixels as are read.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &configuration, options(nostack, preserves_flags, readonly));
        let mut x = 0;
        while x < count {
            let from = x.min(count - strip);
            let mut squares = [Avx512::splat(0.0); 2 * ROWS];
            for channel in (0..channels).step_by(CHANNELS) {
                for ((term, source), sums) in row.terms.iter().zip(row.sources).zip(&mut sums) {
                    let taps = row.taps.get_unchecked(term.taps.clone());
                    let weights = term.weights.as_ptr().cast::<u8>().add(channel * depth(taps));
                    let start = term.start.as_ptr().add(channel);
                    let sums = sums.0.as_mut_ptr().cast();
                    if strip > ROWS {
                        two_by_two(source.as_ptr(), from, taps, weights, start, sums);
                    } else {
                        one_by_two(source.as_ptr(), from, taps, weights, start, sums);
                    }
                }
                for (pixel, square) in squares[..strip].iter_mut().enumerate() {
                    if channels - channel > LANES {
                        finish::<2>(&mut row, &sums, from, pixel, channel, square);
                    } else {
                        finish::<1>(&mut row, &sums, from, pixel, channel, square);
                    }
                }
            }
            for (pixel, square) in squares[..strip].iter().enumerate() {
                row.output.end_strip(from + pixel, [*square]);
            }
            x += strip;
        }
        asm!("tilerelease", options(nostack, nomem, preserves_flags));
    }
}

/// Scales the sums of one pixel and N vectors of channels, and hands them on.
///
/// # Safety
/// As for [`row`]; `sums` holds the pixel for each term.
#[inline(always)]
unsafe fn finish<const N: usize>(
    row: &mut DotRow,
    sums: &[Sums; MAX_TERMS],
    from: usize,
    pixel: usize,
    channel: usize,
    square: &mut Avx512,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut totals: [Avx512; N] = std::array::from_fn(|n| Avx512::load(row.bias.as_ptr().add(channel + n * LANES)));
        for (term, sums) in row.terms.iter().zip(sums) {
            let sums = sums.0.as_ptr().cast::<i32>().add(pixel * CHANNELS);
            for (n, total) in totals.iter_mut().enumerate() {
                let scale = Avx512::load(term.scale.as_ptr().add(channel + n * LANES));
                *total = Dot512::load(sums.add(n * LANES)).floats().mul_add(scale, *total);
            }
        }
        let mut squares = [*square];
        row.output.block([totals], from + pixel, channel, &mut squares);
        *square = squares[0];
    }
}

macro_rules! tiles {
    ($(#[$doc:meta])* $name:ident, $start:literal, $load:literal, $multiply:literal, $store:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// A [`Configuration`] is loaded; taps, weights, 32 values of `start` and the sums are valid.
        #[inline(always)]
        unsafe fn $name(source: *const u8, x: usize, taps: &[Tap], weights: *const u8, start: *const i32, sums: *mut i32) {
            let ends = taps.as_ptr_range();
            // SAFETY: the caller's. Without taps the loop is left at once.
            unsafe {
                asm!(
                    "tileloadd tmm0, [{lower} + {depth}*1]",
                    "tileloadd tmm1, [{lower} + {depth}*1 + 64]",
                    $start,
                    "cmp {tap}, {end}",
                    "jae 4f",
                    "2:",
                    "mov {step}, [{tap} + {tap_step}]",
                    "mov {codes}, {step}",
                    "mov {lower}, {step}",
                    "imul {codes}, {x}",
                    "shl {lower}, 4",
                    "add {codes}, [{tap} + {tap_start}]",
                    "add {codes}, {source}",
                    "add {lower}, {codes}",
                    "mov {depth}, [{tap} + {tap_depth}]",
                    "3:",
                    "tileloadd tmm4, [{codes} + {step}*1]",
                    "tileloadd tmm6, [{weights} + {pitch}*1]",
                    "tileloadd tmm7, [{weights} + {pitch}*1 + 64]",
                    $load,
                    "tdpbusd tmm0, tmm4, tmm6",
                    "tdpbusd tmm1, tmm4, tmm7",
                    $multiply,
                    "add {codes}, 64",
                    "add {lower}, 64",
                    "add {weights}, 2048",
                    "sub {depth}, 64",
                    "jnz 3b",
                    "add {tap}, {tap_size}",
                    "cmp {tap}, {end}",
                    "jb 2b",
                    "4:",
                    "tilestored [{sums} + {pitch}*1], tmm0",
                    "tilestored [{sums} + {pitch}*1 + 64], tmm1",
                    $store,
                    tap = inout(reg) ends.start => _,
                    end = in(reg) ends.end,
                    source = in(reg) source,
                    x = in(reg) x,
                    weights = inout(reg) weights => _,
                    pitch = in(reg) 128usize,
                    sums = in(reg) sums,
                    step = out(reg) _,
                    codes = out(reg) _,
                    // First the sums' start, whose rows are all the same one.
                    lower = inout(reg) start => _,
                    depth = inout(reg) 0usize => _,
                    tap_start = const offset_of!(Tap, start),
                    tap_step = const offset_of!(Tap, step),
                    tap_depth = const offset_of!(Tap, depth),
                    tap_size = const size_of::<Tap>(),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack)
                );
            }
        }
    };
}

tiles!(
    /// 32 pixels from `x` on by 32 channels.
    two_by_two,
    "tileloadd tmm2, [{lower} + {depth}*1]\n tileloadd tmm3, [{lower} + {depth}*1 + 64]",
    "tileloadd tmm5, [{lower} + {step}*1]",
    "tdpbusd tmm2, tmm5, tmm6\n tdpbusd tmm3, tmm5, tmm7",
    "tilestored [{sums} + {pitch}*1 + 2048], tmm2\n tilestored [{sums} + {pitch}*1 + 2112], tmm3"
);
tiles!(
    /// At most 16 pixels from `x` on by 32 channels.
    one_by_two, "", "", "", ""
);

/// See [`super::Isa::dot_products`].
///
/// # Safety
/// [`is_granted`].
pub(super) unsafe fn products(steps: usize) -> u64 {
    let configuration = Configuration::new(ROWS);
    let loops = steps.div_ceil(64).max(1);
    // SAFETY: the caller's; no memory but the configuration is touched.
    unsafe {
        asm!(
            "ldtilecfg [{configuration}]",
            "2:",
            "tdpbusd tmm0, tmm4, tmm6",
            "tdpbusd tmm1, tmm4, tmm7",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbusd tmm3, tmm5, tmm7",
            "dec {loops}",
            "jnz 2b",
            "tilerelease",
            configuration = in(reg) &configuration,
            loops = inout(reg) loops => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, readonly)
        );
    }
    (loops * 4 * ROWS * LANES * 64) as u64
}
