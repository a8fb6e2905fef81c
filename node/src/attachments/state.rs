//! Addresses and endpoints in one place, changed together and told to the other compartments at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use felix::{
    kernel::route_writer::RouteWriter,
    model::route::{RouteSource, RouteTarget},
};
use ipam::{
    local::{COOLDOWN_MILLIS, Local, Memory, OutOfAddresses},
    owner::Owner,
};
use ipnetwork::IpNetwork;
use tokio::sync::{Notify, futures::Notified};

use super::{AttachmentsView, now};
use crate::shared::{Endpoint, Endpoints, OwnBlocks, Shared};

/// The state; every change goes through [`State::change`].
pub(super) struct State {
    inner: Mutex<Inner>,
    shared: Shared,
    routes: RouteWriter,
    view: AttachmentsView,
    /// Addresses may have become free, or blocks have come.
    addresses_changed: Notify,
}

/// What changes together.
pub(super) struct Inner {
    /// Which address serves whom.
    pub(super) local: Local,
    /// The pod interfaces by name.
    pub(super) endpoints: BTreeMap<String, Arc<Endpoint>>,
    /// Whom an ADD serves that has not ended: their addresses have no endpoint yet.
    pub(super) under_way: BTreeSet<Owner>,
    /// Whether the kernel's endpoints are known: all that policy needs.
    pub(super) endpoints_in_sync: bool,
    /// Whether the blocks and the node are known too, so that addresses can be given.
    pub(super) in_sync: bool,
}

impl State {
    pub(super) fn new(memory: Memory, shared: Shared, routes: RouteWriter, view: AttachmentsView) -> Self {
        let local = Local::new(memory, COOLDOWN_MILLIS);
        let (endpoints, under_way) = (BTreeMap::new(), BTreeSet::new());
        let inner = Inner { local, endpoints, under_way, endpoints_in_sync: false, in_sync: false };
        Self { inner: Mutex::new(inner), shared, routes, view, addresses_changed: Notify::new() }
    }

    /// Looks at the state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state and tells the others what is new; the answer's number is the endpoints' generation after it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> (T, u64) {
        let mut inner = self.lock();
        let value = change(&mut inner);
        let generation = self.tell(&inner);
        (value, generation)
    }

    /// The owner's addresses; or why there are none, with what ends once that may be otherwise.
    pub(super) fn assign(&self, owner: &Owner) -> Result<Vec<IpAddr>, Box<(OutOfAddresses, Notified<'_>)>> {
        let mut inner = self.lock();
        match inner.local.assign(now(), owner) {
            Ok(addresses) => {
                self.tell(&inner);
                Ok(addresses)
            }
            // Subscribed under the lock, so that no change is missed; and not told, as nothing changed: whoever waits
            // would wake itself by its own attempt, for ever.
            Err(error) => Err(Box::new((error, self.addresses_changed.notified()))),
        }
    }

    /// Nothing is told before all is known: a former run of this compartment told more, and less than that would be
    /// taken for a loss.
    fn tell(&self, inner: &Inner) -> u64 {
        if inner.endpoints_in_sync {
            self.tell_endpoints(inner);
        }
        if inner.in_sync {
            self.tell_blocks(inner);
            self.view.update(&inner.local, &inner.endpoints);
        }
        self.addresses_changed.notify_waiters();
        self.shared.endpoints.borrow().generation
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere in the compartment ends it; until then each change is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_endpoints(&self, inner: &Inner) {
        self.shared.endpoints.send_if_modified(|known| {
            let is_new = known.by_interface != inner.endpoints || !known.in_sync;
            if is_new {
                *known = Endpoints {
                    generation: known.generation + 1,
                    by_interface: inner.endpoints.clone(),
                    in_sync: true,
                };
            }
            is_new
        });
    }

    /// A block's blackhole keeps what no pod has from leaving by the default route; a block of one address has none,
    /// as it would be its pod's own route.
    fn tell_blocks(&self, inner: &Inner) {
        let blocks = inner.local.advertised();
        self.shared.blocks.send_if_modified(|known| {
            let gone = known.blocks.iter().filter(|block| !blocks.contains(block));
            for block in gone.filter(|block| !is_single_address(**block)) {
                self.routes.set(RouteSource::Local, *block, None);
            }
            let new = blocks.iter().filter(|block| !known.blocks.contains(block));
            for block in new.filter(|block| !is_single_address(**block)) {
                self.routes.set(RouteSource::Local, *block, Some(RouteTarget::Blackhole));
            }
            let next = OwnBlocks { in_sync: true, blocks };
            let is_new = *known != next;
            *known = next;
            is_new
        });
    }
}

fn is_single_address(block: IpNetwork) -> bool {
    block.prefix() == IpNetwork::from(block.network()).prefix()
}

impl Inner {
    /// The endpoint that holds this address.
    pub(super) fn endpoint_of(&self, address: IpAddr) -> Option<&Arc<Endpoint>> {
        self.endpoints.values().find(|endpoint| endpoint.addresses.contains(&address))
    }
}
