//! The thread's own task: takes what arrives, gives it to the table, and does what the table says.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tracing::warn;

use super::super::packet::Packet;
use super::super::{Input, Output, SessionKey, State, Table, Timers};
use super::changes::Changes;
use super::socket::{self, Datagram, Port};
use super::{Command, DATAGRAM_QUEUE_LEN, DISABLE_TIME_MAX, now};

/// The driver: fields and dispatch.
pub(super) struct Driver {
    table: Table,
    changes: Arc<Changes>,
    receivers: BTreeMap<Port, AbortHandle>,
    senders: BTreeMap<(Option<IpAddr>, bool), UdpSocket>,
    tasks: JoinSet<()>,
    datagrams: mpsc::Sender<Datagram>,
    datagram_queue: mpsc::Receiver<Datagram>,
    /// A planned stop that waits until neighbours have seen it, no longer than until this.
    disabling: Option<(oneshot::Sender<()>, Instant)>,
}

impl Driver {
    pub(super) fn new(seed: u64, changes: Arc<Changes>) -> Self {
        let (datagrams, datagram_queue) = mpsc::channel(DATAGRAM_QUEUE_LEN);
        Self {
            table: Table::new(seed),
            changes,
            receivers: BTreeMap::new(),
            senders: BTreeMap::new(),
            tasks: JoinSet::new(),
            datagrams,
            datagram_queue,
            disabling: None,
        }
    }

    /// Runs until nobody can send a command any more.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let deadline = [self.table.next_deadline(), self.disabling.as_ref().map(|(_, at)| *at)];
            let deadline = deadline.into_iter().flatten().min();
            tokio::select! {
                // Packets first: a command takes its time, and a neighbour must not be missed for it.
                biased;
                Some(datagram) = self.datagram_queue.recv() => self.on_datagram(&datagram),
                () = until(deadline) => self.give(&Input::DeadlinePassed),
                command = commands.recv() => match command {
                    Some(Command::End) | None => break,
                    Some(command) => self.obey(command),
                },
            }
            self.end_disabling();
        }
        // The receivers end with the set.
        self.tasks.shutdown().await;
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Configure(desired, answer) => {
                let outcome = self.configure(desired);
                let _ = answer.send(outcome);
            }
            Command::Status(answer) => {
                let _ = answer.send(self.table.status());
            }
            Command::Disable(answer) => {
                self.give(&Input::Disable);
                self.disabling = Some((answer, now() + DISABLE_TIME_MAX));
            }
            // The loop has seen to it.
            Command::End => {}
        }
    }

    /// A neighbour that was up tells Down once it has seen `AdminDown`.
    fn end_disabling(&mut self) {
        let Some((answer, at)) = self.disabling.take() else { return };
        let has_seen = |status: &super::super::SessionStatus| status.neighbor_state != Some(State::Up);
        if at <= now() || self.table.status().iter().all(has_seen) {
            let _ = answer.send(());
        } else {
            self.disabling = Some((answer, at));
        }
    }

    /// Sessions whose ports cannot be had are left out.
    fn configure(&mut self, mut desired: BTreeMap<SessionKey, Timers>) -> io::Result<()> {
        let mut outcome = Ok(());
        desired.retain(|key, _| match self.prepare(key) {
            Ok(()) => true,
            Err(error) => {
                outcome = Err(error);
                false
            }
        });
        self.give(&Input::Configure(&desired));
        self.close_unused(&desired);
        outcome
    }

    fn prepare(&mut self, key: &SessionKey) -> io::Result<()> {
        let port = Port::of(key);
        if self.receivers.get(&port).is_none_or(AbortHandle::is_finished) {
            let socket = socket::receiver(port)?;
            let receiving = receive(socket, port.is_multihop, self.datagrams.clone());
            self.receivers.insert(port, self.tasks.spawn(receiving));
        }
        if let Entry::Vacant(place) = self.senders.entry((key.local, port.is_ipv4)) {
            place.insert(socket::sender(key.local, port.is_ipv4)?);
        }
        Ok(())
    }

    fn close_unused(&mut self, desired: &BTreeMap<SessionKey, Timers>) {
        self.senders.retain(|from, _| desired.keys().any(|key| *from == (key.local, key.remote.is_ipv4())));
        self.receivers.retain(|port, task| {
            let is_used = desired.keys().any(|key| *port == Port::of(key));
            if !is_used {
                task.abort();
            }
            is_used
        });
        // What has ended is joined.
        while self.tasks.try_join_next().is_some() {}
    }

    fn on_datagram(&mut self, datagram: &Datagram) {
        let Datagram { source, scope, ttl, is_multihop, bytes } = datagram;
        self.give(&Input::Datagram {
            source: *source,
            scope: *scope,
            ttl: *ttl,
            is_multihop: *is_multihop,
            bytes,
        });
    }

    fn give(&mut self, input: &Input<'_>) {
        let mut outputs = Vec::new();
        self.table.handle(now(), input, &mut outputs);
        for output in outputs {
            match output {
                Output::Send(key, packet) => self.send(&key, &packet),
                Output::Changed(key, change) => self.changes.add(key, change),
            }
        }
    }

    /// A packet that cannot be sent is as one that is lost: the neighbour notices.
    fn send(&self, key: &SessionKey, packet: &Packet) {
        if let Some(socket) = self.senders.get(&(key.local, key.remote.is_ipv4())) {
            let _ = socket.try_send_to(&packet.encode(), socket::destination(key));
        }
    }
}

/// Reads datagrams until it is aborted or the socket fails.
async fn receive(socket: UdpSocket, is_multihop: bool, datagrams: mpsc::Sender<Datagram>) {
    loop {
        match socket::receive(&socket, is_multihop).await {
            Ok(Some(datagram)) => {
                if datagrams.send(datagram).await.is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(error) => {
                warn!(cause = %error, "a BFD socket fails; its sessions go down");
                return;
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
