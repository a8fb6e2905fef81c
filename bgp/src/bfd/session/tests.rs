use super::*;

const NEIGHBOR: u32 = 99;

fn number(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("not zero")
}

fn timers(transmit: u64, receive: u64, multiplier: u8) -> Timers {
    Timers {
        min_transmit: Duration::from_millis(transmit),
        min_receive: Duration::from_millis(receive),
        multiplier: NonZeroU8::new(multiplier).expect("not zero"),
    }
}

#[expect(clippy::disallowed_methods, reason = "an origin of virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// What a neighbour that sends every 50 ms and takes a packet every 20 ms says in this state.
fn from_neighbor(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        is_poll: false,
        is_final: false,
        is_control_plane_independent: false,
        is_demand: false,
        multiplier: NonZeroU8::new(3).expect("not zero"),
        my_discriminator: number(NEIGHBOR),
        your_discriminator: NonZeroU32::new(1),
        desired_min_transmit: millis(50),
        required_min_receive: millis(20),
    }
}

fn session(now: Instant, timers: Timers) -> Session {
    Session::new(now, number(1), timers, Jitter::new(7))
}

/// A session that is up and whose poll is answered.
fn up(now: Instant) -> Session {
    let mut session = session(now, timers(100, 100, 3));
    let mut out = Vec::new();
    session.receive(now, &from_neighbor(State::Down), &mut out);
    session.receive(now, &from_neighbor(State::Init), &mut out);
    session.receive(now, &Packet { is_final: true, ..from_neighbor(State::Up) }, &mut out);
    assert_eq!((session.state, session.poll), (State::Up, Poll::Idle));
    session
}

#[test]
fn the_whole_transition_table() {
    use State::{AdminDown, Down, Init, Up};
    let signaled = Some(Diagnostic::NEIGHBOR_SIGNALED);
    let expired = Some(Diagnostic::TIME_EXPIRED);
    let admin = Some(Diagnostic::ADMINISTRATIVELY_DOWN);
    // (event, from AdminDown, from Down, from Init, from Up)
    let table = [
        (Event::Received(AdminDown), (AdminDown, None), (Down, None), (Down, signaled), (Down, signaled)),
        (Event::Received(Down), (AdminDown, None), (Init, None), (Init, None), (Down, signaled)),
        (Event::Received(Init), (AdminDown, None), (Up, None), (Up, None), (Up, None)),
        (Event::Received(Up), (AdminDown, None), (Down, None), (Up, None), (Up, None)),
        (Event::Expired, (AdminDown, None), (Down, None), (Down, expired), (Down, expired)),
        (Event::Disabled, (AdminDown, admin), (AdminDown, admin), (AdminDown, admin), (AdminDown, admin)),
        (Event::Enabled, (Down, Some(Diagnostic::NONE)), (Down, None), (Init, None), (Up, None)),
    ];
    for (event, from_admin_down, from_down, from_init, from_up) in table {
        for (state, expected) in State::ALL.into_iter().zip([from_admin_down, from_down, from_init, from_up])
        {
            assert_eq!(next(state, event), expected, "{event:?} in {state}");
        }
    }
}

#[test]
fn the_three_way_handshake_comes_up_and_then_fast() {
    let now = origin();
    let mut session = session(now, timers(100, 100, 3));
    let mut out = Vec::new();
    session.on_deadline(now, &mut out);
    let first = out.pop().expect("the first packet is due at once");
    assert_eq!((first.state, first.your_discriminator), (State::Down, None));
    assert_eq!(first.desired_min_transmit, SLOW_INTERVAL, "slow while not up");

    let change =
        session.receive(now, &Packet { your_discriminator: None, ..from_neighbor(State::Down) }, &mut out);
    assert_eq!(change.map(|change| change.to), Some(State::Init));
    let answer = out.pop().expect("a change is told at once");
    assert_eq!((answer.state, answer.your_discriminator), (State::Init, NonZeroU32::new(NEIGHBOR)));

    let change = session.receive(now, &from_neighbor(State::Up), &mut out);
    assert_eq!(change.map(|change| change.to), Some(State::Up));
    let up = out.pop().expect("a change is told at once");
    assert!(up.is_poll, "the new interval is told by a poll");
    assert_eq!(up.desired_min_transmit, millis(100));
    assert_eq!(session.interval(), Some(millis(100)));
    session.receive(now, &Packet { is_final: true, ..from_neighbor(State::Up) }, &mut out);
    session.on_deadline(now + millis(100), &mut out);
    assert!(!out.pop().expect("periodic").is_poll, "the answer ended the poll");
}

