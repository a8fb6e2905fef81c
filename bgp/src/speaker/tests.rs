//! One speaker and a peer that is played by hand, message by message.

mod max_prefixes;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ipnetwork::IpNetwork;

use super::*;
use crate::config::{NeighborConfig, Origination};
use crate::status::{PathVerdict, SessionState};
use crate::wire::{
    Announcement, AsPath, AttributeFault, Attributes, Capability, DecodeError, Family, FaultAction, Message,
    NextHop, Open, Origin, RouteRefresh, RouteRefreshKind, RouterId, SessionContext, Update, decode,
};

const LOCAL_AS: u32 = 64512;
const PEER_AS: u32 = 64601;

/// A speaker with one neighbor, which is us.
struct Stage {
    now: Instant,
    speaker: Speaker,
    outputs: Vec<Output>,
    accepted: u64,
}

fn local() -> IpAddr {
    IpAddr::from([10, 0, 0, 1])
}

fn peer() -> IpAddr {
    IpAddr::from([10, 0, 0, 2])
}

fn prefix(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

impl Stage {
    #[expect(clippy::disallowed_methods, reason = "an arbitrary beginning of the virtual time")]
    fn new(change: impl FnOnce(&mut NeighborConfig)) -> Self {
        let now = Instant::now();
        let mut config = SpeakerConfig::new(LOCAL_AS, RouterId::new(1).unwrap());
        let mut neighbor = NeighborConfig::new("tor", peer(), PEER_AS);
        neighbor.passive = true;
        change(&mut neighbor);
        config.neighbors.push(neighbor);
        let speaker = Speaker::new(now, config, RestartMode::Fresh, 1).unwrap();
        let mut stage = Self { now, speaker, outputs: Vec::new(), accepted: 0 };
        stage.input(Input::LocalSourcesSynced);
        stage
    }

    fn established() -> (Self, ConnectionId) {
        let mut stage = Self::new(|_| {});
        let connection = stage.accept();
        stage.receive(connection, Message::Open(open()));
        stage.receive(connection, Message::Keepalive);
        assert_eq!(stage.state(), SessionState::Established);
        stage.pass(Duration::from_millis(10));
        stage.outputs.clear();
        (stage, connection)
    }

    fn input(&mut self, input: Input) {
        self.speaker.handle(self.now, input, &mut self.outputs);
    }

    fn accept(&mut self) -> ConnectionId {
        self.accepted += 1;
        let connection = ConnectionId::Accepted(self.accepted);
        self.input(Input::Accepted { connection, remote: peer(), local: local() });
        connection
    }

    fn receive(&mut self, connection: ConnectionId, message: Message) {
        self.input(Input::Received { connection, read_at: self.now, message: Ok(message) });
    }

    fn update(&mut self, connection: ConnectionId, update: Update) {
        self.receive(connection, Message::Update(Box::new(update)));
    }

    /// Lets time pass, with every deadline that falls into it.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(deadline) = self.speaker.next_deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.input(Input::DeadlinePassed);
        }
        self.now = until;
    }

    fn state(&self) -> SessionState {
        self.speaker.status(self.now).neighbors[0].state
    }

    /// What was sent on a connection since the last call.
    fn take_sent(&mut self, connection: ConnectionId) -> Vec<Message> {
        let mut context = SessionContext::before_open();
        context.four_octet_as = true;
        context.families = Family::ALL.to_vec();
        context.peer_asn = LOCAL_AS;
        let sent = self.outputs.iter().filter_map(|output| match output {
            Output::Send { connection: to, bytes } if *to == connection => Some(bytes.clone()),
            _ => None,
        });
        let sent: Vec<Bytes> = sent.collect();
        self.outputs.clear();
        sent.iter().map(|bytes| decode(bytes, &context).unwrap()).collect()
    }

    fn events(&self) -> Vec<&SessionEventKind> {
        let events = self.outputs.iter().filter_map(|output| match output {
            Output::Event(event) => Some(&event.kind),
            _ => None,
        });
        events.collect()
    }
}

