//! Maps of f32 and of codes, read alike.

use super::vector::Vector;

/// The start of a map that is read.
pub(super) trait Source: Copy {
    /// Whether what is read next is worth asking for ahead.
    const FAR: bool;

    /// What starts `at` values on.
    ///
    /// # Safety
    /// That lies in the map or ends it.
    unsafe fn from(self, at: usize) -> Self;

    /// # Safety
    /// As for [`Vector`].
    unsafe fn load<V: Vector>(self, at: usize) -> V;

    /// Asks for the cache line `at` values on, which need not be in the map.
    ///
    /// # Safety
    /// As for [`Vector`].
    unsafe fn prefetch<V: Vector>(self, at: usize);
}

impl Source for *const f32 {
    const FAR: bool = true;

    #[inline(always)]
    unsafe fn from(self, at: usize) -> Self {
        // SAFETY: the caller's.
        unsafe { self.add(at) }
    }

    #[inline(always)]
    unsafe fn load<V: Vector>(self, at: usize) -> V {
        // SAFETY: the caller's.
        unsafe { V::load(self.add(at)) }
    }

    #[inline(always)]
    unsafe fn prefetch<V: Vector>(self, at: usize) {
        // SAFETY: the caller's.
        unsafe { V::prefetch(self.wrapping_add(at)) }
    }
}

impl Source for *const u8 {
    const FAR: bool = false;

    #[inline(always)]
    unsafe fn from(self, at: usize) -> Self {
        // SAFETY: the caller's.
        unsafe { self.add(at) }
    }

    #[inline(always)]
    unsafe fn load<V: Vector>(self, at: usize) -> V {
        // SAFETY: the caller's.
        unsafe { V::load_codes(self.add(at)) }
    }

    #[inline(always)]
    unsafe fn prefetch<V: Vector>(self, _at: usize) {}
}
