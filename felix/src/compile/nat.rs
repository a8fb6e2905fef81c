//! Which sources are translated, from the pools.

use std::collections::BTreeSet;

use super::base;
use super::draft::Draft;
use super::spans::{elements, merge, span_of};
use crate::model::{Model, Pool};
use crate::program::Element;

/// Makes the sets of pools what they shall be. Pools are few, so all are looked at.
pub(super) fn refresh(model: &Model, draft: &mut Draft) {
    for is_v4 in [true, false] {
        let of_family = || model.pools.values().filter(move |pool| pool.cidr.is_ipv4() == is_v4);
        let all: Vec<&Pool> = of_family().collect();
        let translated: Vec<&Pool> = of_family().filter(|pool| pool.nat_outgoing).collect();
        draft.set_elements(&base::pools_set(is_v4), &ranges(&all, is_v4));
        draft.set_elements(&base::translated_set(is_v4), &ranges(&translated, is_v4));
    }
}

/// Merged, as pools that overlap by mistake must not make a transaction fail.
fn ranges(pools: &[&Pool], is_v4: bool) -> BTreeSet<Element> {
    let spans = merge(pools.iter().map(|pool| span_of(pool.cidr)).collect());
    elements(&spans, is_v4).collect()
}
