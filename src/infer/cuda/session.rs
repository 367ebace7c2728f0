//! A network on the device, with the one thread that speaks to it.

use super::simplify::simplify;
use crate::guard::guarded;
use crate::infer::InferError;
use crate::infer::tract::Map;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tract_cuda::utils::ensure_cuda_runtime_dependencies;
use tract_gpu::fact::DeviceTypedFactExt;
use tract_gpu::sync::DeviceSync;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_core::runtime::{State, runtime_for_name};

/// A network made ready on the first device. The runtime keeps streams, handles and descriptors for each thread that uses it:
/// one thread of its own does, whichever calls.
pub(in crate::infer) struct Session {
    /// `None` only while it ends.
    frames: Option<SyncSender<Tensor>>,
    scores: Receiver<Result<Vec<Map>, InferError>>,
    /// What the device does not compute.
    pub on_host: Vec<String>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Session {
    /// Prepares a decluttered model.
    pub(in crate::infer) fn new(model: TypedModel) -> Result<Self, InferError> {
        let (frames, pending) = sync_channel::<Tensor>(0);
        let (done, scores) = sync_channel(0);
        let (ready, prepared) = sync_channel(1);
        let work = move || {
            let error = match guarded(|| prepare(model)) {
                Ok(Ok((state, on_host))) => {
                    if ready.send(Ok(on_host)).is_ok() {
                        serve(state, &pending, &done);
                    }
                    return;
                }
                Ok(Err(error)) => format!("{error:#}"),
                Err(panic) => panic.to_string(),
            };
            // Who asked waits for it.
            let _ = ready.send(Err(reason(&error)));
        };
        let thread = std::thread::Builder::new().name("cuda".into()).spawn(work);
        let thread = thread.map_err(|error| InferError::Device(format!("no thread: {error}")))?;
        let gone = |_| InferError::Device("the thread of the device ended".into());
        let on_host = prepared.recv().map_err(gone)??;
        Ok(Self { frames: Some(frames), scores, on_host, thread: Some(thread) })
    }

    /// The outputs for one image of (1, 3, rows, columns).
    pub(in crate::infer) fn run(&mut self, image: Tensor) -> Result<Vec<Map>, InferError> {
        let gone = || InferError::Run("the thread of the device ended".into());
        self.frames.as_ref().ok_or_else(gone)?.send(image).map_err(|_| gone())?;
        self.scores.recv().map_err(|_| gone())?
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.frames = None;
        if let Some(thread) = self.thread.take() {
            // Nothing is left to do where it panicked.
            let _ = thread.join();
        }
    }
}

/// Answers frames until nobody asks any more.
fn serve(mut state: Box<dyn State>, pending: &Receiver<Tensor>, done: &SyncSender<Result<Vec<Map>, InferError>>) {
    while let Ok(frame) = pending.recv() {
        let result = guarded(|| run(&mut *state, frame)).unwrap_or_else(|panic| Err(failed(&panic.to_string())));
        if done.send(result).is_err() {
            return;
        }
    }
}

/// Whether there is a device, a driver and libraries.
pub(super) fn check() -> Result<(), InferError> {
    let found = guarded(|| ensure_cuda_runtime_dependencies("CUDA"));
    found.map_err(|panic| reason(&panic.to_string()))?.map_err(|error| reason(&error.root_cause().to_string()))
}

fn prepare(mut model: TypedModel) -> TractResult<(Box<dyn State>, Vec<String>)> {
    let runtime = runtime_for_name("cuda")?.context("tract has no runtime for CUDA")?;
    simplify(&mut model)?;
    let runnable = runtime.prepare(model)?;
    let model = runnable.typed_model().context("a runnable without a model")?;
    let on_host = model.nodes().iter().filter(|node| is_on_host(node));
    let on_host =
        on_host.map(|node| format!("{}: {} is computed by the processor", node.name, node.op.name())).collect();
    Ok((runnable.spawn()?, on_host))
}

fn is_on_host(node: &TypedNode) -> bool {
    let moves = node.op_is::<DeviceSync>() || node.op_is::<Const>() || node.op_is::<TypedSource>();
    !moves && node.outputs.iter().any(|output| output.fact.as_device_fact().is_none())
}

fn run(state: &mut dyn State, frame: Tensor) -> Result<Vec<Map>, InferError> {
    let outputs = state.run(tvec![frame.into_tvalue()]).map_err(|error| failed(&format!("{error:#}")))?;
    // Read here: what is still on the device comes over this thread's stream.
    outputs.iter().map(Map::of).collect()
}

fn reason(text: &str) -> InferError {
    InferError::Device(without_backtrace(text))
}

fn failed(text: &str) -> InferError {
    InferError::Run(without_backtrace(text))
}

/// The runtime's panics hold whole errors, backtraces included.
fn without_backtrace(text: &str) -> String {
    text.split("Stack backtrace:").next().unwrap_or(text).trim().to_owned()
}
