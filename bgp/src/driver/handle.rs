//! The way to a running speaker.

use tokio::sync::{mpsc, oneshot};

use crate::bfd;
use crate::config::{ConfigErrors, ConfigureReport, Originations, SpeakerConfig};
use crate::speaker::Stop;
use crate::status::{RouteStatus, SpeakerStatus};

/// What a [`Handle`] asks of the driver, and where to answer.
pub(super) enum Command {
    Configure(SpeakerConfig, oneshot::Sender<Result<ConfigureReport, ConfigErrors>>),
    Originate(Originations, oneshot::Sender<()>),
    LocalSourcesSynced(oneshot::Sender<()>),
    Status(oneshot::Sender<SpeakerStatus>),
    Routes(oneshot::Sender<Vec<RouteStatus>>),
    Stop(Stop, oneshot::Sender<()>),
}

/// A way to the running speaker; all copies lead to the same one.
///
/// When the last copy is dropped, the speaker stops silently.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    bfd: bfd::driver::Handle,
}

/// The speaker has stopped and answers no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the BGP speaker has stopped")]
pub struct Stopped;

/// Why a configuration was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigureError {
    /// It cannot work; the former one is still in force.
    #[error(transparent)]
    Refused(#[from] ConfigErrors),
    /// There is nobody to take it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Handle {
    pub(super) fn new(commands: mpsc::Sender<Command>, bfd: bfd::driver::Handle) -> Self {
        Self { commands, bfd }
    }

    /// Gives the speaker its whole desired configuration; says what changed and which sessions had to reset for it.
    ///
    /// # Errors
    /// The configuration cannot work (nothing was changed), or the speaker has stopped.
    pub async fn configure(&self, config: SpeakerConfig) -> Result<ConfigureReport, ConfigureError> {
        Ok(self.ask(|reply| Command::Configure(config, reply)).await??)
    }

    /// Gives the speaker the whole set of prefixes to originate; host bits must be zero.
    ///
    /// # Errors
    /// The speaker has stopped.
    pub async fn originate(&self, originations: Originations) -> Result<(), Stopped> {
        self.ask(|reply| Command::Originate(originations, reply)).await
    }

    /// Says that the originations are complete, so that peers may be told End-of-RIB.
    ///
    /// # Errors
    /// The speaker has stopped.
    pub async fn local_sources_synced(&self) -> Result<(), Stopped> {
        self.ask(Command::LocalSourcesSynced).await
    }

    /// The state of all sessions.
    ///
    /// # Errors
    /// The speaker has stopped.
    pub async fn status(&self) -> Result<SpeakerStatus, Stopped> {
        self.ask(Command::Status).await
    }

    /// All prefixes in order, with all paths and why each is used or not.
    ///
    /// # Errors
    /// The speaker has stopped.
    pub async fn routes(&self) -> Result<Vec<RouteStatus>, Stopped> {
        self.ask(Command::Routes).await
    }

    /// All BFD sessions.
    ///
    /// # Errors
    /// The speaker has stopped.
    pub async fn bfd(&self) -> Result<Vec<bfd::SessionStatus>, Stopped> {
        self.bfd.status().await.map_err(|_| Stopped)
    }

    /// Stops the speaker; returns when all connections are closed. BFD's neighbors are told before, so that a planned
    /// stop is no failure of the way and graceful restart does its work (RFC 5882 section 4.3).
    ///
    /// # Errors
    /// It has stopped already.
    pub async fn stop(&self, stop: Stop) -> Result<(), Stopped> {
        self.bfd.disable().await.map_err(|_| Stopped)?;
        self.ask(|reply| Command::Stop(stop, reply)).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
