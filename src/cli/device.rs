//! `--device`.

use anyhow::{Result, bail};
use mudenet_edge::infer::{Device, check_cuda};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Environment variable of NVIDIA's libraries: 0 keeps products of f32 from being rounded to 10 bits.
const TF32_VARIABLE: &str = "NVIDIA_TF32_OVERRIDE";

/// Where networks are computed.
#[derive(clap::Args)]
pub(super) struct DeviceArg {
    /// Compute the networks on this device; cuda is the first NVIDIA GPU, for programs built with the feature cuda
    #[arg(long, value_enum, default_value = "cpu")]
    device: Name,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Name {
    Cpu,
    Cuda,
}

impl DeviceArg {
    /// Has every model that is loaded from now on computed there.
    ///
    /// # Errors
    /// Where there is no such device.
    pub(super) fn install(&self) -> Result<()> {
        if self.device == Name::Cpu {
            return Ok(());
        }
        check_cuda()?;
        if std::env::var_os(TF32_VARIABLE).is_none() {
            // The libraries read it when they are loaded. Nothing was opened yet.
            let error = Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).env(TF32_VARIABLE, "0").exec();
            bail!("{TF32_VARIABLE}=0 cannot be set for --device cuda: {error}");
        }
        Device::Cuda.install();
        Ok(())
    }
}