fn open() -> Open {
    Open {
        asn: PEER_AS,
        hold_time_secs: 90,
        router_id: RouterId::new(2).unwrap(),
        capabilities: vec![
            Capability::MultiProtocol(Family::Ipv4Unicast),
            Capability::MultiProtocol(Family::Ipv6Unicast),
            Capability::RouteRefresh,
            Capability::FourOctetAs(PEER_AS),
        ],
    }
}

fn announce(prefixes: &[&str]) -> Update {
    let announcement = Announcement {
        family: Family::Ipv4Unicast,
        next_hop: NextHop::new(peer()),
        attributes: Arc::new(Attributes::new(Origin::Igp, AsPath::sequence([PEER_AS]))),
        prefixes: prefixes.iter().map(|text| prefix(text)).collect(),
    };
    Update { announced: vec![announcement], ..Update::default() }
}

fn originate(prefixes: &[&str]) -> Input {
    Input::Originate(prefixes.iter().map(|text| (prefix(text), Origination::default())).collect())
}

fn announced(messages: &[Message]) -> Vec<IpNetwork> {
    let updates = messages.iter().filter_map(|message| match message {
        Message::Update(update) => Some(update),
        _ => None,
    });
    updates.flat_map(|update| &update.announced).flat_map(|announced| announced.prefixes.clone()).collect()
}

fn ends_of_rib(messages: &[Message]) -> Vec<Family> {
    let ends = messages.iter().filter_map(|message| match message {
        Message::Update(update) => update.end_of_rib,
        _ => None,
    });
    ends.collect()
}

#[test]
fn the_order_of_a_session_coming_up() {
    let mut stage = Stage::new(|_| {});
    stage.input(originate(&["10.1.0.0/24"]));
    let connection = stage.accept();
    let Output::Admit { transport, .. } = &stage.outputs[0] else { panic!("{:?}", stage.outputs) };
    assert_eq!(transport.ttl, 1, "external neighbors are one hop away");
    assert!(matches!(stage.take_sent(connection)[..], [Message::Open(_)]));
    stage.receive(connection, Message::Open(open()));
    let context =
        stage.outputs.iter().position(|output| matches!(output, Output::Negotiated { .. })).unwrap();
    let keepalive = stage.outputs.iter().position(|output| matches!(output, Output::Send { .. })).unwrap();
    assert!(context < keepalive, "decoding is settled before the peer may send what depends on it");
    stage.outputs.clear();
    stage.receive(connection, Message::Keepalive);
    stage.pass(Duration::from_millis(10));
    let sent = stage.take_sent(connection);
    assert_eq!(announced(&sent), [prefix("10.1.0.0/24")]);
    assert_eq!(ends_of_rib(&sent), Family::ALL, "and then the ends");
    assert!(ends_of_rib(&sent[sent.len() - 2..]).len() == 2, "{sent:?}");
}

#[test]
fn originations_that_are_not_complete_hold_end_of_rib_back() {
    let mut stage = Stage::new(|_| {});
    stage.speaker = Speaker::new(stage.now, stage.speaker.config.clone(), RestartMode::Fresh, 1).unwrap();
    stage.input(originate(&["10.1.0.0/24"]));
    let connection = stage.accept();
    stage.receive(connection, Message::Open(open()));
    stage.receive(connection, Message::Keepalive);
    stage.pass(Duration::from_secs(5));
    let sent = stage.take_sent(connection);
    assert_eq!((announced(&sent).len(), ends_of_rib(&sent).len()), (1, 0));
    stage.input(originate(&["10.1.0.0/24", "10.2.0.0/24"]));
    stage.input(Input::LocalSourcesSynced);
    stage.pass(Duration::from_millis(10));
    let sent = stage.take_sent(connection);
    assert_eq!((announced(&sent).len(), ends_of_rib(&sent).len()), (1, 2));
    assert_eq!(ends_of_rib(&sent[..1]).len(), 0, "the end comes last: {sent:?}");
}

