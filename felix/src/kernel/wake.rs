//! Wakes a thread that waits in `poll`: a socket pair, one byte, no matter how often asked.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// The waking end.
#[derive(Debug)]
pub(crate) struct Waker(UnixStream);

/// The end that becomes readable; its owner empties it before it looks for work.
#[derive(Debug)]
pub(crate) struct Wakeup(UnixStream);

/// Both ends.
pub(crate) fn pair() -> io::Result<(Waker, Wakeup)> {
    let (waker, wakeup) = UnixStream::pair()?;
    waker.set_nonblocking(true)?;
    wakeup.set_nonblocking(true)?;
    Ok((Waker(waker), Wakeup(wakeup)))
}

impl Waker {
    /// Makes the other end readable. A full pipe is awake already; a closed one needs no waking.
    pub(crate) fn wake(&self) {
        let _ = (&self.0).write(&[1]);
    }
}

impl Wakeup {
    /// Forgets all wakings so far.
    pub(crate) fn clear(&self) {
        let mut bytes = [0; 256];
        while matches!((&self.0).read(&mut bytes), Ok(count) if count == bytes.len()) {}
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
