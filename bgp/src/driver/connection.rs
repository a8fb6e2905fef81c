//! One TCP connection: a task that reads and one that writes, so that neither waits for the other.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::now;
use super::outbox::Outbox;
use super::run::Arrival;
use crate::speaker::{ConnectionId, Input};
use crate::wire::{self, DecodeError, SessionContext};

/// First size of the read buffer: most messages are far shorter. It grows to the longest message at most.
const READ_BUFFER_LEN: usize = 16 * 1024;
/// Room for at least this much is made before each read: one system call then brings many messages.
const READ_LEN_MIN: usize = 4 * 1024;
/// How long a peer may take no octet at all before it counts as dead, though it sends keepalives (RFC 9687).
const SEND_HOLD: Duration = Duration::from_mins(8);
/// How long a closed connection may take to write what waits (a NOTIFICATION above all).
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);
/// How long we wait for the peer to close its side. Closing with unread octets would reset the
/// connection, and a reset may overtake our NOTIFICATION.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);

/// The side that reads.
pub(super) struct Reader {
    pub(super) connection: ConnectionId,
    pub(super) half: OwnedReadHalf,
    /// How to decode; changes once both OPENs are known.
    pub(super) context: watch::Receiver<Arc<SessionContext>>,
    pub(super) arrivals: mpsc::Sender<Arrival>,
    pub(super) closing: CancellationToken,
}

impl Reader {
    /// Hands every message to the driver until the connection ends.
    pub(super) async fn run(mut self) {
        let closing = self.closing.clone();
        tokio::select! {
            // Cancel safety: of a connection that is being closed nothing is wanted any more.
            () = closing.cancelled() => {}
            () = self.read_until_end() => {}
        }
        // Where the stream has ended by itself, the driver still has to say that all is done.
        closing.cancelled().await;
        let _ = timeout(LINGER_TIME_MAX, self.discard_rest()).await;
    }

    async fn read_until_end(&mut self) {
        let mut buffer = BytesMut::with_capacity(READ_BUFFER_LEN);
        loop {
            let reason = match self.half.read_buf(&mut buffer).await {
                Ok(0) => "closed by the neighbor".to_owned(),
                Ok(_) => match self.deliver(&mut buffer).await {
                    Ok(()) => continue,
                    Err(Undeliverable) => return,
                },
                Err(error) => error.to_string(),
            };
            let closed = Input::Closed { connection: self.connection, reason };
            // The driver is gone: so is the interest.
            let _ = self.arrivals.send(Arrival::Input(closed)).await;
            return;
        }
    }

    /// Hands over the messages that are whole.
    async fn deliver(&mut self, buffer: &mut BytesMut) -> Result<(), Undeliverable> {
        let read_at = now();
        loop {
            let context = Arc::clone(&self.context.borrow());
            let message = match wire::frame_length(buffer, context.extended_message) {
                Ok(Some(length)) if buffer.len() >= length => {
                    wire::decode(&buffer.split_to(length).freeze(), &context)
                }
                Ok(length) => {
                    let missing = length.map_or(0, |length| length.saturating_sub(buffer.len()));
                    buffer.reserve(missing.max(READ_LEN_MIN));
                    return Ok(());
                }
                Err(notification) => {
                    Err(DecodeError { notification, reason: "the stream of messages is broken".to_owned() })
                }
            };
            let is_end = message.is_err();
            let received = Input::Received { connection: self.connection, read_at, message };
            self.arrivals.send(Arrival::Input(received)).await.map_err(|_| Undeliverable)?;
            if is_end {
                return Err(Undeliverable);
            }
        }
    }

    async fn discard_rest(&mut self) {
        let mut scratch = [0; 4096];
        while let Ok(1..) = self.half.read(&mut scratch).await {}
    }
}

/// Nothing more of this connection can be handed over: its stream is broken or the driver has ended.
struct Undeliverable;

/// The side that writes.
pub(super) struct Writer {
    pub(super) connection: ConnectionId,
    pub(super) half: OwnedWriteHalf,
    pub(super) outbox: Arc<Outbox>,
    pub(super) arrivals: mpsc::Sender<Arrival>,
    pub(super) closing: CancellationToken,
}

impl Writer {
    /// Writes what is put into the outbox until that is closed and empty.
    pub(super) async fn run(mut self) {
        let closing = self.closing.clone();
        let result = tokio::select! {
            // Cancel safety: the connection ends here, and half a message with it.
            () = flush_time_passed(closing) => Ok(()),
            result = self.write_until_end() => result,
        };
        if let Err(error) = result {
            let closed = Input::Closed { connection: self.connection, reason: error.to_string() };
            let _ = self.arrivals.send(Arrival::Input(closed)).await;
        }
        // It may be closed already.
        let _ = self.half.shutdown().await;
    }

    async fn write_until_end(&mut self) -> io::Result<()> {
        while let Some(batch) = self.outbox.take().await {
            self.write(batch).await?;
        }
        Ok(())
    }

    async fn write(&mut self, mut batch: Vec<Bytes>) -> io::Result<()> {
        let mut first = 0;
        while first < batch.len() {
            let slices: Vec<IoSlice<'_>> = batch[first..].iter().map(|bytes| IoSlice::new(bytes)).collect();
            let written = match timeout(SEND_HOLD, self.half.write_vectored(&slices)).await {
                Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(result) => result?,
                Err(_) => {
                    return Err(io::Error::other("the send hold timer expired: the neighbor reads nothing"));
                }
            };
            first += advance(&mut batch[first..], written);
            self.note_written(written).await;
        }
        Ok(())
    }

    async fn note_written(&self, bytes: usize) {
        if self.outbox.written(bytes) {
            let input = Input::Congested { connection: self.connection, is_congested: false };
            let _ = self.arrivals.send(Arrival::Input(input)).await;
        }
    }
}

/// Takes this many octets from the front; says how many messages are done with.
fn advance(batch: &mut [Bytes], mut written: usize) -> usize {
    for (index, message) in batch.iter_mut().enumerate() {
        let part = message.len().min(written);
        message.advance(part);
        written -= part;
        if !message.is_empty() {
            return index;
        }
    }
    batch.len()
}

/// Returns once the connection has been closing for as long as it may.
async fn flush_time_passed(closing: CancellationToken) {
    closing.cancelled().await;
    let _ = timeout(FLUSH_TIME_MAX, std::future::pending::<()>()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes() {
        // (why, octets written, messages done with, what is left)
        let rows = [
            ("nothing", 0, 0, "abcdef"),
            ("part of the first", 2, 0, "cdef"),
            ("the first", 3, 1, "def"),
            ("the first and part of the second", 4, 1, "ef"),
            ("all", 6, 2, ""),
        ];
        for (why, written, done, left) in rows {
            let mut batch = [Bytes::from_static(b"abc"), Bytes::from_static(b"def")];
            assert_eq!(advance(&mut batch, written), done, "{why}");
            assert_eq!(batch.concat(), left.as_bytes(), "{why}");
        }
    }
}
