//! The handshake, scenario by scenario.

#![expect(clippy::expect_used, reason = "helpers of tests may fail the test")]

use mudenet_board::machine::{Config, Event, Input, Lines, Machine, ResultMode, TriggerMode};
use mudenet_board::wire::PartResult;
use mudenet_board::{ErrorCode, Micros, State, Verdict, millis};

struct Box {
    machine: Machine,
    events: Vec<Event>,
}

impl Box {
    fn new(config: Config) -> Self {
        let mut this = Self { machine: Machine::new(config, 100, 0).expect("valid"), events: Vec::new() };
        this.feed(0, Input::Start);
        this.feed(0, Input::Camera(true));
        this
    }

    /// With recipe 3 in use.
    fn ready(config: Config) -> Self {
        let mut this = Self::new(config);
        this.feed(0, Input::RecipeStrobe { level: true, number: 3 });
        this.feed(0, Input::RecipeStrobe { level: false, number: 3 });
        this.feed(0, Input::RecipeLoaded { number: 3, ok: true });
        assert_eq!(this.machine.recipe(), Some(3));
        this.events.clear();
        this
    }

    /// As its owner drives it: a tick at every deadline, then the input. Heartbeats are left out.
    fn feed(&mut self, now: Micros, input: Input) -> Vec<Event> {
        let from = self.events.len();
        let mut take = |event| {
            if !matches!(event, Event::Heartbeat { .. }) {
                self.events.push(event);
            }
        };
        while let Some(deadline) = self.machine.deadline().filter(|deadline| *deadline < now) {
            self.machine.handle(Input::Tick, deadline, &mut take);
        }
        self.machine.handle(input, now, &mut take);
        self.events[from..].to_vec()
    }

    fn lines(&self) -> Lines {
        Lines { heartbeat: false, ..self.machine.lines() }
    }
}

const TRIGGER: Input = Input::Trigger { seqno: None };

fn good(part: u32) -> PartResult {
    PartResult::new(part, Verdict::Accept, 0.5, 3)
}

fn bad(part: u32) -> PartResult {
    PartResult::new(part, Verdict::Reject, 2.0, 3)
}

fn mode(result: ResultMode) -> Config {
    Config { result, ..Config::default() }
}

#[test]
fn a_result_is_set_two_milliseconds_before_its_strobe() {
    let mut line = Box::ready(Config::default());
    let idle = Lines { ready: true, ng: true, ..Lines::default() };
    assert_eq!(line.lines(), idle);
    assert_eq!(line.feed(millis(10), TRIGGER), [Event::Inspect { part: 100 }]);
    assert_eq!(line.lines(), Lines { busy: true, ng: true, ..Lines::default() });
    assert_eq!(line.machine.state(), State::SingleExecution);
    assert_eq!(line.feed(millis(40), Input::Result(good(100))), [Event::Publish(good(100))]);
    assert_eq!(line.lines(), Lines { busy: true, ok: true, ..Lines::default() });
    assert_eq!(line.machine.deadline(), Some(millis(42)));
    assert_eq!(line.feed(millis(42), Input::Tick), [Event::Strobe]);
    assert_eq!(line.lines(), Lines { ok: true, strobe: true, ..Lines::default() });
    assert_eq!(line.machine.shown(), Some(good(100)));
    line.feed(millis(91), Input::Tick);
    assert!(line.lines().strobe, "50 ms wide");
    line.feed(millis(92), Input::Tick);
    assert_eq!(line.lines(), idle);
}

#[test]
fn a_reject_is_ng_and_a_fault_is_ng_and_error() {
    for (result, error) in [(bad(100), false), (PartResult::new(100, Verdict::Accept, f32::NAN, 3), true)] {
        let mut line = Box::ready(Config::default());
        line.feed(millis(10), TRIGGER);
        line.feed(millis(40), Input::Result(result));
        line.feed(millis(42), Input::Tick);
        assert_eq!(line.lines(), Lines { ng: true, strobe: true, error, ..Lines::default() });
    }
}

