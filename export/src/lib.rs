//! Training of MuDeNet on images of good parts, and the freezer that writes the bundle.
#![forbid(unsafe_code)]

pub mod backbone;
pub mod checkpoint;
pub mod data;
pub mod distill;
pub mod freeze;
pub mod model;
pub mod quantize;
pub mod random;
pub mod synth;
pub mod train;