#[test]
fn a_poll_is_answered_at_once_and_once() {
    let now = origin();
    let mut session = up(now);
    let mut out = Vec::new();
    session.receive(now, &Packet { is_poll: true, ..from_neighbor(State::Up) }, &mut out);
    let [answer] = out[..] else { panic!("{out:?}") };
    assert!(answer.is_final && !answer.is_poll);
}

#[test]
fn silence_for_the_detection_time_ends_it() {
    let now = origin();
    // (why, ours is required every, they send every, their multiplier, detection time)
    let cases = [
        ("they may not send as often as they like", 100, 50, 3, 300),
        ("they do not send as often as they may", 100, 400, 2, 800),
    ];
    for (why, receive, transmit, multiplier, expected) in cases {
        let mut session = session(now, timers(100, receive, 5));
        let mut out = Vec::new();
        let packet = |state| Packet {
            desired_min_transmit: millis(transmit),
            multiplier: NonZeroU8::new(multiplier).expect("not zero"),
            ..from_neighbor(state)
        };
        session.receive(now, &packet(State::Init), &mut out);
        assert_eq!(session.detection_time(), millis(expected), "{why}");
        assert_eq!(session.on_deadline(now + millis(expected - 1), &mut out), None, "{why}");
        out.clear();
        let change = session.on_deadline(now + millis(expected), &mut out).expect(why);
        assert_eq!((change.to, change.diagnostic), (State::Down, Diagnostic::TIME_EXPIRED), "{why}");
        let told = out.first().expect("told at once");
        assert_eq!((told.state, told.your_discriminator), (State::Down, NonZeroU32::new(NEIGHBOR)), "{why}");
        out.clear();
        session.on_deadline(now + Duration::from_secs(10), &mut out);
        assert_eq!(out[0].your_discriminator, None, "{why}: whoever comes next may be another one");
        assert_eq!(out[0].desired_min_transmit, SLOW_INTERVAL, "{why}");
    }
}

#[test]
fn the_pause_between_packets_obeys_both_ends() {
    let now = origin();
    let demand = |packet| Packet { is_demand: true, ..packet };
    let up = from_neighbor(State::Up);
    // (why, packet, interval)
    let cases = [
        ("ours is the greater", up, Some(millis(100))),
        ("theirs is the greater", Packet { required_min_receive: millis(250), ..up }, Some(millis(250))),
        ("they want none", Packet { required_min_receive: Duration::ZERO, ..up }, None),
        ("they want none while both are up", demand(up), None),
        ("they want none, but are not up", demand(from_neighbor(State::Init)), Some(millis(100))),
    ];
    for (why, packet, expected) in cases {
        let mut session = self::up(now);
        session.receive(now, &packet, &mut Vec::new());
        assert_eq!(session.interval(), expected, "{why}");
        assert_eq!(session.transmit_at.is_some(), expected.is_some(), "{why}");
    }
}

#[test]
fn jitter_keeps_within_its_bounds() {
    // (multiplier, least, most) in milliseconds of an interval of 100
    for (multiplier, least, most) in [(1, 75, 90), (3, 75, 100)] {
        let now = origin();
        let mut session = up(now);
        session.set_timers(now, timers(100, 100, multiplier), &mut Vec::new());
        let mut at = now;
        for _ in 0..500 {
            let next = session.transmit_at.expect("periodic");
            assert!((millis(least)..=millis(most)).contains(&(next - at)), "{multiplier}: {:?}", next - at);
            at = next;
            session.receive(at, &from_neighbor(State::Up), &mut Vec::new());
            session.on_deadline(at, &mut Vec::new());
        }
    }
}