#[test]
fn a_refresh_brings_everything_of_the_family_again() {
    let (mut stage, connection) = Stage::established();
    stage.input(originate(&["10.1.0.0/24", "10.2.0.0/24"]));
    stage.pass(Duration::from_millis(10));
    assert_eq!(announced(&stage.take_sent(connection)).len(), 2);
    // (why, request, routes)
    let cases = [
        ("asked for", RouteRefresh::new(Family::Ipv4Unicast, RouteRefreshKind::Request), 2),
        ("the other family", RouteRefresh::new(Family::Ipv6Unicast, RouteRefreshKind::Request), 0),
        ("an unknown family", RouteRefresh { afi: 25, safi: 70, kind: RouteRefreshKind::Request }, 0),
        ("no request", RouteRefresh::new(Family::Ipv4Unicast, RouteRefreshKind::End), 0),
    ];
    for (why, refresh, count) in cases {
        stage.receive(connection, Message::RouteRefresh(refresh));
        stage.pass(Duration::from_millis(10));
        assert_eq!(announced(&stage.take_sent(connection)).len(), count, "{why}");
    }
}

#[test]
fn a_burst_of_updates_is_decided_once() {
    let (mut stage, connection) = Stage::established();
    for _ in 0..10 {
        stage.update(connection, announce(&["10.8.0.0/24"]));
        stage.update(connection, Update { withdrawn: vec![prefix("10.8.0.0/24")], ..Update::default() });
    }
    stage.update(connection, announce(&["10.8.0.0/24"]));
    stage.pass(Duration::from_millis(10));
    let changes = stage.outputs.iter().filter(|output| matches!(output, Output::Fib(_))).count();
    assert_eq!(changes, 1);
}

#[test]
fn a_prefix_withdrawn_and_announced_in_one_update_is_announced() {
    let (mut stage, connection) = Stage::established();
    let mut update = announce(&["10.8.0.0/24"]);
    update.withdrawn = vec![prefix("10.8.0.0/24")];
    stage.update(connection, update);
    stage.pass(Duration::from_millis(10));
    assert_eq!(stage.speaker.routes().len(), 1);
}

#[test]
fn a_looped_path_takes_the_place_of_the_former_one() {
    let (mut stage, connection) = Stage::established();
    stage.update(connection, announce(&["10.8.0.0/24"]));
    stage.pass(Duration::from_millis(10));
    let mut looped = announce(&["10.8.0.0/24"]);
    let attributes = Attributes::new(Origin::Igp, AsPath::sequence([PEER_AS, LOCAL_AS]));
    looped.announced[0].attributes = Arc::new(attributes);
    stage.outputs.clear();
    stage.update(connection, looped);
    stage.pass(Duration::from_millis(10));
    let gone = stage
        .outputs
        .iter()
        .any(|output| matches!(output, Output::Fib(change) if change.next_hops.is_empty()));
    assert!(gone, "the former path is no longer valid");
    let families = stage.speaker.status(stage.now).neighbors[0].families.clone();
    assert_eq!((families[0].received, families[0].accepted), (1, 0));
}

#[test]
fn a_route_through_our_own_end_of_the_session_is_never_installed() {
    let (mut stage, connection) = Stage::established();
    let mut update = announce(&["10.8.0.0/24"]);
    update.announced[0].next_hop = NextHop::new(local());
    stage.update(connection, update);
    stage.pass(Duration::from_millis(10));
    assert!(!stage.outputs.iter().any(|output| matches!(output, Output::Fib(_))), "{:?}", stage.outputs);
    let routes = stage.speaker.routes();
    let verdict = &routes[0].paths[0].verdict;
    assert!(
        matches!(verdict, PathVerdict::Rejected(reason) if reason.contains("own address")),
        "{verdict:?}"
    );
}

