//! Frozen ImageNet backbones and the target features that a teacher is distilled from.

mod resnet50v2;
mod target;

pub use resnet50v2::ResNet50V2;
pub use target::{TargetExtractor, sample_channels};
