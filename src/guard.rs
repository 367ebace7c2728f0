//! Panics of other people's code, kept from the line.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

/// Code panicked where it should have returned an error.
#[derive(Debug, thiserror::Error)]
#[error("an internal error: {0}")]
pub struct Panicked(String);

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, for decoders and networks that may panic on input nobody thought of.
///
/// # Errors
/// [`Panicked`] with the panic's message.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let outer = GUARDED.replace(true);
    // What a panic may leave half-changed is not looked at again: callers drop it or start anew with each frame.
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|payload| Panicked(message(&*payload)))
}

/// Stops panics inside of [`guarded`] from printing: they are reported as errors. For programs, once, at their start.
pub fn silence_guarded_panics() {
    let print = take_hook();
    set_hook(Box::new(move |info| {
        if !GUARDED.get() {
            print(info);
        }
    }));
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no reason given").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        let number = 7;
        assert_eq!(
            guarded(|| panic!("bad number {number}")).map(|()| 0).unwrap_err().to_string(),
            "an internal error: bad number 7"
        );
        assert!(guarded(|| guarded(|| panic!("inner")).is_err()).unwrap());
        assert_eq!(guarded(|| 3).unwrap(), 3);
    }
}
