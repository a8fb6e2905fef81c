use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::config::{ExportPolicy, Origination};
use crate::policy::{ExportContext, Route, export};
use crate::speaker::ConnectionId;
use crate::wire::{
    AsPath, Attributes, Community, Encoding, Message, NextHop, Origin, RouterId, SessionContext, decode,
};

const ASN: u32 = 64512;
const PEERS: u8 = 5;

fn address(peer: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, peer])
}

/// Peers 0 and 1 are internal, the others external.
fn source(peer: u8) -> Arc<PeerSource> {
    let router_id = RouterId::new(u32::from(peer) + 1).unwrap();
    Arc::new(PeerSource { address: address(peer), router_id, is_ebgp: peer >= 2 })
}

fn prefix(number: u8) -> IpNetwork {
    IpNetwork::new(IpAddr::from([10, 1, number, 0]), 24).unwrap()
}

fn announcement(peer: u8, prefixes: &[u8], variant: u8) -> Announcement {
    let mut attributes = Attributes::new(Origin::Igp, AsPath::sequence([65000 + u32::from(peer)]));
    attributes.med = Some(u32::from(variant));
    if variant == 3 {
        attributes.communities = vec![Community::NO_EXPORT];
    }
    if peer < 2 {
        attributes.as_path = AsPath::default();
        attributes.local_pref = Some(100);
    }
    Announcement {
        family: Family::Ipv4Unicast,
        next_hop: NextHop::new(address(peer)),
        attributes: Arc::new(attributes),
        prefixes: prefixes.iter().map(|number| prefix(*number)).collect(),
    }
}

fn import_context(own_addresses: &BTreeSet<IpAddr>) -> ImportContext<'_> {
    let router_id = RouterId::new(99).unwrap();
    ImportContext {
        asn: ASN,
        router_id,
        import_default_routes: false,
        own_addresses,
        own_asns_max: 0,
        prefixes_max: None,
    }
}

fn announce(rib: &mut Rib, peer: u8, prefixes: &[u8], variant: u8) {
    rib.announce(&source(peer), &import_context(&BTreeSet::new()), announcement(peer, prefixes, variant));
}

fn decide_all(rib: &mut Rib) -> Vec<IpNetwork> {
    let dirty = rib.take_dirty(false);
    dirty.into_iter().filter(|prefix| rib.decide(*prefix, 8).is_best_changed).collect()
}

#[test]
fn equal_routes_change_nothing_and_end_staleness() {
    let mut rib = Rib::default();
    announce(&mut rib, 2, &[1, 2], 0);
    assert_eq!(decide_all(&mut rib), [prefix(1), prefix(2)]);
    rib.lose(address(2), &loss(true));
    assert!(!rib.is_dirty(), "stale routes are used on");
    assert_eq!(rib.counts(address(2), Family::Ipv4Unicast), Counts { received: 2, accepted: 2, stale: 2 });
    announce(&mut rib, 2, &[1], 0);
    assert!(!rib.is_dirty(), "the same again");
    assert_eq!(rib.drop_stale(address(2), &[Family::Ipv6Unicast]), 0, "another family");
    assert_eq!(rib.drop_stale(address(2), &[Family::Ipv4Unicast]), 1);
    assert_eq!(decide_all(&mut rib), [prefix(2)]);
    assert_eq!(rib.counts(address(2), Family::Ipv4Unicast), Counts { received: 1, accepted: 1, stale: 0 });
}

fn loss(drop_stale: bool) -> Loss {
    Loss { retained: vec![Family::Ipv4Unicast], drop_stale, is_silent: false }
}

#[test]
fn routes_of_a_silent_neighbor_wait_behind_all_others() {
    let mut rib = Rib::default();
    let gateways = |rib: &mut Rib| -> Vec<IpAddr> {
        rib.decide(prefix(1), 8).next_hops.into_iter().map(|hop| hop.gateway).collect()
    };
    announce(&mut rib, 2, &[1], 0);
    announce(&mut rib, 3, &[1], 0);
    assert_eq!(gateways(&mut rib), [address(2), address(3)]);
    rib.take_dirty(false);
    rib.lose(address(2), &Loss { is_silent: true, ..loss(false) });
    assert_eq!(rib.take_dirty(false), [prefix(1)].into());
    assert_eq!(gateways(&mut rib), [address(3)]);
    rib.withdraw(address(3), &[prefix(1)]);
    assert_eq!(gateways(&mut rib), [address(2)], "better than nothing");
    announce(&mut rib, 3, &[1], 0);
    announce(&mut rib, 2, &[1], 0);
    assert_eq!(gateways(&mut rib), [address(2), address(3)], "it speaks again");
}

