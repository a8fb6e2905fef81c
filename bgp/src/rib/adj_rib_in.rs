//! What one neighbor said.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::{Counts, Path};
use crate::policy::ImportContext;
use crate::wire::Family;

#[derive(Debug)]
struct Entry {
    path: Arc<Path>,
    is_stale: bool,
}

/// What one neighbor said and has not withdrawn, rejected paths included.
#[derive(Debug, Default)]
pub(super) struct AdjRibIn {
    entries: BTreeMap<IpNetwork, Entry>,
    ipv4: usize,
    /// What was not taken because there was too much.
    discarded: usize,
}

impl AdjRibIn {
    /// The path, if it differs from the former one; the entry is fresh in any case.
    pub(super) fn insert(&mut self, prefix: IpNetwork, path: Path) -> Option<Arc<Path>> {
        if let Some(entry) = self.entries.get_mut(&prefix).filter(|entry| *entry.path == path) {
            entry.is_stale = false;
            return None;
        }
        let path = Arc::new(path);
        let former = self.entries.insert(prefix, Entry { path: Arc::clone(&path), is_stale: false });
        self.ipv4 += usize::from(former.is_none() && prefix.is_ipv4());
        Some(path)
    }

    /// Whether there was such an entry; it is gone.
    pub(super) fn remove(&mut self, prefix: &IpNetwork) -> bool {
        let is_gone = self.entries.remove(prefix).is_some();
        self.ipv4 -= usize::from(is_gone && prefix.is_ipv4());
        is_gone
    }

    /// The prefixes of the entries for which the condition on prefix and staleness held; they are gone.
    pub(super) fn remove_where(&mut self, condition: impl Fn(&IpNetwork, bool) -> bool) -> Vec<IpNetwork> {
        let is_gone = |prefix: &IpNetwork, entry: &mut Entry| condition(prefix, entry.is_stale);
        let gone: Vec<IpNetwork> = self.entries.extract_if(.., is_gone).map(|(prefix, _)| prefix).collect();
        self.ipv4 -= gone.iter().filter(|prefix| prefix.is_ipv4()).count();
        gone
    }

    /// Everything is stale from now on; the paths that change by that, because the neighbor is silent.
    pub(super) fn mark_stale(&mut self, is_silent: bool) -> Vec<(IpNetwork, Arc<Path>)> {
        let mut changed = Vec::new();
        for (prefix, entry) in &mut self.entries {
            entry.is_stale = true;
            if is_silent && !entry.path.is_silent {
                entry.path = Arc::new(Path { is_silent, ..(*entry.path).clone() });
                changed.push((*prefix, Arc::clone(&entry.path)));
            }
        }
        changed
    }

    /// The paths whose judgement is another now.
    pub(super) fn import_again(&mut self, context: &ImportContext<'_>) -> Vec<(IpNetwork, Arc<Path>)> {
        let mut changed = Vec::new();
        for (prefix, entry) in &mut self.entries {
            let judged = entry.path.judged(context, prefix);
            if judged.rejection != entry.path.rejection {
                entry.path = Arc::new(judged);
                changed.push((*prefix, Arc::clone(&entry.path)));
            }
        }
        changed
    }

    /// How many prefixes of the family it has.
    pub(super) fn len(&self, family: Family) -> usize {
        match family {
            Family::Ipv4Unicast => self.ipv4,
            Family::Ipv6Unicast => self.entries.len() - self.ipv4,
        }
    }

    /// Whether a path of this prefix is one too many; it is counted.
    pub(super) fn discard(&mut self, prefix: &IpNetwork, limit: Option<usize>) -> bool {
        let is_full = limit.is_some_and(|limit| self.len(Family::of(prefix)) >= limit);
        let is_discarded = is_full && !self.entries.contains_key(prefix);
        self.discarded += usize::from(is_discarded);
        is_discarded
    }

    /// How many were discarded since the session came up.
    pub(super) fn discarded(&self) -> usize {
        self.discarded
    }

    pub(super) fn is_stale(&self, prefix: &IpNetwork) -> bool {
        self.entries.get(prefix).is_some_and(|entry| entry.is_stale)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn counts(&self, family: Family) -> Counts {
        let mut counts = Counts::default();
        for (_, entry) in self.entries.iter().filter(|(prefix, _)| Family::of(prefix) == family) {
            counts.received += 1;
            counts.accepted += usize::from(entry.path.rejection.is_none());
            counts.stale += usize::from(entry.is_stale);
        }
        counts
    }
}
