//! The speaker's forwarding table in the kernel, or nowhere for a router that only reflects.

use std::{collections::BTreeSet, io, thread::JoinHandle};

use anyhow::{Context, Result, anyhow};
use bgp::{driver::FibEvent, fib::RouteChange};
use felix::{
    kernel::route_writer::RouteWriter,
    model::route::{NextHop, Ownership, RouteSource, RouteTarget},
};
use ipnetwork::IpNetwork;

/// The kernel's side of the router.
pub(super) struct Kernel {
    writer: Option<Writer>,
    /// What was asked for, to be removed when the router leaves.
    installed: BTreeSet<IpNetwork>,
}

struct Writer {
    handle: RouteWriter,
    thread: JoinHandle<()>,
}

impl Kernel {
    /// Reads back the routes of a former process and starts the writer, if there is to be one.
    ///
    /// # Errors
    /// The kernel does not let us: the text says what is missing.
    pub(super) fn start(is_wanted: bool) -> Result<Self> {
        let start = || -> io::Result<Writer> {
            let (handle, thread) = RouteWriter::start(Ownership::ROUTER)?;
            Ok(Writer { handle, thread })
        };
        let writer = is_wanted.then(start).transpose().context(
            "the kernel's routes cannot be written; give the capability CAP_NET_ADMIN, or set kernel_routes = false",
        )?;
        Ok(Self { writer, installed: BTreeSet::new() })
    }

    /// The writer, for status.
    pub(super) fn writer(&self) -> Option<RouteWriter> {
        self.writer.as_ref().map(|writer| writer.handle.clone())
    }

    /// Takes one change.
    pub(super) fn apply(&mut self, event: FibEvent) {
        let Some(writer) = &self.writer else { return };
        match event {
            FibEvent::Synced => writer.handle.in_sync(RouteSource::Bgp),
            FibEvent::Change(change) => {
                let prefix = change.prefix;
                let target = target(change);
                if target.is_some() {
                    self.installed.insert(prefix);
                } else {
                    self.installed.remove(&prefix);
                }
                writer.handle.set(RouteSource::Bgp, prefix, target);
            }
        }
    }

    /// Removes all routes of ours, those of a former process included.
    ///
    /// # Errors
    /// The writer has stopped, or some routes stay because the kernel does not remove them.
    pub(super) async fn remove_all(&mut self) -> Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let former = writer.handle.observed(RouteSource::Bgp);
        for prefix in std::mem::take(&mut self.installed).into_iter().chain(former.into_keys()) {
            writer.handle.set(RouteSource::Bgp, prefix, None);
        }
        writer.handle.in_sync(RouteSource::Bgp);
        writer.handle.flush().await?;
        Ok(())
    }

    /// Ends the writer once it has done what it was asked; the routes stay.
    ///
    /// # Errors
    /// The writer's thread panicked.
    pub(super) fn stop(self) -> Result<()> {
        let Some(writer) = self.writer else { return Ok(()) };
        writer.handle.stop();
        writer.thread.join().map_err(|_| anyhow!("the route writer panicked"))
    }
}

fn target(change: RouteChange) -> Option<RouteTarget> {
    let hops = change.next_hops.into_iter();
    let hops: BTreeSet<NextHop> =
        hops.map(|hop| NextHop { gateway: hop.gateway, interface: hop.interface }).collect();
    (!hops.is_empty()).then_some(RouteTarget::Via(hops))
}
