//! Training of MuDeNet on images of good parts, and the freezer that writes the bundle.
#![forbid(unsafe_code)]

pub mod cli;
pub mod synth;