#[test]
fn intervals_change_while_it_stays_up() {
    let now = origin();
    let answer = Packet { is_final: true, ..from_neighbor(State::Up) };
    let mut out = Vec::new();
    let mut session = up(now);
    session.set_timers(now, timers(400, 30, 3), &mut out);
    let told = out[0];
    assert!(told.is_poll, "a poll tells them");
    assert_eq!((told.desired_min_transmit, told.required_min_receive), (millis(400), millis(30)));
    assert_eq!(session.interval(), Some(millis(100)), "no less often before they know");
    assert_eq!(session.detection_time(), millis(300), "no shorter before they know");
    session.set_timers(now, timers(500, 30, 3), &mut out);
    session.receive(now, &answer, &mut out);
    assert_eq!(session.interval(), Some(millis(100)), "the answer may be to the first change");
    session.receive(now, &answer, &mut out);
    assert_eq!((session.interval(), session.detection_time()), (Some(millis(500)), millis(150)));
    assert_eq!(session.state, State::Up);
}

#[test]
fn an_administrator_holds_it_down_and_lets_it_go() {
    let now = origin();
    let mut out = Vec::new();
    let mut session = up(now);
    let change = session.set_enabled(now, false, &mut out).expect("a change");
    assert_eq!((change.to, change.diagnostic), (State::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN));
    assert_eq!(out[0].state, State::AdminDown, "told at once");
    assert_eq!(session.receive(now, &from_neighbor(State::Init), &mut out), None);
    assert_eq!(session.set_enabled(now, false, &mut out), None, "twice is once");
    assert_eq!(session.set_enabled(now, true, &mut out).map(|change| change.to), Some(State::Down));

    let mut session = up(now);
    let change = session.receive(now, &from_neighbor(State::AdminDown), &mut out).expect("a change");
    assert!(change.is_neighbor_admin_down, "the way may be well");
    assert_eq!(change.to, State::Down);
}

/// Two machines over a way of 1 ms that loses by a seed: they come up, and stay so while less is lost than ends them.
#[test]
fn two_sessions_find_each_other() {
    for seed in 0..50 {
        let start = origin();
        let mut ends = [(1, seed), (2, seed + 1000)]
            .map(|(name, seed)| Session::new(start, number(name), timers(100, 100, 3), Jitter::new(seed)));
        let mut lost = Jitter::new(seed ^ 0xb1f);
        let mut on_the_way: Vec<(Instant, usize, Packet)> = Vec::new();
        let mut now = start;
        let mut fell = 0;
        while now < start + Duration::from_secs(30) {
            for (end, session) in ends.iter_mut().enumerate() {
                let mut out = Vec::new();
                let due = on_the_way.extract_if(.., |(at, to, _)| *at <= now && *to == end);
                for (_, _, packet) in due.collect::<Vec<_>>() {
                    fell += usize::from(
                        session.receive(now, &packet, &mut out).is_some_and(|it| it.from == State::Up),
                    );
                }
                fell +=
                    usize::from(session.on_deadline(now, &mut out).is_some_and(|it| it.from == State::Up));
                // One of fifty is lost: three one after the other are not.
                let keeps = |_: &Packet| lost.shorten(Duration::from_secs(4)) > Duration::from_millis(3020);
                on_the_way
                    .extend(out.into_iter().filter(keeps).map(|packet| (now + millis(1), 1 - end, packet)));
            }
            let deadlines = ends.iter().filter_map(Session::next_deadline);
            now = deadlines
                .chain(on_the_way.iter().map(|(at, ..)| *at))
                .min()
                .expect("periodic")
                .max(now + millis(1));
        }
        let states = ends.each_ref().map(Session::state);
        assert_eq!((states, fell), ([State::Up; 2], 0), "seed {seed}");
    }
}
