//! STATUS: can ADD be served?
//!
//! A daemon that is being replaced must not make its node unready, so that a daemon which is away is
//! an error only after 60 s. The plugin has no memory of its own; since when the daemon is away is kept
//! in the time of the file `cni.sock.away` beside the socket: made by the first STATUS that meets no
//! daemon, removed by the next that does. A file older than the socket tells of a former absence.
//! Without a directory for the socket the daemon has not run since the machine started.

use std::fs::{self, File};
use std::io;
use std::time::{Duration, SystemTime};

use crate::client::{self, ClientError, Patience};
use crate::protocol::{Answer, Request};
use crate::request::Configuration;
use crate::response::{CniError, ErrorCode};

/// How long the daemon may be away before its node cannot take pods.
const AWAY_MAX: Duration = Duration::from_mins(1);

/// Whether ADD could be served now or soon.
///
/// # Errors
/// Code 50 if the daemon has been away for too long; 50 or 51 as the daemon says.
pub fn run(configuration: &Configuration) -> Result<(), CniError> {
    let marker = format!("{}.away", configuration.socket);
    match client::ask(&configuration.socket, &Request::Status, Patience::NONE) {
        Ok(Answer::Done) => {
            // Usually there is none.
            let _ = fs::remove_file(marker);
            Ok(())
        }
        Ok(other) => Err(client::unexpected(&other)),
        Err(ClientError::Answer(error)) => Err(error),
        Err(away @ ClientError::Away { .. }) => match away_since(&configuration.socket, &marker) {
            Ok(since) if !is_too_long(since, now()) => Ok(()),
            Ok(_) => Err(not_available(format!("{away}, for more than {} s", AWAY_MAX.as_secs()))),
            Err(error) => {
                Err(not_available(format!("{away}; has it run since this machine started? {error}")))
            }
        },
    }
}

fn not_available(details: String) -> CniError {
    CniError::new(ErrorCode::NOT_AVAILABLE, "tortie-node is not running on this node").with_details(details)
}

#[expect(clippy::disallowed_methods, reason = "compared with a file's time, which is of the same clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// A clock that was set back since then is no reason to call the node unfit.
fn is_too_long(since: SystemTime, now: SystemTime) -> bool {
    now.duration_since(since).is_ok_and(|away| away > AWAY_MAX)
}

/// When the daemon was first missed, which is now if nobody missed it before.
fn away_since(socket: &str, marker: &str) -> io::Result<SystemTime> {
    let noted = fs::metadata(marker).and_then(|metadata| metadata.modified());
    let listened_since = fs::metadata(socket).and_then(|metadata| metadata.modified());
    match (noted, listened_since) {
        (Ok(noted), Ok(since)) if noted >= since => Ok(noted),
        (Ok(noted), Err(_)) => Ok(noted),
        _ => File::create(marker)?.metadata()?.modified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_counts_from_when_it_was_first_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (socket, marker) = (path("cni.sock"), path("cni.sock.away"));
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let set = |file: &str, time| File::create(file).unwrap().set_modified(time).unwrap();

        let first = away_since(&socket, &marker).unwrap();
        assert!(first > at(1), "nobody missed it before: now");
        set(&marker, at(1000));
        assert_eq!(away_since(&socket, &marker).unwrap(), at(1000), "the socket was removed in order");
        set(&socket, at(900));
        assert_eq!(away_since(&socket, &marker).unwrap(), at(1000), "the daemon was killed");
        set(&socket, at(1100));
        assert!(away_since(&socket, &marker).unwrap() > at(1100), "it came back meanwhile and went again");
        let nowhere = path("none/cni.sock");
        assert!(away_since(&nowhere, &format!("{nowhere}.away")).is_err(), "it never ran");
    }

    #[test]
    fn sixty_seconds_are_not_too_long() {
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        // (away since, now, too long)
        let cases = [(100, 100, false), (100, 160, false), (100, 161, true), (200, 100, false)];
        for (since, now, expected) in cases {
            assert_eq!(is_too_long(at(since), at(now)), expected, "since {since}, now {now}");
        }
    }
}
