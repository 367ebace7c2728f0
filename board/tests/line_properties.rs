//! Machine and gate together, over random streams of events, damaged results among them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::{HashMap, HashSet};

use mudenet_board::gate::{Delay, Gate, GateConfig, GateEvent, GateInput, Outcome, Wiring};
use mudenet_board::machine::{Config, Event, Input, Machine, ResultMode};
use mudenet_board::wire::PartResult;
use mudenet_board::{ErrorCode, Micros, Verdict, millis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const EVENTS: u32 = 150_000;

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
            machine: Machine::new(config, u32::MAX - 500, 0).unwrap(),
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

fn random_result(rng: &mut ChaCha8Rng, part: u32) -> PartResult {
    let verdict = [Verdict::Accept, Verdict::Accept, Verdict::Reject, Verdict::Fault][rng.random_range(0..4)];
    let score = if rng.random_ratio(1, 30) { f32::NAN } else { rng.random() };
    PartResult::new(part, verdict, score, rng.random_range(0..3))
}

fn run(mode: ResultMode, seed: u64) -> Line {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut line = Line::new(mode);
    let mut seqno: u32 = u32::MAX - 50;
    for input in [Input::Start, Input::Camera(true)] {
        line.feed(input);
    }
    for _ in 0..EVENTS {
        match rng.random_range(0..200) {
            0..25 => {
                let lost = if rng.random_ratio(1, 200) { rng.random_range(1..4) } else { 0 };
                // The count starts with the first edge: nothing is known of before.
                let lost = if line.parts == 0 { 0 } else { lost };
                seqno = seqno.wrapping_add(1 + lost);
                line.parts += u64::from(1 + lost);
                line.feed(Input::Trigger { seqno: Some(seqno) });
            }
            50..110 => {
                if let Some(part) = line.waiting {
                    let result = random_result(&mut rng, part);
                    line.found.insert(part, Some(result));
                    line.feed(Input::Result(result));
                }
            }
            110 => {
                let stale = random_result(&mut rng, (u32::MAX - 500).wrapping_add(line.parts as u32).wrapping_sub(2));
                if line.waiting != Some(stale.part()) {
                    line.feed(Input::Result(stale));
                }
            }
            111..115 => line.feed(Input::AckLine(rng.random())),
            115..130 => {
                if let Some(shown) = line.machine.shown() {
                    line.feed(Input::Ack { part: shown.part() });
                }
            }
            130..134 => {
                line.feed(Input::RecipeStrobe { level: rng.random(), number: rng.random_range(0..5) });
            }
            134..142 => {
                if let Some(number) = line.loading.take() {
                    line.feed(Input::RecipeLoaded { number, ok: rng.random_ratio(4, 5) });
                }
                line.feed(Input::RecipeStrobe { level: false, number: 0 });
            }
            142 if rng.random_ratio(1, 3) => {
                line.feed(Input::Fail(ErrorCode::ALL[rng.random_range(0..ErrorCode::ALL.len())]))
            }
            143..147 => line.feed(Input::Reset),
            147 => line.feed(Input::Halt),
            148..150 => line.feed(Input::Start),
            150 => line.feed(Input::Camera(false)),
            151..153 => line.feed(Input::Camera(true)),
            153 => line.feed(Input::Room(rng.random_ratio(3, 4))),
            154 => line.tell(GateInput::Hold(rng.random_ratio(1, 4))),
            155 => line.wait(rng.random_range(0..millis(1500))),
            _ => line.wait(rng.random_range(0..millis(20))),
        }
    }
    line.wait(millis(3000));
    line
}

#[test]
fn every_part_is_settled_once_and_only_proven_ones_pass() {
    for mode in [ResultMode::OneShot { width: millis(10) }, ResultMode::Latch, ResultMode::Ack] {
        for seed in 0..3 {
            let line = run(mode, seed);
            assert_eq!(line.found.len() as u64, line.parts, "{mode:?} seed {seed}: every part has a number");
            assert_eq!(line.settled.len() as u64, line.parts, "{mode:?} seed {seed}: and one disposition");
            let mut passed = 0;
            for (part, outcome) in &line.settled {
                if *outcome == Outcome::Passed {
                    passed += 1;
                    let found = line.found[part];
                    assert!(found.is_some_and(|found| found.verdict().is_accept()), "part {part} passed on {found:?}");
                }
            }
            assert!(line.published.len() > 1000 && passed > 100, "{mode:?}: {passed} of {} passed", line.parts);
        }
    }
}
