//! What a neighbor must be told, and its bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ipnetwork::IpNetwork;

use crate::policy::Route;
use crate::wire::{Announcement, Encoding, Family, encode_withdrawn};

/// What a neighbor must be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Delta {
    withdrawn: Vec<IpNetwork>,
    announced: BTreeMap<(Family, Arc<Route>), Vec<IpNetwork>>,
}

impl Delta {
    pub(super) fn announce(&mut self, prefix: IpNetwork, route: &Arc<Route>) {
        self.announced.entry((Family::of(&prefix), Arc::clone(route))).or_default().push(prefix);
    }

    pub(super) fn withdraw(&mut self, prefix: IpNetwork) {
        self.withdrawn.push(prefix);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.withdrawn.is_empty() && self.announced.is_empty()
    }

    /// The messages, withdrawals first, and the prefixes whose attributes are too large for any.
    fn encode(&self, encoding: Encoding) -> (Vec<Bytes>, Vec<IpNetwork>) {
        let mut announcements = Vec::new();
        let mut too_large = Vec::new();
        for ((family, route), prefixes) in &self.announced {
            let announcement = Announcement {
                family: *family,
                next_hop: route.next_hop,
                attributes: Arc::clone(&route.attributes),
                prefixes: prefixes.clone(),
            };
            match announcement.encode(encoding) {
                Ok(messages) => announcements.extend(messages),
                Err(_) => too_large.extend(prefixes),
            }
        }
        // The neighbor may know a former, smaller version of what it can no longer be told.
        let gone: Vec<IpNetwork> = self.withdrawn.iter().chain(&too_large).copied().collect();
        let mut messages = encode_withdrawn(&gone, encoding);
        messages.extend(announcements);
        (messages, too_large)
    }
}

/// The deltas of one group with their bytes. Most members of a group have the same one.
#[derive(Debug)]
pub(super) struct Encoded {
    encoding: Encoding,
    known: Vec<(Delta, Vec<Bytes>, Vec<IpNetwork>)>,
}

/// Comparing a delta with more than this many others costs more than encoding it again.
const KNOWN_MAX: usize = 8;

impl Encoded {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, known: Vec::new() }
    }

    /// The messages of this delta, and the prefixes that do not fit into any.
    pub(super) fn of(&mut self, delta: Delta) -> (&[Bytes], &[IpNetwork]) {
        let found = self.known.iter().position(|(known, ..)| *known == delta);
        let place = found.unwrap_or_else(|| {
            let (messages, too_large) = delta.encode(self.encoding);
            if self.known.len() == KNOWN_MAX {
                self.known.pop();
            }
            self.known.push((delta, messages, too_large));
            self.known.len() - 1
        });
        let (_, messages, too_large) = &self.known[place];
        (messages, too_large)
    }
}