#[test]
fn a_second_loss_drops_or_keeps_what_was_stale() {
    for (drop_stale, left) in [(true, 1), (false, 2)] {
        let mut rib = Rib::default();
        announce(&mut rib, 2, &[1, 2], 0);
        rib.lose(address(2), &loss(true));
        announce(&mut rib, 2, &[1], 0);
        rib.lose(address(2), &loss(drop_stale));
        assert_eq!(rib.counts(address(2), Family::Ipv4Unicast).received, left);
    }
}

#[test]
fn a_loss_without_grace_leaves_nothing() {
    let mut rib = Rib::default();
    announce(&mut rib, 2, &[1, 2], 0);
    decide_all(&mut rib);
    rib.lose(address(2), &Loss::default());
    assert_eq!(decide_all(&mut rib).len(), 2);
    assert!(rib.destinations().is_empty() && rib.adj_ribs_in.is_empty());
}

#[test]
fn our_own_routes_are_a_set() {
    let mut rib = Rib::default();
    let wanted = |med: Option<u32>, numbers: &[u8]| -> Originations {
        numbers
            .iter()
            .map(|number| (prefix(*number), Origination { med, ..Origination::default() }))
            .collect()
    };
    rib.originate(wanted(None, &[1, 2]));
    assert_eq!(decide_all(&mut rib), [prefix(1), prefix(2)]);
    rib.originate(wanted(None, &[1, 2]));
    assert!(!rib.is_dirty());
    rib.originate(wanted(None, &[2, 3]));
    assert_eq!(decide_all(&mut rib), [prefix(1), prefix(3)]);
    rib.originate(wanted(Some(1), &[2, 3]));
    assert_eq!(decide_all(&mut rib), [prefix(2), prefix(3)], "other attributes");
}

#[test]
fn while_routes_are_collected_only_our_own_are_decided() {
    let mut rib = Rib::default();
    announce(&mut rib, 2, &[1, 2], 0);
    rib.originate([(prefix(2), Origination::default())].into());
    assert!(rib.is_local_dirty());
    assert_eq!(rib.take_dirty(true), [prefix(2)].into());
    assert!(!rib.is_local_dirty() && rib.is_dirty());
    assert_eq!(rib.take_dirty(false), [prefix(1)].into());
}

#[test]
fn a_changed_judgement_is_decided_anew() {
    let mut rib = Rib::default();
    announce(&mut rib, 2, &[1], 0);
    decide_all(&mut rib);
    let own = BTreeSet::from([address(2)]);
    rib.import_again(address(2), &import_context(&own));
    assert_eq!(decide_all(&mut rib), [prefix(1)], "the next hop turned out to be ours");
    assert_eq!(rib.counts(address(2), Family::Ipv4Unicast), Counts { received: 1, accepted: 0, stale: 0 });
    rib.import_again(address(2), &import_context(&own));
    assert!(!rib.is_dirty());
}

/// One of the contexts in which peers of this kind are told routes.
fn context(peer: u8, variant: u8) -> ExportContext {
    ExportContext {
        asn: ASN,
        is_ebgp: peer >= 2,
        policy: if variant == 1 { ExportPolicy::OriginatedOnly } else { ExportPolicy::All },
        families: vec![Family::Ipv4Unicast],
        next_hop_ipv4: Some(Ipv4Addr::new(10, 9, 0, variant)),
        next_hop_ipv6: None,
        encoding: Encoding { four_octet_as: true, message_len_max: 4096 },
    }
}

/// What can happen between two turns.
#[derive(Clone, Debug)]
enum Step {
    Announce(u8, Vec<u8>, u8),
    Withdraw(u8, Vec<u8>),
    Originate(Vec<u8>),
    Join(u8, u8),
    Leave(u8),
    Regroup(u8, u8),
    Congest(u8, bool),
    Refresh(u8),
    Turn,
}