#[test]
fn a_latched_result_stays_until_the_next_trigger() {
    let mut line = Box::ready(mode(ResultMode::Latch));
    line.feed(millis(10), TRIGGER);
    line.feed(millis(40), Input::Result(good(100)));
    line.feed(millis(900), Input::Tick);
    assert_eq!(line.lines(), Lines { ready: true, ok: true, strobe: true, ..Lines::default() });
    line.feed(millis(1000), TRIGGER);
    assert_eq!(line.lines(), Lines { busy: true, ng: true, ..Lines::default() });
}

#[test]
fn an_acknowledged_result_goes_and_an_unacknowledged_one_times_out() {
    let mut line = Box::ready(mode(ResultMode::Ack));
    line.feed(millis(10), TRIGGER);
    line.feed(millis(40), Input::Result(good(100)));
    line.feed(millis(42), Input::Tick);
    line.feed(millis(500), Input::Ack { part: 99 });
    assert!(line.lines().strobe, "another part's acknowledge");
    line.feed(millis(600), Input::AckLine(true));
    assert_eq!(line.lines(), Lines { ready: true, ng: true, ..Lines::default() });

    line.feed(millis(700), TRIGGER);
    line.feed(millis(710), Input::Result(good(101)));
    assert_eq!(line.feed(millis(1711), Input::AckLine(true)), [Event::Strobe], "held high, it does not fire again");
    assert_eq!(line.feed(millis(1712), Input::Tick), [Event::Error(ErrorCode::AckTimeout)]);
    assert_eq!(line.lines(), Lines { ready: true, ng: true, ..Lines::default() });

    line.feed(millis(1800), TRIGGER);
    line.feed(millis(1810), Input::Result(good(102)));
    line.feed(millis(1811), Input::Ack { part: 102 });
    assert_eq!(line.lines(), Lines { ready: true, ng: true, ..Lines::default() }, "a command before the strobe counts");
}

#[test]
fn a_trigger_while_not_ready_is_a_missed_part() {
    let mut line = Box::ready(Config::default());
    line.feed(millis(10), TRIGGER);
    let missed = [Event::Missed { part: 101 }, Event::Error(ErrorCode::MissedTrigger)];
    assert_eq!(line.feed(millis(20), TRIGGER), missed);
    assert!(line.lines().missed && line.lines().busy);
    line.feed(millis(30), Input::Result(good(100)));
    line.feed(millis(32), Input::Tick);
    assert!(line.lines().ok && line.lines().missed, "latched");
    line.feed(millis(40), Input::Reset);
    assert!(!line.lines().missed);
}

#[test]
fn a_gap_in_the_edge_count_is_unseen_parts() {
    let mut line = Box::ready(Config::default());
    line.feed(millis(10), Input::Trigger { seqno: Some(u32::MAX) });
    line.feed(millis(20), Input::Result(good(100)));
    let events = line.feed(millis(200), Input::Trigger { seqno: Some(2) });
    let expected = [
        Event::Strobe,
        Event::Error(ErrorCode::TriggerLost),
        Event::Unseen { part: 101 },
        Event::Unseen { part: 102 },
        Event::Inspect { part: 103 },
    ];
    assert_eq!(events, expected);
    assert!(line.lines().error);
    line.feed(millis(210), Input::Result(good(103)));
    line.feed(millis(400), Input::Reset);
    assert!(!line.lines().error);
    let events = line.feed(millis(410), Input::Trigger { seqno: Some(1_000_000) });
    assert_eq!(events.len(), 3, "one stands for a count that says nothing: {events:?}");
}

#[test]
fn an_inspection_that_takes_too_long_is_a_fault_and_its_result_is_ignored() {
    let mut line = Box::ready(Config::default());
    line.feed(millis(10), TRIGGER);
    let events = line.feed(millis(1010), Input::Tick);
    assert_eq!(events, [Event::Error(ErrorCode::LateResult), Event::Publish(PartResult::fault(100, 3))]);
    assert_eq!(line.feed(millis(1011), Input::Result(good(100))), [Event::Error(ErrorCode::LateResult)]);
    line.feed(millis(1012), Input::Tick);
    assert_eq!(line.lines(), Lines { ng: true, strobe: true, error: true, ..Lines::default() });
}

