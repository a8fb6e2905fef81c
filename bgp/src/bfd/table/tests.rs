use std::net::Ipv4Addr;
use std::num::NonZeroU8;

use super::*;

#[expect(clippy::disallowed_methods, reason = "an origin of virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn timers() -> Timers {
    let interval = Duration::from_millis(300);
    Timers { min_transmit: interval, min_receive: interval, multiplier: NonZeroU8::new(3).expect("not zero") }
}

fn key(last: u8) -> SessionKey {
    SessionKey { remote: Ipv4Addr::new(192, 0, 2, last).into(), local: None, scope: 0, is_multihop: false }
}

fn desired(keys: &[SessionKey]) -> BTreeMap<SessionKey, Timers> {
    keys.iter().map(|key| (key.clone(), timers())).collect()
}

fn packet(state: State, yours: Option<NonZeroU32>) -> [u8; super::super::packet::PACKET_BYTES] {
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        is_poll: false,
        is_final: false,
        is_control_plane_independent: false,
        is_demand: false,
        multiplier: NonZeroU8::new(3).expect("not zero"),
        my_discriminator: NonZeroU32::new(77).expect("not zero"),
        your_discriminator: yours,
        desired_min_transmit: Duration::from_millis(100),
        required_min_receive: Duration::from_millis(100),
    }
    .encode()
}

/// The table of two neighbours, and the name of the first one's session.
fn table(now: Instant) -> (Table, NonZeroU32) {
    let mut table = Table::new(5);
    let mut outputs = Vec::new();
    table.handle(now, &Input::Configure(&desired(&[key(1), key(2)])), &mut outputs);
    table.handle(now, &Input::DeadlinePassed, &mut outputs);
    let first = outputs.iter().find_map(|output| match output {
        Output::Send(to, packet) if *to == key(1) => Some(packet.my_discriminator),
        _ => None,
    });
    (table, first.expect("the first packet is sent at once"))
}

#[test]
fn a_datagram_reaches_the_session_that_it_is_for_alone() {
    let now = origin();
    let (_, name) = table(now);
    let other = SessionKey { is_multihop: true, ..key(1) };
    let scoped = SessionKey { scope: 3, ..key(1) };
    let foreign = NonZeroU32::new(4_000_000_000);
    // (why, from, payload, TTL, whether it is taken)
    let cases = [
        ("a first packet, by its address", key(1), packet(State::Down, None), 255, true),
        ("by our discriminator", key(1), packet(State::Init, Some(name)), 255, true),
        ("it was routed", key(1), packet(State::Down, None), 254, false),
        ("a discriminator that is nobody's", key(1), packet(State::Init, foreign), 255, false),
        (
            "the first one's discriminator from the second",
            key(2),
            packet(State::Init, Some(name)),
            255,
            false,
        ),
        ("from a stranger", key(9), packet(State::Down, None), 255, false),
        ("at the other port", other, packet(State::Down, None), 255, false),
        ("from another interface", scoped, packet(State::Down, None), 255, false),
        ("no packet", key(1), [0; 24], 255, false),
    ];
    for (why, from, bytes, ttl, is_taken) in cases {
        let (mut table, _) = table(now);
        let mut outputs = Vec::new();
        let input = Input::Datagram {
            source: from.remote,
            scope: from.scope,
            ttl,
            is_multihop: from.is_multihop,
            bytes: &bytes,
        };
        table.handle(now, &input, &mut outputs);
        assert_eq!(outputs.iter().any(|output| matches!(output, Output::Changed(..))), is_taken, "{why}");
        assert_eq!(table.discarded(), u64::from(!is_taken), "{why}");
    }
}

#[test]
fn sessions_over_several_hops_take_any_ttl() {
    let now = origin();
    let mut table = Table::new(1);
    let far = SessionKey { is_multihop: true, ..key(1) };
    let mut outputs = Vec::new();
    table.handle(now, &Input::Configure(&desired(std::slice::from_ref(&far))), &mut outputs);
    let bytes = packet(State::Down, None);
    let input = Input::Datagram { source: far.remote, scope: 0, ttl: 12, is_multihop: true, bytes: &bytes };
    table.handle(now, &input, &mut outputs);
    assert!(outputs.iter().any(|output| matches!(output, Output::Changed(..))));
}

#[test]
fn configuration_touches_what_it_names_alone() {
    let now = origin();
    let (mut table, _) = table(now);
    let mut outputs = Vec::new();
    table.handle(now, &Input::Configure(&desired(&[key(2), key(3)])), &mut outputs);
    let told: Vec<(SessionKey, State)> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send(to, packet) => Some((to.clone(), packet.state)),
            Output::Changed(..) => None,
        })
        .collect();
    assert_eq!(told, [(key(1), State::AdminDown)], "whoever is not wanted any more is told");
    let keys: Vec<SessionKey> = table.status().into_iter().map(|status| status.key).collect();
    assert_eq!(keys, [key(2), key(3)]);
    outputs.clear();
    table.handle(now + Duration::from_secs(5), &Input::DeadlinePassed, &mut outputs);
    assert!(outputs.iter().all(|output| !matches!(output, Output::Send(to, _) if *to == key(1))));
    table.handle(now, &Input::Disable, &mut outputs);
    assert!(table.status().iter().all(|status| status.state == State::AdminDown));
}

#[test]
fn no_two_sessions_have_one_discriminator() {
    let now = origin();
    // Names begin just before they wrap around.
    let mut table = Table::new(u64::from(u32::MAX - 1) << 32);
    let keys: Vec<SessionKey> = (1..=9).map(key).collect();
    let mut outputs = Vec::new();
    table.handle(now, &Input::Configure(&desired(&keys)), &mut outputs);
    table.handle(now, &Input::DeadlinePassed, &mut outputs);
    let names: BTreeSet<NonZeroU32> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send(_, packet) => Some(packet.my_discriminator),
            Output::Changed(..) => None,
        })
        .collect();
    assert_eq!(names.len(), keys.len());
}

proptest::proptest! {
    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(0_u8.., 0..40), last in 0_u8..4) {
        let now = origin();
        let (mut table, _) = table(now);
        let mut outputs = Vec::new();
        let input =
            Input::Datagram { source: key(last).remote, scope: 0, ttl: 255, is_multihop: false, bytes: &bytes };
        table.handle(now, &input, &mut outputs);
        table.handle(now + Duration::from_secs(3), &Input::DeadlinePassed, &mut outputs);
    }
}