#[test]
fn malformed_attributes_are_counted_and_said() {
    let (mut stage, connection) = Stage::established();
    let fault =
        AttributeFault { attribute: Some(5), action: FaultAction::Discard, reason: "it has no place here" };
    for total in 1..3 {
        stage.outputs.clear();
        stage.update(connection, Update { faults: vec![fault.clone(); 9], ..Update::default() });
        let events = stage.events();
        let [SessionEventKind::MalformedAttributes { faults, updates_total }] = events[..] else {
            panic!("{events:?}")
        };
        assert!(faults.len() < 9, "not all of them");
        assert_eq!(*updates_total, total);
    }
    assert_eq!(stage.state(), SessionState::Established);
}

#[test]
fn undecodable_bytes_end_the_session_with_the_reason() {
    let (mut stage, connection) = Stage::established();
    let error = DecodeError {
        notification: Notification::malformed_attribute_list(),
        reason: "the lengths do not add up".to_owned(),
    };
    stage.input(Input::Received { connection, read_at: stage.now, message: Err(error) });
    let sent = stage.take_sent(connection);
    assert!(
        matches!(&sent[..], [Message::Notification(sent)] if (sent.code, sent.subcode) == (3, 1)),
        "{sent:?}"
    );
    let status = stage.speaker.status(stage.now).neighbors.remove(0);
    assert_eq!((status.state, status.flaps), (SessionState::Idle, 1));
    assert!(status.last_error_sent.unwrap().reason.contains("the lengths do not add up"));
    let refused = stage.accept();
    assert!(
        matches!(stage.outputs[0], Output::Close { connection } if connection == refused),
        "during the pause"
    );
    stage.pass(Duration::from_secs(1));
    stage.outputs.clear();
    stage.accept();
    assert!(matches!(stage.outputs[0], Output::Admit { .. }), "after it");
}

#[test]
fn what_comes_late_of_a_closed_connection_is_ignored() {
    let (mut stage, connection) = Stage::established();
    stage.input(Input::Closed { connection, reason: "reset".to_owned() });
    stage.outputs.clear();
    stage.update(connection, announce(&["10.8.0.0/24"]));
    stage.input(Input::Closed { connection, reason: "reset".to_owned() });
    stage.input(Input::Connected { connection: ConnectionId::Dialed(99), local: local() });
    stage.input(Input::Congested { connection, is_congested: true });
    assert!(stage.outputs.is_empty(), "{:?}", stage.outputs);
    assert!(stage.speaker.routes().is_empty());
}

#[test]
fn a_second_connection_waits_or_takes_over() {
    let mut stage = Stage::new(|_| {});
    stage.accept();
    stage.outputs.clear();
    let second = stage.accept();
    assert!(matches!(stage.outputs[0], Output::Close { connection } if connection == second), "too soon");
    stage.pass(Duration::from_secs(5));
    stage.outputs.clear();
    let third = stage.accept();
    assert!(
        matches!(stage.outputs[0], Output::Close { connection: ConnectionId::Accepted(1) }),
        "it was mute"
    );
    assert!(
        stage
            .outputs
            .iter()
            .any(|output| matches!(output, Output::Admit { connection, .. } if *connection == third))
    );
    // An established session without graceful restart stays.
    stage.receive(third, Message::Open(open()));
    stage.receive(third, Message::Keepalive);
    let fourth = stage.accept();
    stage.outputs.clear();
    stage.receive(fourth, Message::Open(open()));
    let sent = stage.take_sent(fourth);
    assert!(matches!(&sent[..], [Message::Notification(sent)] if sent.is_collision()), "{sent:?}");
    assert_eq!(stage.state(), SessionState::Established);
}

#[test]
fn a_configured_end_of_the_session_is_demanded() {
    let mut stage = Stage::new(|neighbor| neighbor.local_address = Some(IpAddr::from([10, 0, 0, 9])));
    let connection = stage.accept();
    assert!(matches!(stage.outputs[0], Output::Close { connection: closed } if closed == connection));
    assert!(matches!(stage.events()[..], [SessionEventKind::ConnectionRefused { .. }]));
}