fn any_step() -> impl Strategy<Value = Step> {
    let numbers = || prop::collection::vec(0_u8..6, 0..4);
    let peer = || 0..PEERS;
    prop_oneof![
        4 => (peer(), numbers(), 0_u8..4).prop_map(|(peer, numbers, variant)| Step::Announce(peer, numbers, variant)),
        2 => (peer(), numbers()).prop_map(|(peer, numbers)| Step::Withdraw(peer, numbers)),
        1 => numbers().prop_map(Step::Originate),
        2 => (peer(), 0_u8..3).prop_map(|(peer, variant)| Step::Join(peer, variant)),
        1 => peer().prop_map(Step::Leave),
        1 => (peer(), 0_u8..3).prop_map(|(peer, variant)| Step::Regroup(peer, variant)),
        1 => (peer(), any::<bool>()).prop_map(|(peer, is_congested)| Step::Congest(peer, is_congested)),
        1 => peer().prop_map(Step::Refresh),
        4 => Just(Step::Turn),
    ]
}

/// Speaker side and what the peers made of its messages.
#[derive(Default)]
struct World {
    rib: Rib,
    groups: UpdateGroups,
    contexts: BTreeMap<u8, ExportContext>,
    received: BTreeMap<u8, BTreeMap<IpNetwork, Route>>,
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Announce(peer, numbers, variant) => announce(&mut self.rib, peer, &numbers, variant),
            Step::Withdraw(peer, numbers) => {
                let prefixes: Vec<IpNetwork> = numbers.into_iter().map(prefix).collect();
                self.rib.withdraw(address(peer), &prefixes);
            }
            Step::Originate(numbers) => {
                let wanted = numbers.into_iter().map(|number| (prefix(number), Origination::default()));
                self.rib.originate(wanted.collect());
            }
            Step::Join(peer, variant) => {
                let connection = ConnectionId::Accepted(u64::from(peer));
                self.groups.join(address(peer), connection, context(peer, variant));
                self.contexts.insert(peer, context(peer, variant));
                self.received.insert(peer, BTreeMap::new());
            }
            Step::Leave(peer) => {
                self.groups.leave(address(peer));
                self.contexts.remove(&peer);
                self.received.remove(&peer);
            }
            Step::Regroup(peer, variant) => {
                self.groups.regroup(address(peer), context(peer, variant));
                self.contexts.entry(peer).and_modify(|known| *known = context(peer, variant));
            }
            Step::Congest(peer, is_congested) => {
                let connection = ConnectionId::Accepted(u64::from(peer));
                self.groups.set_congested(address(peer), connection, is_congested);
            }
            Step::Refresh(peer) => self.groups.refresh(address(peer), Family::Ipv4Unicast),
            Step::Turn => self.turn(),
        }
    }

    fn turn(&mut self) {
        let changed = decide_all(&mut self.rib);
        let mut told = Told::default();
        self.groups.advertise(&self.rib, &changed, &mut told);
        self.groups.catch_up(&self.rib, true, &mut told);
        assert!(told.too_large.is_empty());
        for (connection, bytes) in told.messages {
            self.receive(connection, &bytes);
        }
    }

    fn receive(&mut self, connection: ConnectionId, bytes: &bytes::Bytes) {
        let ConnectionId::Accepted(peer) = connection else { panic!("{connection:?}") };
        let peer = u8::try_from(peer).unwrap();
        let session = SessionContext {
            four_octet_as: true,
            is_ebgp: peer >= 2,
            peer_asn: ASN,
            families: Family::ALL.to_vec(),
            ..SessionContext::before_open()
        };
        let Message::Update(update) = decode(bytes, &session).unwrap() else {
            panic!("an UPDATE is expected")
        };
        assert!(update.faults.is_empty(), "{:?}", update.faults);
        let received = self.received.get_mut(&peer).unwrap();
        for prefix in update.withdrawn {
            received.remove(&prefix);
        }
        for announcement in update.announced {
            let route = Route { next_hop: announcement.next_hop, attributes: announcement.attributes };
            received.extend(announcement.prefixes.into_iter().map(|prefix| (prefix, route.clone())));
        }
    }

    /// What each peer must know, computed for each alone.
    fn expected(&self, peer: u8) -> BTreeMap<IpNetwork, Route> {
        let routes = self.rib.best_paths().filter_map(|(prefix, path)| {
            let route = export(&self.contexts[&peer], prefix, path)?;
            let goes_back = path.peer() == Some(address(peer)) || route.next_hop.address == address(peer);
            (!goes_back).then_some((*prefix, route))
        });
        routes.collect()
    }
}

proptest! {
    #[test]
    fn groups_tell_every_peer_what_it_would_be_told_alone(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
        }
        for peer in 0..PEERS {
            world.step(Step::Congest(peer, false));
        }
        world.turn();
        for (peer, received) in &world.received {
            prop_assert_eq!(received, &world.expected(*peer), "peer {}", peer);
        }
    }
}
