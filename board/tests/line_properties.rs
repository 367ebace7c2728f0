//! Machine and gate together, over random streams of events, damaged results among them.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "helpers of tests may fail the test")]

mod streams;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use mudenet_board::gate::{Delay, Gate, GateConfig, GateEvent, GateInput, Outcome, Wiring};
use mudenet_board::machine::{Config, Event, Input, Machine, ResultMode};
use mudenet_board::wire::PartResult;
use mudenet_board::{ErrorCode, Micros, Verdict, millis};
use proptest::prelude::{Just, Strategy, any, prop_oneof};

const FIRST: u32 = u32::MAX - 500;

struct Line {
    machine: Machine,
    gate: Gate<32>,
    now: Micros,
    /// Parts that passed the sensor, as the test counts them.
    parts: u64,
    /// Each numbered part, with what the inspection found; `None` where there was none.
    found: HashMap<u32, Option<PartResult>>,
    waiting: Option<u32>,
    published: HashSet<u32>,
    settled: HashMap<u32, Outcome>,
    shown_since: Micros,
    shown: Option<PartResult>,
    strobe: bool,
    loading: Option<u16>,
}

impl Line {
    fn new(result: ResultMode) -> Self {
        let config = Config { result, inspect_timeout: millis(60), ..Config::default() };
        let delay = Delay::Time { delay: millis(300), pitch: millis(10) };
        let gate = GateConfig { delay, pulse: millis(5), wiring: Wiring::AcceptPulse };
        Self {
            machine: Machine::new(config, FIRST, 0).unwrap(),
            gate: Gate::new(gate, 0).unwrap(),
            now: 0,
            parts: 0,
            found: HashMap::new(),
            waiting: None,
            published: HashSet::new(),
            settled: HashMap::new(),
            shown_since: 0,
            shown: None,
            strobe: false,
            loading: None,
        }
    }

    fn feed(&mut self, input: Input) {
        let mut events = Vec::new();
        self.machine.handle(input, self.now, &mut |event| events.push(event));
        for event in events {
            match event {
                Event::Inspect { part } => {
                    self.number(part);
                    self.waiting = Some(part);
                    self.tell(GateInput::Part { part });
                }
                Event::Missed { part } => {
                    self.number(part);
                    self.tell(GateInput::Missed { part });
                }
                Event::Unseen { part } => {
                    self.number(part);
                    self.tell(GateInput::Unseen { part });
                }
                Event::Publish(result) => {
                    assert!(self.published.insert(result.part()), "part {} published twice", result.part());
                    assert_eq!(self.waiting.take(), Some(result.part()), "published, but not the part in work");
                    let found = self.found.get(&result.part()).copied().flatten();
                    assert!(!result.verdict().is_accept() || found == Some(result), "an accept out of nothing");
                    self.tell(GateInput::Result { part: result.part(), verdict: result.verdict() });
                }
                Event::LoadRecipe { number } => self.loading = Some(number),
                Event::Recipe { .. } | Event::Strobe | Event::Error(_) | Event::Heartbeat { .. } => {}
            }
        }
        self.check_lines();
    }

    fn number(&mut self, part: u32) {
        assert!(self.found.insert(part, None).is_none(), "number {part} used twice");
    }

    fn tell(&mut self, input: GateInput) {
        self.gate.handle(input, self.now, &mut |event| {
            if let GateEvent::Settled { part, outcome } = event {
                assert!(self.settled.insert(part, outcome).is_none(), "part {part} settled twice");
            }
        });
    }

    fn check_lines(&mut self) {
        let lines = self.machine.lines();
        assert_ne!(lines.ok, lines.ng, "OK and NG are opposites");
        assert!(!(lines.ready && lines.busy));
        assert!(!(lines.ready && lines.recipe_ack));
        let shown = self.machine.shown();
        assert!(!lines.ok || shown.is_some_and(|result| result.verdict() == Verdict::Accept));
        assert!(!lines.strobe || shown.is_some(), "a strobe without a result");
        let fault = shown.is_some_and(|result| result.verdict() == Verdict::Fault);
        assert!(!fault || lines.error && lines.ng);
        if shown != self.shown {
            assert!(!(lines.strobe && self.strobe), "the result changed under its strobe");
            (self.shown, self.shown_since) = (shown, self.now);
        }
        if lines.strobe && !self.strobe {
            assert!(self.now - self.shown_since >= millis(2), "strobe too early");
        }
        self.strobe = lines.strobe;
    }