#[test]
fn a_route_that_fits_into_no_message_is_withdrawn() {
    let (mut stage, connection) = Stage::established();
    stage.input(originate(&["10.1.0.0/24"]));
    stage.pass(Duration::from_millis(10));
    stage.outputs.clear();
    let communities = (0..1100).map(crate::wire::Community).collect();
    let origination = Origination { communities, ..Origination::default() };
    stage.input(Input::Originate(BTreeMap::from([(prefix("10.1.0.0/24"), origination)])));
    stage.pass(Duration::from_millis(10));
    assert!(matches!(stage.events()[..], [SessionEventKind::AttributesTooLarge { .. }]));
    let sent = stage.take_sent(connection);
    assert!(
        matches!(&sent[..], [Message::Update(update)] if update.withdrawn == [prefix("10.1.0.0/24")]),
        "{sent:?}"
    );
    assert_eq!(stage.speaker.status(stage.now).neighbors[0].families[0].advertised, 0);
}

#[test]
fn host_bits_of_originations_are_ignored() {
    let (mut stage, connection) = Stage::established();
    stage.input(originate(&["10.1.0.77/24"]));
    stage.pass(Duration::from_millis(10));
    assert_eq!(announced(&stage.take_sent(connection)), [prefix("10.1.0.0/24")]);
}

#[test]
fn a_stop_is_silent_or_says_why_and_is_the_end() {
    for stop in [Stop::Silent, Stop::Cease { text: "bye".to_owned() }] {
        let (mut stage, connection) = Stage::established();
        stage.input(originate(&["10.1.0.0/24"]));
        stage.input(Input::Stop(stop.clone()));
        assert!(stage.outputs.iter().any(|output| matches!(output, Output::Close { .. })));
        let sent = stage.take_sent(connection);
        assert_eq!(announced(&sent).len(), 1, "what was decided is said first");
        let notifications: Vec<_> =
            sent.iter().filter(|message| matches!(message, Message::Notification(_))).collect();
        let expected = usize::from(stop != Stop::Silent);
        assert_eq!(notifications.len(), expected, "{stop:?}");
        assert!(stage.speaker.is_stopped() && stage.speaker.next_deadline().is_none());
        stage.accept();
        assert!(stage.outputs.is_empty(), "nothing comes any more");
    }
}

#[test]
fn equal_seeds_and_inputs_give_equal_outputs() {
    let run = || {
        let mut stage = Stage::new(|neighbor| neighbor.passive = false);
        for _ in 0..20 {
            stage.pass(Duration::from_secs(3));
            stage.accept();
        }
        let start = stage.speaker.next_deadline().map(|deadline| deadline - stage.now);
        (format!("{:?}", stage.outputs), start)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_held_session_stays_down_and_says_why() {
    let (mut stage, connection) = Stage::established();
    stage.update(connection, announce(&["10.2.0.0/24"]));
    stage.pass(Duration::from_millis(10));
    let mut config = stage.speaker.config.clone();
    config.neighbors[0].hold = Some(crate::config::Hold::Shutdown("new cables".to_owned()));
    stage.input(Input::Configure(config.clone()));
    let sent = stage.take_sent(connection);
    let Some(Message::Notification(notification)) = sent.last() else { panic!("{sent:?}") };
    assert_eq!(notification.to_string(), Notification::admin_shutdown("new cables").to_string());
    stage.pass(Duration::from_mins(10));
    assert!(stage.speaker.routes().is_empty(), "its routes are gone");
    let neighbor = stage.speaker.status(stage.now).neighbors.remove(0);
    assert_eq!(neighbor.state, SessionState::Idle);
    assert_eq!(neighbor.last_down.unwrap().reason, "shut down by configuration: new cables");
    let refused = stage.accept();
    assert!(
        stage
            .outputs
            .iter()
            .any(|output| matches!(output, Output::Close { connection } if *connection == refused))
    );

    config.neighbors[0].hold = None;
    stage.input(Input::Configure(config));
    let connection = stage.accept();
    stage.receive(connection, Message::Open(open()));
    stage.receive(connection, Message::Keepalive);
    assert_eq!(stage.state(), SessionState::Established);
}
