//! Endpoints: verdict maps by interface name, the sets against spoofing, and who is local.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::base;
use super::chains::Chains;
use super::draft::Draft;
use super::members::{Member, Members};
use crate::model::{Direction, Endpoint, Model, ObjectKey};
use crate::program::{Element, InterfaceName, Name};

/// What each endpoint has in the program.
#[derive(Default)]
pub(super) struct Dispatch {
    /// Groups that the interface is counted in.
    groups: BTreeMap<InterfaceName, Vec<Name>>,
    /// Elements against spoofing and for hairpins.
    own: BTreeMap<InterfaceName, BTreeSet<Element>>,
    /// Interfaces whose endpoint names this pod.
    interfaces: BTreeMap<ObjectKey, BTreeSet<InterfaceName>>,
}

impl Dispatch {
    /// Notes whether the interface serves the pod.
    pub(super) fn index(&mut self, pod: &ObjectKey, interface: InterfaceName, model: &Model) {
        let serves = model.endpoints.get(&interface).is_some_and(|it| it.pod == *pod);
        let interfaces = self.interfaces.entry(pod.clone()).or_default();
        if serves {
            interfaces.insert(interface);
        } else {
            interfaces.remove(&interface);
        }
        if interfaces.is_empty() {
            self.interfaces.remove(pod);
        }
    }

    /// The interfaces that serve the pod.
    pub(super) fn interfaces_of(&self, pod: &ObjectKey) -> Vec<InterfaceName> {
        self.interfaces.get(pod).into_iter().flatten().copied().collect()
    }

    /// The interfaces that serve pods of the namespace.
    pub(super) fn interfaces_in(&self, namespace: &str) -> Vec<InterfaceName> {
        let pods = self.interfaces.range(ObjectKey::new(namespace, "")..);
        let pods = pods.take_while(|(key, _)| key.namespace == namespace);
        pods.flat_map(|(_, interfaces)| interfaces).copied().collect()
    }

    /// The pod as sets see it: an endpoint of this node knows the addresses better than the status.
    pub(super) fn member(&self, key: &ObjectKey, model: &Model) -> Option<Member> {
        let pod = model.pods.get(key)?;
        let endpoints =
            self.interfaces.get(key).into_iter().flatten().filter_map(|it| model.endpoints.get(it));
        let here: Vec<&Endpoint> = endpoints.filter(|it| pod.has_uid(&it.pod_uid)).collect();
        let mut addresses: Vec<IpAddr> = here.iter().flat_map(|it| it.addresses.iter().copied()).collect();
        if here.is_empty() {
            addresses.clone_from(&pod.addresses);
        }
        addresses.sort();
        addresses.dedup();
        Some(Member { pod: Arc::clone(pod), addresses, is_local: !here.is_empty() })
    }

    /// Puts into the program what the interface shall have there now.
    pub(super) fn refresh(
        &mut self,
        interface: InterfaceName,
        model: &Model,
        chains: &mut Chains,
        members: &mut Members,
        draft: &mut Draft,
    ) {
        let endpoint = model.endpoints.get(&interface);
        self.refresh_own(interface, endpoint, draft);
        let pod = endpoint.and_then(|endpoint| model.pod_of(endpoint));
        let mut joined = Vec::new();
        for direction in [Direction::Egress, Direction::Ingress] {
            // Without a pod there is no element: the base chains drop what they find no element for.
            let verdict = pod.map(|pod| {
                let (verdict, group) = chains.join(direction, pod, &model.namespaces, members, draft);
                joined.extend(group);
                verdict
            });
            draft.set_verdict(&base::dispatch_map(direction), interface, verdict);
        }
        // Left after joining, so that a group that stays is never removed and added again.
        for group in self.groups.remove(&interface).into_iter().flatten() {
            chains.leave(&group);
        }
        if !joined.is_empty() {
            self.groups.insert(interface, joined);
        }
    }

    fn refresh_own(&mut self, interface: InterfaceName, endpoint: Option<&Endpoint>, draft: &mut Draft) {
        let wanted: BTreeSet<Element> = endpoint.map(own_elements).unwrap_or_default();
        let have = self.own.remove(&interface).unwrap_or_default();
        for element in have.difference(&wanted) {
            draft.set_element(&base::own_set(element), *element, false);
        }
        for element in wanted.difference(&have) {
            draft.set_element(&base::own_set(element), *element, true);
        }
        if !wanted.is_empty() {
            self.own.insert(interface, wanted);
        }
    }
}

fn own_elements(endpoint: &Endpoint) -> BTreeSet<Element> {
    let interface = endpoint.interface;
    let addresses = endpoint.addresses.iter().map(|address| match address {
        IpAddr::V4(it) => Element::InterfaceV4(interface, *it),
        IpAddr::V6(it) => Element::InterfaceV6(interface, *it),
    });
    addresses.chain([Element::Interfaces(interface, interface)]).collect()
}
