//! The sources of `src/infer/kernels` and `src/infer/engine` as they stand.
#![allow(dead_code, unused_imports)]

pub mod infer;
