//! The driver's own task: takes what arrives, gives it to the speaker, and does what the speaker says.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::connection::{Reader, Writer};
use super::dial::{self, DIALS_MAX};
use super::fib_queue::{FibEvent, FibQueue};
use super::handle::Command;
use super::listener::{self, Listeners};
use super::outbox::{Outbox, Put};
use super::watch::Watch;
use super::{ARRIVAL_QUEUE_LEN, DriverError, kernel_options, now, socket_options};
use crate::config::{ConfigErrors, ConfigureReport, Password, Transport};
use crate::speaker::{ConnectionId, Dial, Input, Output, SessionEvent, Speaker, Stop};
use crate::wire::SessionContext;

/// What other tasks tell the driver.
pub(super) enum Arrival {
    /// For the speaker as it is.
    Input(Input),
    /// A dial ended.
    Dialed(ConnectionId, Result<TcpStream, String>),
    /// Somebody connected.
    Accepted(TcpStream, SocketAddr),
}

/// One connection as the driver holds it.
struct Connection {
    outbox: Arc<Outbox>,
    context: watch::Sender<Arc<SessionContext>>,
    closing: CancellationToken,
    /// Until the speaker wants to hear it.
    unread: Option<OwnedReadHalf>,
    /// A second descriptor, for a new key; only where there is a key.
    socket: Option<OwnedFd>,
}

impl Drop for Connection {
    /// Both tasks end: what waits is still written, nothing more is read.
    fn drop(&mut self) {
        self.outbox.close();
        self.closing.cancel();
    }
}

/// The driver: fields and dispatch.
pub(super) struct Driver {
    speaker: Speaker,
    listeners: Listeners,
    connections: BTreeMap<ConnectionId, Connection>,
    dials: BTreeMap<ConnectionId, AbortHandle>,
    dial_permits: Arc<Semaphore>,
    accepted_total: u64,
    /// What follows from outputs and goes in before anything else.
    follow_ups: VecDeque<Input>,
    configuring: Option<oneshot::Sender<Result<ConfigureReport, ConfigErrors>>>,
    stopping: Option<oneshot::Sender<()>>,
    fib: FibQueue,
    events: mpsc::Sender<SessionEvent>,
    bfd: Watch,
    tasks: JoinSet<()>,
    arrivals: mpsc::Sender<Arrival>,
    arrival_queue: mpsc::Receiver<Arrival>,
    /// Ends the listeners.
    ending: CancellationToken,
}

impl Driver {
    pub(super) fn new(
        speaker: Speaker,
        listeners: Listeners,
        bfd: Watch,
        fib: mpsc::Sender<FibEvent>,
        events: mpsc::Sender<SessionEvent>,
    ) -> Self {
        let (arrivals, arrival_queue) = mpsc::channel(ARRIVAL_QUEUE_LEN);
        Self {
            speaker,
            listeners,
            connections: BTreeMap::new(),
            dials: BTreeMap::new(),
            dial_permits: Arc::new(Semaphore::new(DIALS_MAX)),
            accepted_total: 0,
            follow_ups: VecDeque::new(),
            configuring: None,
            stopping: None,
            fib: FibQueue::new(fib),
            bfd,
            events,
            tasks: JoinSet::new(),
            arrivals,
            arrival_queue,
            ending: CancellationToken::new(),
        }
    }

