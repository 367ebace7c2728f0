//! Training of MuDeNet on images of good parts, and the freezer that writes the bundle.
// The one exception is in `device`.
#![deny(unsafe_code)]

pub mod ablate;
pub mod assumptions;
pub mod backbone;
pub mod checkpoint;
pub mod data;
pub mod device;
pub mod distill;
pub mod first_stage;
pub mod freeze;
pub mod layout;
pub mod memory;
pub mod model;
pub mod plot;
pub mod pth;
pub mod quantize;
pub mod random;
pub mod synth;
pub mod train;
