//! The path of a camera frame through an inspection box.
//!
//! | stage | in → out |
//! |---|---|
//! | [`capture`] | trigger → [`capture::Frame`] |
//! | [`preprocess`] | `Frame` → [`preprocess::ModelInput`] (1,3,H,W) |
//! | [`infer`] | `ModelInput` → [`infer::LevelScores`] |
//! | [`map`] | `LevelScores` → [`map::AnomalyMap`] and [`map::ImageScore`] |
//! | [`decide`] | `ImageScore` → [`decide::Verdict`] |
//! | [`signal`] | `Verdict` → lines, bytes |
//! | [`record`] | [`inspector::Inspection`] → files |
//!
//! [`bundle`] is the model file that all of them are set up from; [`inspector`] joins the pure stages; [`golden`] tries them
//! on known parts. [`config`] and [`recipe`] are what a site sets; [`run`] is the loop on a line. `page` and `plant`, behind
//! cargo features, show the running line to people and to the plant's network.
//! [`sentence`] words errors. [`limits`] says how much memory an input may take.
//!
//! Invariants:
//! * A part is rejected unless it was proven good: whatever fails on the path ends in [`decide::Verdict::Fault`].
//! * Each formula has one home: export, evaluation and the demo call the stages of this crate.
//! * Only [`run`] reads a clock (clippy's `disallowed_methods` holds that).
#![deny(unsafe_code)]

pub mod bundle;
pub mod capture;
pub mod config;
pub mod decide;
pub mod golden;
pub mod guard;
pub mod infer;
pub mod inspector;
pub mod limits;
pub mod map;
pub mod metric;
#[cfg(feature = "page")]
pub mod page;
#[cfg(any(feature = "metrics", feature = "modbus", feature = "mqtt", feature = "webhook"))]
pub mod plant;
pub mod preprocess;
pub mod recipe;
pub mod record;
pub mod run;
pub mod sentence;
pub mod signal;
pub mod threads;
#[cfg(feature = "update")]
pub mod update;
