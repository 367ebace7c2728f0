//! What computes networks.

use super::device::Device;
use super::{InferError, Isa};

/// Environment variable that names the instruction set to use, by a name that [`Isa::named`] takes.
pub const ISA_VARIABLE: &str = "MUDENET_ISA";
/// Environment variable that turns this project's operators off: `plain`.
pub const ENGINE_VARIABLE: &str = "MUDENET_ENGINE";

/// What computes a bundle's networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// tract, with this project's operators in place of what they can compute.
    Fused(Isa),
    /// tract alone.
    Plain,
    /// tract's CUDA runtime, on the first device; this project's operators have no part in it.
    Cuda,
}

impl Engine {
    /// The fastest engine on the installed [`Device`], unless [`ENGINE_VARIABLE`] or [`ISA_VARIABLE`] ask for another one of the
    /// processor's.
    ///
    /// # Errors
    /// [`InferError::Load`] where a variable holds something unknown or this processor lacks the instruction set.
    pub fn from_environment() -> Result<Self, InferError> {
        if Device::installed() == Device::Cuda {
            return Ok(Self::Cuda);
        }
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match variable(ENGINE_VARIABLE).as_deref() {
            Some("plain") => return Ok(Self::Plain),
            None | Some("fused") => {}
            Some(other) => {
                let reason = format!("{ENGINE_VARIABLE}: expected fused or plain, got {other:?}");
                return Err(InferError::Load(reason));
            }
        }
        let isa = variable(ISA_VARIABLE).map(|name| Isa::named(&name));
        let isa = isa.transpose().map_err(|reason| InferError::Load(format!("{ISA_VARIABLE}: {reason}")))?;
        Ok(Self::Fused(isa.unwrap_or_else(Isa::best)))
    }
}

impl std::fmt::Display for Engine {
    /// `fused, avx512`, `plain tract` or `tract on CUDA`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fused(isa) => write!(f, "fused, {}", isa.name()),
            Self::Plain => f.write_str("plain tract"),
            Self::Cuda => f.write_str("tract on CUDA"),
        }
    }
}
