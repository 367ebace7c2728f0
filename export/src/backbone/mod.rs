//! Frozen ImageNet backbones and the target features that a teacher is distilled from.

mod cache;
mod principal;
mod resnet50v2;
mod target;
mod wide_resnet50;

use crate::first_stage::FirstStage;
pub use cache::TargetCache;
pub(crate) use principal::Moments;
pub use principal::Principal;
pub use resnet50v2::ResNet50V2;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
pub use target::{TargetExtractor, TargetKind, ZScore, sample_channels};
use tch::{Device, Kind, Tensor};
pub use wide_resnet50::WideResNet50;

/// A backbone that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackboneError {
    /// Not readable as safetensors.
    #[error("{}: cannot be read as safetensors: {reason}", path.display())]
    Read {
        /// The weights file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// Not readable as a PyTorch state dict.
    #[error(transparent)]
    Pth(#[from] crate::pth::PthError),
    /// A tensor that every backbone of this kind has is not there, or of another shape.
    #[error("{}: {reason}, so it is not {kind}", path.display())]
    Layout {
        /// The weights file.
        path: PathBuf,
        /// The tensor, expected and got.
        reason: String,
        /// What it was taken for.
        kind: &'static str,
    },
    /// The features have no principal components.
    #[error("the backbone's features have no principal components: {0}")]
    Principal(String),
}

/// A frozen network whose first three stages give 256, 512 and 1024 channels at a quarter, an eighth and a sixteenth of
/// the image's size.
#[derive(Debug)]
pub enum Backbone {
    /// ResNet-50 v2 in Gluon names.
    ResNet50V2(ResNet50V2),
    /// WideResNet50-2 or ResNet-50 in torchvision names.
    WideResNet50(WideResNet50),
}

impl Backbone {
    /// Reads weights from safetensors, or from a `.pth` or `.pt` state dict; which network it is follows from the tensors'
    /// names.
    ///
    /// # Errors
    /// [`BackboneError`], naming the file and the tensor.
    pub fn load(path: &Path, device: Device) -> Result<Self, BackboneError> {
        let extension = path.extension().unwrap_or_default();
        let named = if extension == "pth" || extension == "pt" {
            crate::pth::read(path)?
        } else {
            let fail = |reason: String| BackboneError::Read { path: path.to_owned(), reason };
            Tensor::read_safetensors(path).map_err(|e| fail(e.to_string()))?
        };
        let tensors: HashMap<_, _> = named.into_iter().map(|(name, tensor)| (name, tensor.to_device(device))).collect();
        if WideResNet50::recognises(&tensors) {
            WideResNet50::new(path, tensors).map(Backbone::WideResNet50)
        } else {
            ResNet50V2::new(path, tensors).map(Backbone::ResNet50V2)
        }
    }

    /// The network's name.
    pub fn name(&self) -> &'static str {
        match self {
            Backbone::ResNet50V2(_) => "ResNet-50 v2",
            Backbone::WideResNet50(net) => net.name(),
        }
    }

    /// Computes its features with convolutions of this kind from now on; features are f32 whatever it is.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        let (Backbone::ResNet50V2(ResNet50V2 { tensors }) | Backbone::WideResNet50(WideResNet50 { tensors })) =
            &mut self;
        for tensor in tensors.values_mut().filter(|tensor| tensor.dim() == 4) {
            *tensor = crate::train::channels_last(&tensor.to_kind(kind));
        }
        self
    }

    /// The layers of its first stage, whose output is the first of [`Backbone::features`].
    pub fn first_stage(&self) -> FirstStage {
        match self {
            Backbone::ResNet50V2(net) => net.first_stage(),
            Backbone::WideResNet50(net) => net.first_stage(),
        }
    }

    /// Standardised image (B, 3, H, W) → (B, 256, H/4, W/4), (B, 512, H/8, W/8), (B, 1024, H/16, W/16).
    pub fn features(&self, image: &Tensor) -> [Tensor; 3] {
        let image = crate::train::channels_last(image);
        let features = match self {
            Backbone::ResNet50V2(net) => net.features(&image),
            Backbone::WideResNet50(net) => net.features(&image),
        };
        features.map(|feature| feature.to_kind(Kind::Float))
    }
}

/// A tensor that is missing or of another shape is an error.
fn check_layout(
    path: &Path,
    tensors: &HashMap<String, Tensor>,
    expected: &[(String, Vec<i64>)],
    kind: &'static str,
) -> Result<(), BackboneError> {
    let layout = |reason| BackboneError::Layout { path: path.to_owned(), reason, kind };
    for (name, shape) in expected {
        match tensors.get(name) {
            Some(tensor) if tensor.size() == *shape => {}
            Some(tensor) => return Err(layout(format!("{name} is {:?}, expected {shape:?}", tensor.size()))),
            None => return Err(layout(format!("{name} is missing"))),
        }
    }
    Ok(())
}
