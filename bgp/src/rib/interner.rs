//! Equal attributes are kept once.

use std::collections::HashSet;
use std::sync::Arc;

use crate::wire::Attributes;

/// Below this many entries looking for unused ones is not worth it.
const SWEEP_MIN: usize = 1024;

/// The attributes in use.
#[derive(Debug)]
pub(super) struct Interner {
    known: HashSet<Arc<Attributes>>,
    sweep_at: usize,
}

impl Default for Interner {
    fn default() -> Self {
        Self { known: HashSet::new(), sweep_at: SWEEP_MIN }
    }
}

impl Interner {
    /// The one value that is equal to this.
    pub(super) fn intern(&mut self, attributes: Arc<Attributes>) -> Arc<Attributes> {
        if let Some(known) = self.known.get(&attributes) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|attributes| Arc::strong_count(attributes) > 1);
            // Doubling keeps the cost of sweeps proportional to that of insertions.
            self.sweep_at = (self.known.len() * 2).max(SWEEP_MIN);
        }
        self.known.insert(Arc::clone(&attributes));
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{AsPath, Origin};

    fn attributes(asn: u32) -> Arc<Attributes> {
        Arc::new(Attributes::new(Origin::Igp, AsPath::sequence([asn])))
    }

    #[test]
    fn equal_values_become_one() {
        let mut interner = Interner::default();
        let first = interner.intern(attributes(1));
        let again = interner.intern(attributes(1));
        let other = interner.intern(attributes(2));
        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &other));
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let mut interner = Interner::default();
        let kept = interner.intern(attributes(0));
        for asn in 1..100_000 {
            interner.intern(attributes(asn));
        }
        assert!(interner.known.len() <= SWEEP_MIN + 1, "{} are kept", interner.known.len());
        assert!(Arc::ptr_eq(&kept, &interner.intern(attributes(0))), "what is in use stays");
    }
}
