//! Aligned memory.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A cache line: aligned vectors never straddle two.
const LINE: usize = 64;
/// A huge page, of which the largest buffers are made where the system grants them.
const HUGE_PAGE: usize = 2 << 20;

/// Values that start on a cache line.
pub(in super::super) struct Buffer {
    /// `layout(length)` allocated; dangling where that is empty.
    values: NonNull<f32>,
    length: usize,
}

// SAFETY: the buffer owns its values.
unsafe impl Send for Buffer {}
// SAFETY: shared access only reads.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `length` zeros.
    pub(in super::super) fn zeroed(length: usize) -> Self {
        let layout = layout(length);
        if layout.size() == 0 {
            return Self { values: NonNull::dangling(), length };
        }
        // SAFETY: the size is not 0.
        let start = unsafe { alloc(layout) };
        let Some(values) = NonNull::new(start.cast::<f32>()) else { handle_alloc_error(layout) };
        ask_for_huge_pages(start, layout);
        // SAFETY: `length` values were allocated; all bits zero are 0.0.
        unsafe { values.write_bytes(0, length) };
        Self { values, length }
    }

    /// Makes the buffer at least `length` values long; what it held is lost where it grows.
    pub(in super::super) fn reserve(&mut self, length: usize) {
        if self.length < length {
            *self = Self::zeroed(length);
        }
    }
}

fn layout(length: usize) -> Layout {
    let size = length * size_of::<f32>();
    let align = if size >= 2 * HUGE_PAGE { HUGE_PAGE } else { LINE };
    // A length for which this fails is one that no memory holds.
    Layout::from_size_align(size, align).unwrap_or_else(|_| handle_alloc_error(Layout::new::<f32>()))
}

#[cfg(target_os = "linux")]
fn ask_for_huge_pages(start: *mut u8, layout: Layout) {
    if layout.align() == HUGE_PAGE {
        // SAFETY: the range was just allocated and starts on a page; the advice changes no contents. Where the system
        // refuses, ordinary pages serve.
        unsafe { libc::madvise(start.cast(), layout.size(), libc::MADV_HUGEPAGE) };
    }
}

/// Gives memory that was freed back to the system, which the allocator may have kept.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(in super::super) fn give_back_freed() {
    // SAFETY: only memory that nobody holds is given back.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(in super::super) fn give_back_freed() {}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_start: *mut u8, _layout: Layout) {}

impl Drop for Buffer {
    fn drop(&mut self) {
        let layout = layout(self.length);
        if layout.size() > 0 {
            // SAFETY: allocated by `zeroed` with this layout.
            unsafe { dealloc(self.values.as_ptr().cast(), layout) };
        }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl From<&[f32]> for Buffer {
    fn from(values: &[f32]) -> Self {
        let mut buffer = Self::zeroed(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `length` values are allocated and were written.
        unsafe { std::slice::from_raw_parts(self.values.as_ptr(), self.length) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; the buffer is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.values.as_ptr(), self.length) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({})", self.length)
    }
}

/// The bytes of `words`.
pub(in super::super) fn bytes(words: &[f32]) -> &[u8] {
    // SAFETY: the same memory; bytes have no alignment and no invalid values.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

/// The bytes of `words`, to be written.
pub(in super::super) fn bytes_mut(words: &mut [f32]) -> &mut [u8] {
    // SAFETY: as in `bytes`, and every pattern of bits is an f32; borrowed mutably.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}
