//! The choice made for each assumption of ASSUMPTIONS.md that a trained run can differ in.

use crate::checkpoint::ModelRun;
use crate::model::choice_name;
use clap::ValueEnum;
use std::collections::BTreeMap;

/// The choices of a run by assumption, named as on the command line. The freezer adds its own.
pub fn choices(run: &ModelRun) -> BTreeMap<String, String> {
    let layers = &run.architecture.choices;
    let teacher = &run.teacher;
    let mirror = if teacher.mirror { "reflect-padded distillation" } else { "zero-padded distillation" };
    let named = [
        ("A-002", "pool", choice_name(&layers.pool)),
        ("A-003", "block", choice_name(&layers.block)),
        ("A-004", "projection", choice_name(&layers.projection)),
        ("A-005", "stem", choice_name(&layers.stem)),
        ("A-009", "match-sizes", choice_name(&teacher.match_sizes)),
        ("A-011", "z-score", choice_name(&teacher.z_score)),
        ("A-012", "decoder", choice_name(&layers.decoder)),
        ("A-014", "logical-gradient", choice_name(&run.settings.joint.logical_gradient)),
        ("A-021", "schedule", choice_name(&run.settings.optimiser.schedule)),
        ("A-025", "target", choice_name(&teacher.target)),
    ];
    let named = named.into_iter().map(|(key, option, choice)| (key.to_owned(), format!("{option} {choice}")));
    named.chain([("A-017".to_owned(), mirror.to_owned())]).collect()
}

/// An assumption whose alternatives can be measured: `mudenet-export ablate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Number in ASSUMPTIONS.md.
    pub key: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// The command whose result it changes first.
    pub stage: Stage,
    /// The option of that command.
    pub option: &'static str,
    /// Its values, the default first.
    pub values: Vec<String>,
}

/// What has to be done anew for another choice, with everything after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The teacher.
    Distill,
    /// Students and autoencoder.
    Train,
    /// The bundle.
    Freeze,
}

/// Every assumption that can be measured.
pub fn questions() -> Vec<Question> {
    fn names<T: ValueEnum>() -> Vec<String> {
        T::value_variants().iter().map(choice_name).collect()
    }
    let question = |key, title, stage, option, values| Question { key, title, stage, option, values };
    let numbers = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    vec![
        question("A-002", "pool of the stem", Stage::Distill, "pool", names::<crate::model::Pool>()),
        question("A-003", "residual block", Stage::Distill, "block", names::<crate::model::BlockOrder>()),
        question("A-004", "projection", Stage::Distill, "projection", names::<crate::model::ProjectionEnd>()),
        question("A-005", "stem", Stage::Distill, "stem", names::<crate::model::StemEnd>()),
        question("A-009", "target's size", Stage::Distill, "match-sizes", names::<crate::distill::MatchSizes>()),
        question("A-011", "z-score of the target", Stage::Distill, "z-score", names::<crate::backbone::ZScore>()),
        question("A-012", "end of the decoder", Stage::Train, "decoder", names::<crate::model::DecoderEnd>()),
        question("A-014", "gradient of L2", Stage::Train, "logical-gradient", names::<crate::train::LogicalGradient>()),
        question("A-016", "σ of the smoothing", Stage::Freeze, "sigma", numbers(&["default", "0", "2", "6", "8"])),
        question("A-017", "border", Stage::Distill, "border", numbers(&["mirror+margin", "mirror", "margin", "none"])),
        question("A-020", "clamp", Stage::Freeze, "clamp", numbers(&["off", "on"])),
        question("A-021", "learning rate", Stage::Train, "schedule", names::<crate::train::Schedule>()),
        question("A-025", "target", Stage::Distill, "target", names::<crate::backbone::TargetKind>()),
        question("A-030", "statistic of the ranges", Stage::Freeze, "ranges", numbers(&["min-max", "quantiles"])),
        question("A-031", "pixels of the image score", Stage::Freeze, "top", numbers(&["1", "10", "100", "1000"])),
        question("A-032", "directions of the layout", Stage::Freeze, "layout", numbers(&["16", "0", "8", "32"])),
    ]
}
