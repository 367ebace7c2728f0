//! Where networks are computed.

use std::sync::OnceLock;

/// What computes the networks of every model that is loaded as the environment says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
}

static INSTALLED: OnceLock<Device> = OnceLock::new();

impl Device {
    /// Makes this the device of every [`super::TractScorer`] that is made as the environment says, from now on. The first one
    /// stays.
    pub fn install(self) {
        INSTALLED.get_or_init(|| self);
    }

    pub(super) fn installed() -> Self {
        INSTALLED.get().copied().unwrap_or_default()
    }
}
