//! What is trained: the default and every alternative, each as options of the program's own commands.

use crate::assumptions::{Question, Stage, questions};

/// One choice to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The assumption; empty for the default.
    pub key: String,
    /// The choice, `default` for the default.
    pub choice: String,
    /// Options of `distill`.
    pub distill: Vec<String>,
    /// Options of `train`.
    pub train: Vec<String>,
    /// Options of `freeze`.
    pub freeze: Vec<String>,
}

impl Trial {
    /// A name for files: lower-case letters, digits and dashes.
    pub fn name(&self) -> String {
        slug([self.key.clone(), self.choice.clone()].iter())
    }

    /// The folder of its teacher; trials with the same teacher share it.
    pub fn teacher(&self) -> String {
        slug(["teacher".to_owned()].iter().chain(&self.distill))
    }

    /// The folder of its networks, likewise.
    pub fn model(&self) -> String {
        slug(["model".to_owned()].iter().chain(&self.distill).chain(&self.train))
    }
}

fn slug<'a>(parts: impl Iterator<Item = &'a String>) -> String {
    let text = parts.map(|part| part.trim_matches('-')).collect::<Vec<_>>().join("-").to_lowercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    text.chars().map(plain).collect::<String>().trim_matches('-').to_owned()
}

/// The default, and every alternative of the assumptions in `keys`; `target` is what all teachers are distilled to.
///
/// # Errors
/// A sentence where an assumption is unknown, has nothing to measure, is named twice or contradicts `target`.
pub fn trials(keys: &[String], target: &str) -> Result<Vec<Trial>, String> {
    let known = questions();
    let none = |key: &str, choice: &str| Trial {
        key: key.into(),
        choice: choice.into(),
        distill: vec![],
        train: vec![],
        freeze: vec![],
    };
    let mut trials = vec![none("", "default")];
    for (i, key) in keys.iter().enumerate() {
        let Some(question) = known.iter().find(|question| question.key == key) else {
            let names: Vec<&str> = known.iter().map(|question| question.key).collect();
            return Err(format!(
                "{key}: has no alternatives that can be measured; expected one of {}",
                names.join(", ")
            ));
        };
        if keys[..i].contains(key) {
            return Err(format!("{key}: is given twice"));
        }
        if key == "A-011" && target != "sample" {
            return Err("A-011: sampled channels are what is z-scored: give --target sample".into());
        }
        let default = if key == "A-025" { target } else { question.values.first().map_or("", String::as_str) };
        for choice in question.values.iter().filter(|choice| *choice != default) {
            let mut trial = none(key, choice);
            apply(question, choice, &mut trial);
            trials.push(trial);
        }
    }
    Ok(trials)
}

fn apply(question: &Question, choice: &str, trial: &mut Trial) {
    let flag = format!("--{}", question.option);
    match question.option {
        "border" => {
            if !choice.contains("mirror") {
                trial.distill.push("--no-mirror".into());
            }
            if !choice.contains("margin") {
                trial.freeze.extend(["--margin".into(), "0".into()]);
            }
        }
        "clamp" => trial.freeze.push(flag),
        _ => {
            let options = match question.stage {
                Stage::Distill => &mut trial.distill,
                Stage::Train => &mut trial.train,
                Stage::Freeze => &mut trial.freeze,
            };
            options.extend([flag, choice.into()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn alternatives_change_one_command_and_share_what_comes_before() {
        let trials = trials(&keys(&["A-003", "A-014", "A-016", "A-017"]), "principal").unwrap();
        let choices: Vec<String> = trials.iter().map(Trial::name).collect();
        let expected = "default a-003-pre a-003-plain a-003-no-final-relu a-014-flow a-016-0 a-016-2 a-016-6 a-016-8 \
                        a-017-mirror a-017-margin a-017-none";
        assert_eq!(choices.join(" "), expected);
        let named = |name: &str| trials.iter().find(|trial| trial.name() == name).unwrap();
        let (default, flow, sigma) = (named("default"), named("a-014-flow"), named("a-016-2"));
        assert_eq!((flow.teacher(), flow.model().as_str()), (default.teacher(), "model-logical-gradient-flow"));
        assert_eq!((sigma.teacher(), sigma.model()), (default.teacher(), default.model()));
        assert_eq!(named("a-003-pre").teacher(), "teacher-block-pre");
        assert_eq!(named("a-017-none").distill, ["--no-mirror"]);
        assert_eq!(named("a-017-none").freeze, ["--margin", "0"]);
    }

    #[test]
    fn what_cannot_be_measured_is_refused_with_the_reason() {
        let said = |names: &[&str]| trials(&keys(names), "principal").unwrap_err();
        assert!(said(&["A-001"]).contains("A-001: has no alternatives"));
        assert!(said(&["A-003", "A-003"]).contains("twice"));
        assert!(said(&["A-011"]).contains("--target sample"));
        assert_eq!(trials(&keys(&["A-011"]), "sample").unwrap().len(), 2);
    }
}
