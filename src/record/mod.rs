//! [`Inspection`](crate::inspector::Inspection) → files: JSON lines, 32-bit maps, pictures for people.
//!
//! [`journal`] keeps the record of a running box, [`audit`] that of changes to its settings. Every other file is written under a temporary name beside its own and
//! renamed once complete.

pub mod audit;
mod canvas;
mod contour;
mod file;
mod heat;
pub mod journal;
mod line;
mod map_file;
mod overlay;
mod sheet;

pub use file::{RecordError, write_file, write_png};
pub use line::{Line, branch_word, driven_by, verdict_word};
pub use map_file::write_map;
pub use overlay::{heat_picture, overlay};
pub use sheet::{Tile, contact_sheet};
