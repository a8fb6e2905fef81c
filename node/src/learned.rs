//! What peers advertise inside the ranges that this node is to use: a block of which a part is in use elsewhere is
//! not begun.
//!
//! Routing writes each change of its forwarding table; whoever asks names ranges, and is told of changes inside these
//! alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnetwork::IpNetwork;
use tokio::sync::watch;

/// The prefixes that peers advertise and by which way; written by routing, asked by attachments.
#[derive(Clone, Debug)]
pub struct Learned {
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    ways: BTreeMap<IpNetwork, String>,
    asked: BTreeSet<IpNetwork>,
}

impl Default for Learned {
    fn default() -> Self {
        Self { inner: Arc::default(), changed: watch::Sender::new(0) }
    }
}

impl Learned {
    /// Notes by which way the prefix is advertised; nothing where it is not any more.
    pub fn set(&self, prefix: IpNetwork, way: Option<String>) {
        let mut inner = self.lock();
        let former = match way {
            Some(way) => inner.ways.insert(prefix, way.clone()).is_none_or(|former| former != way),
            None => inner.ways.remove(&prefix).is_some(),
        };
        if former && inner.asked.iter().any(|range| api::prefix::covers(*range, prefix)) {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    /// What is advertised inside these ranges, and by which way; from now on changes inside them are told.
    pub fn inside(&self, ranges: BTreeSet<IpNetwork>) -> BTreeMap<IpNetwork, String> {
        let mut inner = self.lock();
        let within = |range: IpNetwork| {
            let from = inner.ways.range(range..);
            // Prefixes inside a range follow it in the order of the map.
            from.take_while(move |(prefix, _)| range.contains(prefix.network()))
                .filter(move |(prefix, _)| api::prefix::covers(range, **prefix))
                .map(|(prefix, way)| (*prefix, way.clone()))
        };
        let found = ranges.iter().flat_map(|range| within(*range)).collect();
        inner.asked = ranges;
        found
    }

    /// Raised with each change inside the ranges that were asked for last.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change of the maps is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_inside_is_found_and_told() {
        let prefix = |text: &str| text.parse::<IpNetwork>().unwrap();
        let learned = Learned::default();
        let ranges = || BTreeSet::from([prefix("10.244.0.64/26"), prefix("fd00::/122")]);
        assert!(learned.inside(ranges()).is_empty());
        // (prefix, way, is it found, is it told)
        let cases = [
            ("10.244.0.64/26", Some("a"), true, true),
            ("10.244.0.64/26", Some("a"), true, false),
            ("10.244.0.64/26", Some("b"), true, true),
            ("10.244.0.70/32", Some("a"), true, true),
            ("10.244.0.0/24", Some("a"), false, false),
            ("10.244.0.128/26", Some("a"), false, false),
            ("10.244.0.0/26", Some("a"), false, false),
            ("0.0.0.0/0", Some("a"), false, false),
            ("fd00::/122", Some("a"), true, true),
            ("fd00::/122", None, false, true),
            ("fd00::/122", None, false, false),
            ("10.244.0.128/26", None, false, false),
        ];
        let mut told = learned.subscribe();
        for (text, way, is_found, is_told) in cases {
            told.mark_unchanged();
            learned.set(prefix(text), way.map(str::to_owned));
            assert_eq!(learned.inside(ranges()).contains_key(&prefix(text)), is_found, "{text} {way:?}");
            assert_eq!(told.has_changed().unwrap(), is_told, "{text} {way:?}");
        }
    }
}
