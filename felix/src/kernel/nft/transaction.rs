//! One transaction: all messages between two edges in one send, and what the kernel says of them.
//!
//! The kernel has answered everything when the send returns, so that there is nothing to wait for: an
//! acknowledgement of the last message, and one error for each that it refused. An error on the first
//! edge concerns the whole: the generation has changed, or the commit failed.

use std::io;

use crate::kernel::socket::{Frames, Protocol, Refusal, Request, SEND_BUFFER_BYTES, Socket, SocketError};

use super::NftError;
use super::encode::{Batch, Subject};
use super::message::{self, number, read_number};
use super::uapi;

/// Read from the receive queue after one send: an error for each message at worst.
const ANSWERS_MAX: usize = 1 << 20;

/// A socket for transactions and reading back; the table belongs to it where the kernel has owners.
#[derive(Debug)]
pub(super) struct Transactions {
    pub(super) socket: Socket,
    send_buffer_bytes: usize,
    /// The socket's own number in notifications; known after the first answer.
    pub(super) port: Option<u32>,
}

impl Transactions {
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::open(Protocol::Netfilter)?;
        Ok(Self { socket, send_buffer_bytes: SEND_BUFFER_BYTES, port: None })
    }

    /// The number of the ruleset's present generation, of all tables.
    pub(super) fn generation(&mut self) -> Result<u32, NftError> {
        let request = message::message(uapi::GET_GENERATION, 0, &[]);
        let replies = self.socket.get(&request).map_err(|error| NftError::of(error, "the generation"))?;
        let attributes = replies.first().and_then(|reply| reply.payload.get(4..)).unwrap_or_default();
        crate::kernel::socket::attributes(attributes)
            .find(|(kind, _)| *kind == uapi::GENERATION_ID)
            .and_then(|(_, value)| read_number(value))
            .ok_or_else(|| NftError::Socket("the kernel does not say its generation".into()))
    }

    /// Carries out all of the batch or nothing, the latter too if the ruleset is of another generation.
    ///
    /// # Errors
    /// `Refused` with the first message that the kernel did not take, `Contended` for the generation.
    pub(super) fn commit(&mut self, batch: &Batch, generation: Option<u32>) -> Result<(), NftError> {
        if batch.messages.is_empty() {
            return Ok(());
        }
        let first = self.socket.next_sequence();
        let bytes = self.encode(batch, generation, first);
        if bytes.len() > self.send_buffer_bytes / 2 {
            // The kernel accounts more than the bytes themselves.
            self.send_buffer_bytes = bytes.len() * 2;
            self.socket.set_send_buffer(self.send_buffer_bytes).map_err(SocketError::Io)?;
        }
        self.socket.send(&bytes)?;
        self.outcome(batch, first)
    }

    fn encode(&mut self, batch: &Batch, generation: Option<u32>, first: u32) -> Vec<u8> {
        let flag = |flag: i32| u16::try_from(flag).unwrap_or_default();
        let request = flag(libc::NLM_F_REQUEST);
        let mut bytes = Vec::new();
        let mut edge = Vec::new();
        if let Some(generation) = generation {
            number(&mut edge, uapi::BATCH_GENERATION, generation);
        }
        message::batch_edge(uapi::BATCH_BEGIN, &edge).encode_into(request, first, &mut bytes);
        let last = batch.messages.len() - 1;
        for (at, (message, _)) in batch.messages.iter().enumerate() {
            let acknowledge = if at == last { flag(libc::NLM_F_ACK) } else { 0 };
            let sequence = self.socket.next_sequence();
            message.encode_into(request | acknowledge, sequence, &mut bytes);
        }
        let end: Request = message::batch_edge(uapi::BATCH_END, &[]);
        end.encode_into(request, self.socket.next_sequence(), &mut bytes);
        bytes
    }

    fn outcome(&mut self, batch: &Batch, first: u32) -> Result<(), NftError> {
        let mut is_done = false;
        let mut refused: Option<(u32, Refusal)> = None;
        for _ in 0..ANSWERS_MAX {
            let Some(datagram) = self.socket.try_receive()? else { break };
            for frame in Frames::new(datagram) {
                let frame = frame?;
                let at = frame.sequence.wrapping_sub(first);
                if at as usize > batch.messages.len() + 1 {
                    continue;
                }
                self.port = Some(frame.port);
                match frame.outcome() {
                    Some(Ok(())) => is_done |= at as usize == batch.messages.len(),
                    Some(Err(refusal)) => drop(refused.get_or_insert((at, refusal))),
                    None => {}
                }
            }
        }
        match refused {
            Some((0, refusal)) if refusal.errno == libc::ERESTART => Err(NftError::Contended),
            Some((at, refusal)) => Err(refused_by(batch, at, refusal)),
            None if is_done => Ok(()),
            None => Err(SocketError::NoAnswer.into()),
        }
    }
}

fn refused_by(batch: &Batch, at: u32, refusal: Refusal) -> NftError {
    let subject = (at as usize).checked_sub(1).and_then(|at| batch.messages.get(at));
    match subject {
        Some((_, Subject::Table)) if refusal.errno == libc::EPERM => NftError::Owned,
        Some((_, subject)) => NftError::Refused { subject: subject.to_string(), refusal },
        None => NftError::Refused { subject: "the transaction as a whole".into(), refusal },
    }
}
