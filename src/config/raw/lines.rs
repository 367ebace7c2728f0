//! Input and output lines, by pin.

use serde::{Deserialize, Serialize};

/// Input lines.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct Inputs {
    /// A part is in front of the camera.
    pub(in crate::config) trigger: Option<Pin>,
    /// Where triggers come by themselves, parts are taken only while it is active.
    pub(in crate::config) part_present: Option<Pin>,
    /// The controller took the result.
    pub(in crate::config) ack: Option<Pin>,
    /// Leave the error state.
    pub(in crate::config) reset: Option<Pin>,
    /// The number on `recipe-bits` is to be used.
    pub(in crate::config) recipe_strobe: Option<Pin>,
    /// Number of the recipe, lowest bit first, at most 16 lines.
    #[serde(default)]
    pub(in crate::config) recipe_bits: Vec<Pin>,
    /// Counts of the belt's encoder.
    pub(in crate::config) encoder: Option<Pin>,
    /// Second channel of the encoder, a quarter of a period behind: the belt may run back.
    pub(in crate::config) encoder_b: Option<Pin>,
    /// A rejected part fell into the bin.
    pub(in crate::config) reject_confirm: Option<Pin>,
    /// The reject bin is full.
    pub(in crate::config) bin_full: Option<Pin>,
}

/// A line, by the board's header pin (`pin`) or by `chip` and `line`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Pin {
    /// Number of the header pin; needs `box.profile`.
    pub(in crate::config) pin: Option<u16>,
    /// Device path or label of the chip.
    pub(in crate::config) chip: Option<String>,
    /// Offset on the chip.
    pub(in crate::config) line: Option<u32>,
    /// Its active level.
    #[serde(default)]
    pub(in crate::config) active: Active,
    /// Pull resistor of the chip.
    pub(in crate::config) bias: Option<Bias>,
    /// The kernel's debounce, µs, 0–5000; inputs only. Without it 1000, and 0 for the encoder.
    pub(in crate::config) debounce_us: Option<u32>,
}

/// An active level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Active {
    #[default]
    High,
    Low,
}

/// A pull resistor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Bias {
    PullUp,
    PullDown,
    Disabled,
}

/// The names of the output lines, each with a pin: a map's own schema has no names.
#[cfg(feature = "cli")]
pub(super) fn outputs(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let lines = <crate::signal::OutputLine as schemars::JsonSchema>::json_schema(generator).to_value();
    let pin = generator.subschema_for::<Pin>().to_value();
    let keys = lines["oneOf"].as_array().into_iter().flatten().filter_map(|line| {
        let mut of = pin.clone();
        of["description"] = line["description"].clone();
        Some((line["const"].as_str()?.to_owned(), of))
    });
    let keys: serde_json::Map<String, serde_json::Value> = keys.collect();
    schemars::json_schema!({ "type": "object", "properties": keys, "additionalProperties": false })
}
