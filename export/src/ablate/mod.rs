//! Ablation: the default against each alternative of an assumption, on equal budgets.

mod evaluate;
mod table;
mod trial;

pub use evaluate::{Outcome, evaluate};
pub use table::{Measurement, csv, markdown, picture};
pub use trial::{Trial, trials};
