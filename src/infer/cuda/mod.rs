//! Networks on tract's CUDA runtime.

#[cfg(feature = "cuda")]
mod session;
#[cfg(any(test, feature = "cuda"))]
mod simplify;

use super::InferError;
#[cfg(feature = "cuda")]
pub(super) use session::Session;

/// Whether there is a device that networks can be computed on.
///
/// # Errors
/// [`InferError::Device`] where this program was built without the feature `cuda`, or where driver, libraries or device are
/// missing.
pub fn check_cuda() -> Result<(), InferError> {
    #[cfg(feature = "cuda")]
    return session::check();
    #[cfg(not(feature = "cuda"))]
    Err(InferError::Device("this program was built without the feature cuda".into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops where it fails")]
mod tests;
