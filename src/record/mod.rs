//! [`Inspection`](crate::inspector::Inspection) → files: JSON lines, 32-bit maps, pictures for people.
//!
//! Every file is written under a temporary name beside its own and renamed once complete.

mod canvas;
mod contour;
mod file;
mod heat;
mod line;
mod map_file;
mod overlay;
mod sheet;

pub use file::{RecordError, write_file, write_png};
pub use line::{Line, verdict_word};
pub use map_file::write_map;
pub use overlay::overlay;
pub use sheet::{Tile, contact_sheet};
