//! Frozen ImageNet backbones and the target features that a teacher is distilled from.

mod principal;
mod resnet50v2;
mod target;

pub use resnet50v2::{BackboneError, ResNet50V2};
pub use target::{TargetExtractor, TargetKind, sample_channels};
