//! Boards: which gpiochip line is behind which pin of the header, and where the system keeps what `doctor` looks at.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A board, as `board/profiles/NAME.toml` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What people call it.
    pub name: String,
    /// Where the pin numbers come from.
    pub source: String,
    /// What to know before the pins are used: voltage, drive strength, settings of the system.
    pub notes: Vec<String>,
    /// Serial ports on the header.
    pub uart: Vec<String>,
    /// Temperature files, thousandths of a degree Celsius.
    pub thermal: Vec<String>,
    /// Files that hold the frequency governor of the processor.
    pub governor: Vec<String>,
    /// Temperature from which on the board slows down, degree Celsius.
    pub throttles_at: u8,
    /// Pins of the header that are GPIO lines; a number that does not appear is power, ground or in other use.
    #[serde(default, deserialize_with = "pins")]
    pub pins: BTreeMap<u16, ProfilePin>,
}

/// A pin of a board's header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfilePin {
    /// The chip's label as `gpiodetect` prints it, or its device path.
    pub chip: String,
    /// Offset of the line.
    pub line: u32,
}

/// The boards that come with the program: name of the file, text.
pub const PROFILES: [(&str, &str); 6] = [
    ("jetson-orin", include_str!("../../board/profiles/jetson-orin.toml")),
    ("jetson-xavier-nx", include_str!("../../board/profiles/jetson-xavier-nx.toml")),
    ("raspberry-pi-4", include_str!("../../board/profiles/raspberry-pi-4.toml")),
    ("raspberry-pi-5", include_str!("../../board/profiles/raspberry-pi-5.toml")),
    ("rock-5b", include_str!("../../board/profiles/rock-5b.toml")),
    ("x86-pc", include_str!("../../board/profiles/x86-pc.toml")),
];

impl Profile {
    /// The board of that name.
    ///
    /// # Errors
    /// One sentence that names the boards there are.
    pub fn named(name: &str) -> Result<Self, String> {
        let Some((_, text)) = PROFILES.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
            return Err(format!("expected one of {}, got {name:?}", names.join(", ")));
        };
        toml::from_str(text).map_err(|error| format!("the built-in profile {name}: {}", error.message()))
    }
}

fn pins<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u16, ProfilePin>, D::Error> {
    let by_name = BTreeMap::<String, ProfilePin>::deserialize(deserializer)?;
    let number = |(name, pin): (String, ProfilePin)| {
        let number = name.parse().map_err(|_| serde::de::Error::custom(format!("pin {name:?} is not a number")))?;
        Ok((number, pin))
    };
    by_name.into_iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_profile_is_complete_and_has_no_line_twice() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/board/profiles");
        let files = std::fs::read_dir(folder).unwrap().filter(|file| {
            file.as_ref().is_ok_and(|file| file.path().extension().is_some_and(|extension| extension == "toml"))
        });
        assert_eq!(files.count(), PROFILES.len(), "a file that the program does not know");
        for (name, text) in PROFILES {
            let profile = Profile::named(name).unwrap();
            assert_eq!(profile, toml::from_str(text).unwrap());
            let lines: HashSet<_> = profile.pins.values().map(|pin| (&pin.chip, pin.line)).collect();
            assert_eq!(lines.len(), profile.pins.len(), "{name}: a line on two pins");
            assert!(profile.pins.keys().all(|pin| (1..=40).contains(pin)), "{name}");
            let page = std::fs::read_to_string(format!("{folder}/{name}.md")).unwrap();
            // What the page's table says is what the program drives.
            let rows = page.lines().filter_map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                let [_, _, pin, chip, line, ..] = cells.as_slice() else { return None };
                Some((pin.parse().ok()?, ProfilePin { chip: (*chip).to_owned(), line: line.parse().ok()? }))
            });
            for (pin, wire) in rows {
                assert_eq!(profile.pins.get(&pin), Some(&wire), "{name}.md: pin {pin}");
            }
            assert!((60..=110).contains(&profile.throttles_at) && !profile.source.is_empty(), "{name}");
        }
    }

    #[test]
    fn an_unknown_board_names_those_there_are() {
        let error = Profile::named("pi").unwrap_err();
        assert!(error.contains("raspberry-pi-5") && error.contains("\"pi\""), "{error}");
    }
}