    fn wait(&mut self, time: Micros) {
        let end = self.now + time;
        loop {
            let next = [self.machine.deadline(), self.gate.deadline()].into_iter().flatten().min();
            self.now = next.map_or(end, |next| next.clamp(self.now, end));
            self.feed(Input::Tick);
            self.tell(GateInput::Tick);
            if self.now == end {
                return;
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// An edge, before it so many that the kernel dropped.
    Trigger {
        lost: u32,
    },
    /// The part in work is judged.
    Result(Judged),
    /// A part of before is judged once more.
    Stale(Judged),
    AckLine(bool),
    Ack,
    RecipeStrobe {
        level: bool,
        number: u16,
    },
    RecipeLoaded {
        ok: bool,
    },
    Input(Input),
    Hold(bool),
    Wait(Micros),
}

/// Verdict and score; the recipe is the one in use or another.
#[derive(Clone, Copy, Debug)]
struct Judged {
    verdict: Verdict,
    score: f32,
    other_recipe: bool,
}

impl Judged {
    fn of(self, part: u32, recipe: Option<u16>) -> PartResult {
        let recipe = recipe.unwrap_or(0);
        PartResult::new(part, self.verdict, self.score, if self.other_recipe { recipe + 1 } else { recipe })
    }
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![2 => Just(Verdict::Accept), 1 => Just(Verdict::Reject), 1 => Just(Verdict::Fault)];
    let score = prop_oneof![29 => 0.0f32..1.0, 1 => Just(f32::NAN)];
    let judged = (verdict, score, proptest::bool::weighted(0.05)).prop_map(|(verdict, score, other_recipe)| Judged {
        verdict,
        score,
        other_recipe,
    });
    let error = (0..ErrorCode::ALL.len()).prop_map(|index| Input::Fail(ErrorCode::ALL[index]));
    let input = prop_oneof![
        1 => error,
        12 => Just(Input::Reset),
        3 => Just(Input::Halt),
        6 => Just(Input::Start),
        3 => Just(Input::Camera(false)),
        6 => Just(Input::Camera(true)),
        1 => Just(Input::Room(false)),
        2 => Just(Input::Room(true)),
        1 => Just(Input::Alert),
    ];
    prop_oneof![
        250 => prop_oneof![199 => Just(0u32), 1 => 1..4u32].prop_map(|lost| Step::Trigger { lost }),
        600 => judged.clone().prop_map(Step::Result),
        10 => judged.prop_map(Step::Stale),
        40 => any::<bool>().prop_map(Step::AckLine),
        150 => Just(Step::Ack),
        40 => (any::<bool>(), 0..5u16).prop_map(|(level, number)| Step::RecipeStrobe { level, number }),
        80 => proptest::bool::weighted(0.8).prop_map(|ok| Step::RecipeLoaded { ok }),
        130 => input.prop_map(Step::Input),
        10 => proptest::bool::weighted(0.25).prop_map(Step::Hold),
        460 => (0..millis(20)).prop_map(Step::Wait),
        10 => (0..millis(1500)).prop_map(Step::Wait),
    ]
}

fn run(mode: ResultMode, steps: &[Step]) -> Line {
    let mut line = Line::new(mode);
    let mut seqno: u32 = u32::MAX - 50;
    for input in [Input::Start, Input::Camera(true), Input::RecipeStrobe { level: true, number: 1 }] {
        line.feed(input);
    }
    for step in steps {
        match step.clone() {
            Step::Trigger { lost } => {
                // The count starts with the first edge: nothing is known of before.
                let lost = if line.parts == 0 { 0 } else { lost };
                seqno = seqno.wrapping_add(1 + lost);
                line.parts += u64::from(1 + lost);
                line.feed(Input::Trigger { seqno: Some(seqno) });
            }
            Step::Result(judged) => {
                if let Some(part) = line.waiting {
                    let result = judged.of(part, line.machine.recipe());
                    line.found.insert(part, Some(result).filter(|_| !judged.other_recipe));
                    line.feed(Input::Result(result));
                }
            }
            Step::Stale(judged) => {
                let part = FIRST.wrapping_add(line.parts as u32).wrapping_sub(2);
                if line.waiting != Some(part) {
                    line.feed(Input::Result(judged.of(part, line.machine.recipe())));
                }
            }
            Step::AckLine(level) => line.feed(Input::AckLine(level)),
            Step::Ack => {
                if let Some(shown) = line.machine.shown() {
                    line.feed(Input::Ack { part: shown.part() });
                }
            }
            Step::RecipeStrobe { level, number } => line.feed(Input::RecipeStrobe { level, number }),
            Step::RecipeLoaded { ok } => {
                if let Some(number) = line.loading.take() {
                    line.feed(Input::RecipeLoaded { number, ok });
                }
                line.feed(Input::RecipeStrobe { level: false, number: 0 });
            }
            Step::Input(input) => line.feed(input),
            Step::Hold(held) => line.tell(GateInput::Hold(held)),
            Step::Wait(time) => line.wait(time),
        }
    }
    line.wait(millis(3000));
    line
}

#[test]
fn every_part_is_settled_once_and_only_proven_ones_pass() {
    for mode in [ResultMode::OneShot { width: millis(10) }, ResultMode::Latch, ResultMode::Ack] {
        let (published, passed) = (Cell::new(0), Cell::new(0));
        streams::for_all(300, 2000, step(), |steps| {
            let line = run(mode, steps);
            assert_eq!(line.found.len() as u64, line.parts, "every part has a number");
            assert_eq!(line.settled.len() as u64, line.parts, "and one disposition");
            for (part, outcome) in &line.settled {
                if *outcome == Outcome::Passed {
                    passed.set(passed.get() + 1);
                    let found = line.found[part];
                    assert!(found.is_some_and(|found| found.verdict().is_accept()), "part {part} passed on {found:?}");
                }
            }
            published.set(published.get() + line.published.len());
        });
        let (published, passed) = (published.get(), passed.get());
        assert!(published > 3000 && passed > 500, "{mode:?}: {passed} of {published} passed");
    }
}
