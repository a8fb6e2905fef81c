//! Neighbors that tell more than they may (RFC 4271 section 6.7, RFC 4486).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Output, SessionEventKind, Speaker};
use crate::config::MaxPrefixesAction;
use crate::peer::Loss;
use crate::wire::Family;

impl Speaker {
    /// After an UPDATE that told routes: whether there are more than the neighbor may tell. `before` says how many
    /// there were in each family, and how many had been discarded.
    pub(super) fn check_max_prefixes(
        &mut self,
        now: Instant,
        address: IpAddr,
        before: ([usize; 2], usize),
        outputs: &mut Vec<Output>,
    ) {
        let Some(max) = self.peers.get(&address).and_then(|peer| peer.config().max_prefixes) else { return };
        let (received, discarded) = self.prefixes(address);
        // The first one too many is news; those that follow are counted.
        if discarded > 0 && before.1 == 0 {
            let reason = format!("more than max_prefixes.limit {}: what is beyond is discarded", max.limit);
            self.event(address, SessionEventKind::TooManyPrefixes { reason }, outputs);
        }
        let exceeded = Family::ALL.into_iter().zip(received).zip(before.0);
        let is_last_word = max.action == MaxPrefixesAction::Shutdown;
        let exceeded = exceeded
            .filter(|((_, count), before)| *count > max.limit && (*before <= max.limit || is_last_word));
        for ((family, _), _) in exceeded {
            let reason = format!("more than max_prefixes.limit {} of {family}", max.limit);
            self.event(address, SessionEventKind::TooManyPrefixes { reason: reason.clone() }, outputs);
            if max.action == MaxPrefixesAction::Shutdown {
                let pause = max.restart_secs.map(|secs| Duration::from_secs(u64::from(secs)));
                self.with_peer(now, address, outputs, |peer, turn| peer.exceeded(turn, &reason, pause));
                self.rib.lose(address, &Loss::default());
                return;
            }
        }
    }

    /// How many prefixes of each family the neighbor told, and how many were discarded.
    pub(super) fn prefixes(&self, address: IpAddr) -> ([usize; 2], usize) {
        (Family::ALL.map(|family| self.rib.received(address, family)), self.rib.discarded(address))
    }
}
