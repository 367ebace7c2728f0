//! Input and output lines, and that each is used once.

use super::Findings;
use crate::config::{Profile, Pull, Wire, raw};
use crate::run::station::InputLine;
use crate::signal::OutputLine;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn output_key(line: OutputLine) -> String {
    format!("outputs.{}", kebab(&format!("{line:?}")))
}

/// `RecipeAck` → `recipe-ack`.
fn kebab(name: &str) -> String {
    let mut key = String::new();
    for (i, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && i > 0 {
            key.push('-');
        }
        key.extend(letter.to_lowercase());
    }
    key
}

pub(super) fn inputs(raw: &raw::Inputs, profile: Option<&Profile>, found: &mut Findings) -> BTreeMap<InputLine, Wire> {
    let single = [
        (InputLine::Trigger, "trigger", &raw.trigger),
        (InputLine::PartPresent, "part-present", &raw.part_present),
        (InputLine::Ack, "ack", &raw.ack),
        (InputLine::Reset, "reset", &raw.reset),
        (InputLine::RecipeStrobe, "recipe-strobe", &raw.recipe_strobe),
        (InputLine::Encoder, "encoder", &raw.encoder),
        (InputLine::EncoderB, "encoder-b", &raw.encoder_b),
        (InputLine::RejectConfirm, "reject-confirm", &raw.reject_confirm),
        (InputLine::BinFull, "bin-full", &raw.bin_full),
    ];
    let bits = raw.recipe_bits.iter().zip(0u8..).map(|(pin, bit)| (InputLine::RecipeBit(bit), "recipe-bits", pin));
    let named = single.iter().filter_map(|(line, key, pin)| Some((*line, *key, pin.as_ref()?)));
    found.rule(raw.recipe_bits.len() <= 16, "inputs.recipe-bits", || {
        format!("at most 16 lines number a recipe, got {}", raw.recipe_bits.len())
    });
    let mut wires = BTreeMap::new();
    for (line, key, pin) in named.chain(bits) {
        let key = format!("inputs.{key}");
        if let Some(mut wire) = wire(&key, pin, profile, found) {
            let counts = matches!(line, InputLine::Encoder | InputLine::EncoderB);
            let debounce = pin.debounce_us.unwrap_or(if counts { 0 } else { 1000 });
            found.range(&format!("{key}.debounce_us"), debounce, 0..=5000);
            wire.debounce = Duration::from_micros(debounce.into());
            wires.insert(line, wire);
        }
    }
    wires
}

pub(super) fn wire(key: &str, pin: &raw::Pin, profile: Option<&Profile>, found: &mut Findings) -> Option<Wire> {
    let (chip, line) = match (pin.pin, &pin.chip, pin.line, profile) {
        (Some(number), None, None, Some(profile)) => match profile.pins.get(&number) {
            Some(pin) => (pin.chip.clone(), pin.line),
            None => {
                found.broken.push(format!("{key}.pin: pin {number} of the {} is not a GPIO line", profile.name));
                return None;
            }
        },
        (None, Some(chip), Some(line), _) => (chip.clone(), line),
        (Some(_), None, None, None) => {
            found.broken.push(format!("{key}.pin: a header pin needs box.profile"));
            return None;
        }
        _ => {
            found.broken.push(format!("{key}: needs either pin, or chip and line"));
            return None;
        }
    };
    let bias = pin.bias.map(|bias| match bias {
        raw::Bias::PullUp => Pull::Up,
        raw::Bias::PullDown => Pull::Down,
        raw::Bias::Disabled => Pull::Disabled,
    });
    Some(Wire { chip, line, active_low: pin.active == raw::Active::Low, bias, debounce: Duration::ZERO })
}

pub(super) fn lines_once(
    inputs: &BTreeMap<InputLine, Wire>,
    outputs: &BTreeMap<OutputLine, Wire>,
    found: &mut Findings,
) {
    let mut owners: BTreeMap<(&str, u32), String> = BTreeMap::new();
    let input_key = |line: &InputLine| match line {
        InputLine::RecipeBit(_) => "inputs.recipe-bits".to_owned(),
        other => format!("inputs.{}", kebab(&format!("{other:?}"))),
    };
    let wires = inputs.iter().map(|(line, wire)| (input_key(line), wire));
    for (key, wire) in wires.chain(outputs.iter().map(|(line, wire)| (output_key(*line), wire))) {
        match owners.get(&(wire.chip.as_str(), wire.line)) {
            Some(owner) => {
                found.broken.push(format!("{key}: line {} of {} is already {owner}", wire.line, wire.chip));
            }
            None => {
                owners.insert((&wire.chip, wire.line), key);
            }
        }
    }
}
