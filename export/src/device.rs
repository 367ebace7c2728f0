//! Where training computes. One program serves both kinds of machine: it is linked to libtorch's CPU library, and the CUDA
//! library is loaded when the program runs, if it is there.

use tch::{Cuda, Device};

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DeviceChoice {
    /// The GPU where it can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first GPU; an error where it cannot be used.
    Cuda,
}

/// A GPU that was asked for and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// libtorch's CUDA library is not there.
    #[error("--device cuda: libtorch's CUDA library cannot be loaded ({0}); `export/setup cuda` gets it")]
    NoLibrary(String),
    /// The library is there, the GPU or its driver is not.
    #[error("--device cuda: libtorch finds no GPU that it can use (is the NVIDIA driver installed?)")]
    NoGpu,
}

/// The device to use.
///
/// # Errors
/// [`DeviceError`] where a GPU was asked for by name.
pub fn pick(choice: DeviceChoice) -> Result<Device, DeviceError> {
    if choice == DeviceChoice::Cpu {
        return Ok(Device::Cpu);
    }
    let outcome = load_cuda()
        .map_err(DeviceError::NoLibrary)
        .and_then(|()| if Cuda::is_available() { Ok(Device::Cuda(0)) } else { Err(DeviceError::NoGpu) });
    match (choice, outcome) {
        (_, Ok(device)) => {
            tch::Cuda::cudnn_set_benchmark(true);
            Ok(device)
        }
        (DeviceChoice::Cuda, Err(error)) => Err(error),
        (_, Err(_)) => Ok(Device::Cpu),
    }
}

/// Loads `libtorch_cuda.so` from where libtorch is; it registers itself with the CPU library, and stays loaded.
fn load_cuda() -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: loading runs the library's initialisers. It is a part of the very libtorch that this program is linked to,
    // found by the same search path, its initialisers only register kernels, and no libtorch function has asked for CUDA
    // before. Nothing is looked up in it, and it is never unloaded.
    #[allow(unsafe_code)]
    let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
    library.map(std::mem::forget).map_err(|e| e.to_string())
}

/// The device as it is told to a user.
pub fn describe(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("GPU {index}"),
        _ => format!("the CPU, {} threads", tch::get_num_threads()),
    }
}