#[test]
fn without_recipe_camera_room_or_leave_the_box_is_not_ready() {
    let line = Box::new(Config::default());
    assert!(!line.lines().ready);
    assert_eq!(line.machine.state(), State::Initialized);
    let mut line = Box::ready(Config::default());
    for (stop, go, state) in [
        (Input::Camera(false), Input::Camera(true), State::Ready),
        (Input::Room(false), Input::Room(true), State::Ready),
        (Input::Halt, Input::Start, State::Halted),
    ] {
        line.feed(millis(1), stop);
        assert_eq!((line.lines().ready, line.machine.state()), (false, state), "{stop:?}");
        line.feed(millis(2), go);
        assert!(line.lines().ready, "{go:?}");
    }
    let mut fresh = Machine::new(Config::default(), 1, 0).expect("valid");
    fresh.handle(TRIGGER, 0, &mut |_| {});
    assert_eq!((fresh.state(), fresh.lines().ready, fresh.lines().missed), (State::Preoperational, false, true));
}

#[test]
fn a_recipe_is_swapped_between_parts_and_acknowledged_until_the_strobe_drops() {
    let mut line = Box::ready(Config::default());
    line.feed(millis(10), TRIGGER);
    let asked = line.feed(millis(11), Input::RecipeStrobe { level: true, number: 7 });
    assert_eq!(asked, [Event::LoadRecipe { number: 7 }]);
    assert_eq!(line.feed(millis(20), Input::RecipeLoaded { number: 7, ok: true }), [], "part 100 is in work");
    line.feed(millis(30), Input::Result(good(100)));
    assert_eq!(line.machine.recipe(), Some(3));
    let swapped = line.feed(millis(82), Input::Tick);
    assert_eq!(swapped, [Event::Strobe, Event::Recipe { number: 7, loaded: true }]);
    assert_eq!(line.machine.recipe(), Some(7));
    assert_eq!((line.lines().recipe_ack, line.lines().ready), (true, false));
    line.feed(millis(90), Input::RecipeStrobe { level: false, number: 7 });
    assert_eq!((line.lines().recipe_ack, line.lines().ready), (false, true));
}

#[test]
fn a_bad_recipe_keeps_the_old_one_and_waits_for_a_reset() {
    for slow in [false, true] {
        let mut line = Box::ready(Config::default());
        line.feed(millis(10), Input::RecipeStrobe { level: true, number: 7 });
        let events = match slow {
            false => line.feed(millis(20), Input::RecipeLoaded { number: 7, ok: false }),
            true => line.feed(millis(30_010), Input::Tick),
        };
        let refused = [Event::Recipe { number: 7, loaded: false }, Event::Error(ErrorCode::RecipeFailed)];
        assert_eq!(events, refused);
        assert_eq!((line.machine.recipe(), line.machine.state()), (Some(3), State::Error));
        assert_eq!((line.lines().ready, line.lines().error), (false, true));
        line.feed(millis(30_020), Input::RecipeLoaded { number: 7, ok: true });
        assert_eq!(line.machine.recipe(), Some(3), "too late");
        line.feed(millis(30_021), Input::RecipeStrobe { level: false, number: 7 });
        let asked = line.feed(millis(30_022), Input::RecipeStrobe { level: true, number: 4 });
        assert_eq!(asked, [Event::Recipe { number: 4, loaded: false }], "not before a reset");
        line.feed(millis(30_030), Input::Reset);
        assert_eq!((line.lines().ready, line.lines().error), (true, false));
    }
}

#[test]
fn a_failure_makes_the_part_in_work_a_fault() {
    let mut line = Box::ready(Config::default());
    line.feed(millis(10), TRIGGER);
    let events = line.feed(millis(20), Input::Fail(ErrorCode::Internal));
    assert_eq!(events, [Event::Error(ErrorCode::Internal), Event::Publish(PartResult::fault(100, 3))]);
    line.feed(millis(22), Input::Tick);
    assert_eq!(line.lines(), Lines { ng: true, strobe: true, error: true, ..Lines::default() });
}

