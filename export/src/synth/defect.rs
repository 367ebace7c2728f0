//! The defects, and how the ground truth names them.

use serde::Serialize;

/// What is wrong with a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// A line scored into a surface.
    Scratch,
    /// A shallow hollow without loss of material.
    Dent,
    /// Dirt: a smear, a fibre or grains.
    Contamination,
    /// A crack through a brittle part, from its edge inwards.
    Crack,
    /// A piece broken off a brittle part's edge.
    ChippedEdge,
    /// A part is not in its place.
    MissingPart,
    /// A part too many.
    ExtraPart,
    /// Two parts of different kinds lie in each other's places.
    SwappedParts,
    /// A part of the right shape in the wrong colour.
    WrongColour,
}

/// How the ground truth of one kind of defect is scored: an entry of `defects_config.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DefectEntry {
    /// The kind of defect.
    pub defect_name: &'static str,
    /// The non-zero value of its masks.
    pub pixel_value: u8,
    /// The area from which on more overlap scores no more.
    pub saturation_threshold: f64,
    /// Whether that area is a share of the mask instead of a number of pixels.
    pub relative_saturation: bool,
}

impl Defect {
    /// Damage to a surface or body.
    pub const STRUCTURAL: [Self; 5] = [Self::Scratch, Self::Dent, Self::Contamination, Self::Crack, Self::ChippedEdge];
    /// Violations of how the product is composed.
    pub const LOGICAL: [Self; 4] = [Self::MissingPart, Self::ExtraPart, Self::SwappedParts, Self::WrongColour];

    /// Every defect, logical ones first, in the order of their pixel values from 255 downwards.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::LOGICAL.into_iter().chain(Self::STRUCTURAL)
    }

    /// The entry of `defects_config.json`.
    pub fn entry(self) -> DefectEntry {
        let (defect_name, pixel_value) = match self {
            Self::MissingPart => ("missing_part", 255),
            Self::ExtraPart => ("extra_part", 254),
            Self::SwappedParts => ("swapped_parts", 253),
            Self::WrongColour => ("wrong_colour", 252),
            Self::Scratch => ("scratch", 251),
            Self::Dent => ("dent", 250),
            Self::Contamination => ("contamination", 249),
            Self::Crack => ("crack", 248),
            Self::ChippedEdge => ("chipped_edge", 247),
        };
        // Either of two swapped parts alone shows the swap.
        let saturation_threshold = if self == Self::SwappedParts { 0.5 } else { 1.0 };
        DefectEntry { defect_name, pixel_value, saturation_threshold, relative_saturation: true }
    }
}
