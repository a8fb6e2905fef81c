//! One prefix: its paths and what was decided about them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::decision::{Verdict, decide};
use super::{Path, Source};
use crate::fib::FibNextHop;

/// A path and what the last decision said about it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The path.
    pub(crate) path: Arc<Path>,
    /// The verdict.
    pub(crate) verdict: Verdict,
}

/// One prefix.
#[derive(Debug, Default)]
pub(crate) struct Destination {
    /// One for each source, in the order of sources, so that nothing depends on the order of arrival.
    candidates: Vec<Candidate>,
    best: Option<Arc<Path>>,
}

impl Destination {
    /// Takes the place of the former path of the same source.
    pub(super) fn insert(&mut self, path: Arc<Path>) {
        let source = path.peer();
        let candidate = Candidate { path, verdict: Verdict::Pending };
        match self.find(source) {
            Ok(index) => self.candidates[index] = candidate,
            Err(index) => self.candidates.insert(index, candidate),
        }
    }

    /// The neighbor's path is gone; without a neighbor, our own.
    pub(super) fn remove(&mut self, peer: Option<IpAddr>) {
        if let Ok(index) = self.find(peer) {
            self.candidates.remove(index);
        }
    }

    /// Decides anew; whether another path is best than before, or none.
    pub(super) fn decide(&mut self, multipath_max: usize) -> bool {
        let paths: Vec<&Path> = self.candidates.iter().map(|candidate| &*candidate.path).collect();
        let verdicts = decide(&paths, multipath_max);
        for (candidate, verdict) in self.candidates.iter_mut().zip(verdicts) {
            candidate.verdict = verdict;
        }
        let best = self.candidates.iter().find(|candidate| candidate.verdict == Verdict::Best);
        let best = best.map(|candidate| Arc::clone(&candidate.path));
        let is_changed = self.best != best;
        self.best = best;
        is_changed
    }

    /// The best path of the last decision.
    pub(crate) fn best(&self) -> Option<&Arc<Path>> {
        self.best.as_ref()
    }

    /// All paths, ours first, then by neighbor.
    pub(crate) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The next hops of the best path and its equals; none if it is our own.
    pub(crate) fn next_hops(&self) -> BTreeSet<FibNextHop> {
        self.candidates
            .iter()
            .filter(|candidate| matches!(candidate.verdict, Verdict::Best | Verdict::Multipath))
            .filter_map(|candidate| candidate.path.next_hop)
            .map(|next_hop| FibNextHop { gateway: next_hop.address, interface: None })
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty() && self.best.is_none()
    }

    /// Whether we originate it, or did when it was decided last.
    pub(super) fn concerns_local(&self) -> bool {
        let is_local = |path: &Path| path.source == Source::Local;
        self.candidates.iter().any(|candidate| is_local(&candidate.path))
            || self.best.as_deref().is_some_and(is_local)
    }

    fn find(&self, peer: Option<IpAddr>) -> Result<usize, usize> {
        self.candidates.binary_search_by_key(&peer, |candidate| candidate.path.peer())
    }
}