#[test]
fn a_recipe_that_is_not_trusted_takes_no_part_until_one_is_loaded() {
    for trigger in [TriggerMode::External, TriggerMode::Interval(millis(5))] {
        let mut line = Box::ready(Config { trigger, ..mode(ResultMode::Latch) });
        let interval = trigger != TriggerMode::External;
        if interval {
            line.feed(millis(1), Input::Result(good(100)));
        }
        let events = line.feed(millis(2), Input::Distrust);
        assert_eq!(events, [Event::Error(ErrorCode::RecipeFailed)]);
        assert_eq!((line.machine.recipe(), line.machine.state()), (None, State::Error));
        let taken = |events: &[Event]| events.iter().any(|event| matches!(event, Event::Inspect { .. }));
        let events = line.feed(millis(30), Input::Reset);
        assert_eq!((taken(&events), line.machine.state()), (false, State::Initialized), "no part of its own either");
        assert!(!taken(&line.feed(millis(40), TRIGGER)));
        line.feed(millis(50), Input::RecipeStrobe { level: true, number: 3 });
        line.feed(millis(50), Input::RecipeStrobe { level: false, number: 3 });
        let events = line.feed(millis(60), Input::RecipeLoaded { number: 3, ok: true });
        assert!(events.contains(&Event::Recipe { number: 3, loaded: true }));
        assert!(taken(&events) || line.lines().ready);
    }
}

#[test]
fn the_machine_triggers_itself() {
    let config = Config { trigger: TriggerMode::Interval(millis(100)), ..mode(ResultMode::Latch) };
    let mut line = Box::ready(config);
    assert_eq!(line.machine.state(), State::ContinuousExecution);
    let first = line.machine.deadline();
    assert_eq!(first, Some(millis(1000)), "the heartbeat, for a part is in work since the start");
    line.feed(millis(30), Input::Result(good(100)));
    let events = line.feed(millis(100), Input::Tick);
    assert_eq!(events, [Event::Strobe, Event::Inspect { part: 101 }]);
}

#[test]
fn with_a_part_sensor_the_machine_triggers_itself_only_while_a_part_is_there() {
    let mut line = Box::ready(Config { trigger: TriggerMode::Interval(millis(100)), ..mode(ResultMode::Latch) });
    line.feed(millis(1), Input::Present(false));
    let count = |line: &Box| line.events.iter().filter(|event| matches!(event, Event::Inspect { .. })).count();
    let before = count(&line);
    line.feed(millis(20), Input::Result(good(100)));
    line.feed(millis(900), Input::Tick);
    assert_eq!(count(&line), before);
    assert!(line.lines().ready);
    line.feed(millis(950), Input::Present(true));
    assert_eq!(count(&line), before + 1, "at once");
}

#[test]
fn the_heartbeat_beats_only_while_it_is_called() {
    let mut machine = Machine::new(Config::default(), 1, 0).expect("valid");
    let mut beats = Vec::new();
    for now in [0, millis(999), millis(1000), millis(1999), millis(9000), millis(9001)] {
        machine.handle(Input::Tick, now, &mut |event| {
            if let Event::Heartbeat { beat, .. } = event {
                beats.push((now, beat));
            }
        });
    }
    assert_eq!(beats, [(0, 1), (millis(1000), 2), (millis(9000), 3)]);
}

#[test]
fn settings_out_of_range_are_named() {
    let error = |config: Config| Machine::new(config, 0, 0).err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(
        error(Config { data_to_strobe: 500, ..Config::default() }),
        "data-to-strobe time is 500 µs, expected at least 1000 µs"
    );
    assert_eq!(
        error(mode(ResultMode::OneShot { width: millis(9) })),
        "strobe width is 9000 µs, expected at least 10000 µs"
    );
}

#[test]
fn a_result_by_another_recipe_than_the_one_in_use_is_a_fault() {
    let mut line = Box::ready(Config::default());
    line.feed(millis(10), TRIGGER);
    let events = line.feed(millis(40), Input::Result(PartResult::new(100, Verdict::Accept, 0.5, 4)));
    assert_eq!(events, [Event::Error(ErrorCode::InspectionFailed), Event::Publish(PartResult::fault(100, 4))]);
    assert!(line.lines().ng && line.lines().error);
}

#[test]
fn an_alert_shows_until_a_reset_and_parts_are_taken() {
    let mut line = Box::ready(Config::default());
    line.feed(millis(10), Input::Alert);
    assert_eq!(line.lines(), Lines { ready: true, ng: true, error: true, ..Lines::default() });
    line.feed(millis(20), Input::Reset);
    assert!(!line.lines().error);
}