    /// Runs until the speaker has stopped and all connections are closed.
    ///
    /// # Errors
    /// A task panicked; the others end with the driver.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Result<(), DriverError> {
        // Before the first connection is taken.
        self.listeners.set_keys(self.speaker.passwords());
        for listener in self.listeners.sockets() {
            self.tasks.spawn(listener::run(listener, self.arrivals.clone(), self.ending.clone()));
        }
        self.bfd.spawn(&mut self.tasks, &self.arrivals);
        self.bfd.set(self.speaker.bfd_sessions());
        self.give(Input::DeadlinePassed);
        while !self.speaker.is_stopped() {
            self.turn(&mut commands).await?;
        }
        self.end(commands).await
    }

    /// Waits for one thing and does it.
    async fn turn(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), DriverError> {
        let deadline = self.speaker.next_deadline();
        let fib = self.fib.sender();
        tokio::select! {
            // Cancel safety: each arm either took its value or left it in its queue.
            command = commands.recv() => {
                // Nobody can stop us any more: so we do.
                self.command(command.unwrap_or_else(|| Command::Stop(Stop::Silent, oneshot::channel().0)));
            }
            Some(arrival) = self.arrival_queue.recv() => self.arrived(arrival),
            permit = fib.reserve(), if !self.fib.is_empty() => match permit {
                Ok(permit) => self.fib.send_next(permit),
                Err(_) => self.fib.abandon(),
            },
            Some(result) = self.tasks.join_next() => return joined(result),
            () = sleep_until(deadline) => self.deadline_passed(),
        }
        Ok(())
    }

    /// Messages that are here already go first: our own slowness must not end a session.
    fn deadline_passed(&mut self) {
        for _ in 0..ARRIVAL_QUEUE_LEN {
            let Ok(arrival) = self.arrival_queue.try_recv() else { break };
            self.arrived(arrival);
        }
        if self.speaker.next_deadline().is_some_and(|deadline| deadline <= now()) {
            self.give(Input::DeadlinePassed);
        }
    }

    fn command(&mut self, command: Command) {
        // Whoever asked may have gone; the answers of the plain ones are then for nobody.
        match command {
            Command::Configure(config, reply) => {
                self.configuring = Some(reply);
                self.give(Input::Configure(config));
            }
            Command::Originate(originations, reply) => {
                self.give(Input::Originate(originations));
                let _ = reply.send(());
            }
            Command::LocalSourcesSynced(reply) => {
                self.give(Input::LocalSourcesSynced);
                let _ = reply.send(());
            }
            Command::Status(reply) => drop(reply.send(self.speaker.status(now()))),
            Command::Routes(reply) => drop(reply.send(self.speaker.routes())),
            Command::Stop(stop, reply) => {
                self.stopping = Some(reply);
                self.give(Input::Stop(stop));
            }
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Input(Input::Closed { connection, reason }) => {
                // Both tasks may say so; the first one counts.
                if self.connections.remove(&connection).is_some() {
                    self.give(Input::Closed { connection, reason });
                }
            }
            Arrival::Input(input) => self.give(input),
            Arrival::Dialed(connection, result) => self.dialed(connection, result),
            Arrival::Accepted(stream, remote) => self.accepted(stream, remote),
        }
    }

    /// Gives the speaker one input, and what follows from its outputs.
    fn give(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.speaker.handle(now(), input, &mut outputs);
        loop {
            for output in outputs.drain(..) {
                self.obey(output);
            }
            let Some(follow_up) = self.follow_ups.pop_front() else { return };
            self.speaker.handle(now(), follow_up, &mut outputs);
        }
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Dial(dial) => self.dial(dial),
            Output::Admit { connection, transport } => self.admit(connection, &transport),
            Output::Rekey { connection, remote, password } => self.rekey(connection, remote, &password),
            Output::Negotiated { connection, context } => {
                if let Some(connection) = self.connections.get(&connection) {
                    connection.context.send_replace(Arc::new(context));
                }
            }
            Output::Send { connection, bytes } => self.send(connection, bytes),
            Output::Close { connection } => self.close(connection),
            Output::Fib(change) => self.fib.push(change),
            Output::FibSynced => self.fib.push_synced(),
            Output::Configured(result) => {
                self.bfd.set(self.speaker.bfd_sessions());
                self.listeners.set_keys(self.speaker.passwords());
                if let Some(reply) = self.configuring.take() {
                    let _ = reply.send(result);
                }
            }
            Output::Event(event) => {
                if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
                    tracing::warn!(peer = event.neighbor, "an event is lost: nobody reads them");
                }
            }
        }
    }

    fn dial(&mut self, dial: Dial) {
        let (arrivals, permits) = (self.arrivals.clone(), Arc::clone(&self.dial_permits));
        let connection = dial.connection;
        let task = self.tasks.spawn(async move {
            let result = dial::dial(dial, permits).await;
            let _ = arrivals.send(Arrival::Dialed(connection, result)).await;
        });
        self.dials.insert(connection, task);
    }

    fn dialed(&mut self, connection: ConnectionId, result: Result<TcpStream, String>) {
        if self.dials.remove(&connection).is_none() {
            // It was called off meanwhile.
            return;
        }
        let opened = result.and_then(|stream| {
            let local = stream.local_addr().map_err(|error| error.to_string())?;
            self.open(connection, stream).map_err(|error| error.to_string())?;
            Ok(socket_options::plain(local.ip()))
        });
        match opened {
            Ok(local) => {
                self.read(connection);
                self.give(Input::Connected { connection, local });
            }
            Err(reason) => self.give(Input::DialFailed { connection, reason }),
        }
    }

    fn accepted(&mut self, stream: TcpStream, remote: SocketAddr) {
        self.accepted_total += 1;
        let connection = ConnectionId::Accepted(self.accepted_total);
        let local = stream.local_addr();
        match (local, self.open(connection, stream)) {
            (Ok(local), Ok(())) => {
                let (remote, local) = (socket_options::plain(remote.ip()), socket_options::plain(local.ip()));
                if !self.listeners.is_keyed(remote) {
                    self.connections.remove(&connection);
                    return;
                }
                self.give(Input::Accepted { connection, remote, local });
            }
            // It was gone before we looked at it.
            _ => drop(self.connections.remove(&connection)),
        }
    }

    /// Takes a connection in: it can be written to from now on, but is not read yet.
    fn open(&mut self, connection: ConnectionId, stream: TcpStream) -> io::Result<()> {
        socket_options::connected(&stream)?;
        let remote = socket_options::plain(stream.peer_addr()?.ip());
        let is_signed = self.listeners.wants_key(remote);
        let socket = if is_signed { Some(stream.as_fd().try_clone_to_owned()?) } else { None };
        let (unread, half) = stream.into_split();
        let outbox = Arc::new(Outbox::default());
        let closing = CancellationToken::new();
        let writer = Writer {
            connection,
            half,
            outbox: Arc::clone(&outbox),
            arrivals: self.arrivals.clone(),
            closing: closing.clone(),
        };
        self.tasks.spawn(writer.run());
        let context = watch::Sender::new(Arc::new(SessionContext::before_open()));
        self.connections
            .insert(connection, Connection { outbox, context, closing, unread: Some(unread), socket });
        Ok(())
    }

    fn admit(&mut self, id: ConnectionId, transport: &Transport) {
        let Some(half) = self.connections.get(&id).and_then(|connection| connection.unread.as_ref()) else {
            return;
        };
        let stream: &TcpStream = half.as_ref();
        // The key stands on the connection too: it may have come before the listener had it.
        let protect = |remote: SocketAddr| {
            socket_options::protect(stream, socket_options::plain(remote.ip()), transport)
        };
        match stream.peer_addr().and_then(protect) {
            Ok(()) => self.read(id),
            Err(error) => self.broke(id, format!("the connection cannot be protected: {error}")),
        }
    }

    fn rekey(&mut self, id: ConnectionId, remote: IpAddr, password: &Password) {
        let socket = self.connections.get(&id).and_then(|connection| connection.socket.as_ref());
        let result =
            socket.map(|socket| kernel_options::set_password(socket.as_fd(), remote, Some(password)));
        if let Some(Err(error)) = result {
            self.broke(id, format!("the new password cannot be set: {error}"));
        }
    }

    /// Begins to read.
    fn read(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Some(half) = connection.unread.take() {
            let reader = Reader {
                connection: id,
                half,
                context: connection.context.subscribe(),
                arrivals: self.arrivals.clone(),
                closing: connection.closing.clone(),
            };
            self.tasks.spawn(reader.run());
        }
    }

    fn send(&mut self, id: ConnectionId, bytes: Bytes) {
        let Some(connection) = self.connections.get(&id) else { return };
        match connection.outbox.put(bytes) {
            Put::Waits => {}
            Put::Full => {
                self.follow_ups.push_back(Input::Congested { connection: id, is_congested: true });
            }
            Put::Overrun => self.broke(id, "too much waits for the neighbor to read".to_owned()),
        }
    }

    /// Ends a connection from our side without the speaker's will, which is told.
    fn broke(&mut self, connection: ConnectionId, reason: String) {
        self.connections.remove(&connection);
        self.follow_ups.push_back(Input::Closed { connection, reason });
    }

    fn close(&mut self, connection: ConnectionId) {
        if let Some(dial) = self.dials.remove(&connection) {
            dial.abort();
        }
        self.connections.remove(&connection);
    }

    /// Closes everything and joins all tasks.
    async fn end(mut self, commands: mpsc::Receiver<Command>) -> Result<(), DriverError> {
        drop(commands);
        self.ending.cancel();
        for dial in self.dials.values() {
            dial.abort();
        }
        self.connections.clear();
        // Tasks that wait to tell us something need not wait any longer.
        self.arrival_queue.close();
        self.bfd.end().await;
        while let Some(result) = self.tasks.join_next().await {
            joined(result)?;
        }
        if let Some(reply) = self.stopping {
            let _ = reply.send(());
        }
        Ok(())
    }
}

/// A task of ours ended; an aborted one is a dial that was called off.
fn joined(result: Result<(), JoinError>) -> Result<(), DriverError> {
    match result {
        Err(error) if error.is_panic() => Err(DriverError::Panicked(error)),
        Err(_) | Ok(()) => Ok(()),
    }
}

async fn sleep_until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
