//! What happens to a neighbor that tells more than it may.

use super::*;
use crate::config::{MaxPrefixes, MaxPrefixesAction};

fn stage(action: MaxPrefixesAction, restart_secs: Option<u32>) -> (Stage, ConnectionId) {
    let (mut stage, connection) = Stage::established();
    let mut config = stage.speaker.config.clone();
    config.neighbors[0].max_prefixes = Some(MaxPrefixes { limit: 2, action, restart_secs });
    stage.input(Input::Configure(config));
    stage.pass(Duration::from_millis(10));
    stage.outputs.clear();
    (stage, connection)
}

/// The prefixes that are in the table, and how often it was said that there are too many.
fn outcome(stage: &mut Stage) -> (usize, usize) {
    stage.pass(Duration::from_millis(10));
    let is_said = |kind: &&&SessionEventKind| matches!(kind, SessionEventKind::TooManyPrefixes { .. });
    (stage.speaker.routes().len(), stage.events().iter().filter(is_said).count())
}

#[test]
fn what_is_taken_beyond_the_limit() {
    use MaxPrefixesAction::{Discard, Shutdown, Warn};
    use SessionState::{Established, Idle};
    // (why, action, UPDATEs, prefixes taken, events, state)
    let cases: [(&str, MaxPrefixesAction, &[&[&str]], usize, usize, SessionState); 8] = [
        ("as many as it may", Shutdown, &[&["10.0.0.0/24", "10.0.1.0/24"]], 2, 0, Established),
        (
            "the same ones again",
            Shutdown,
            &[&["10.0.0.0/24", "10.0.1.0/24"], &["10.0.1.0/24"]],
            2,
            0,
            Established,
        ),
        ("one too many", Shutdown, &[&["10.0.0.0/24", "10.0.1.0/24"], &["10.0.2.0/24"]], 0, 1, Idle),
        ("all at once", Shutdown, &[&["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]], 0, 1, Idle),
        ("discarded", Discard, &[&["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]], 2, 1, Established),
        (
            "discarded and said once",
            Discard,
            &[&["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"], &["10.0.3.0/24"]],
            2,
            1,
            Established,
        ),
        ("warned", Warn, &[&["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]], 3, 1, Established),
        (
            "warned once",
            Warn,
            &[&["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"], &["10.0.3.0/24"]],
            4,
            1,
            Established,
        ),
    ];
    for (why, action, updates, taken, events, state) in cases {
        let (mut stage, connection) = stage(action, None);
        for prefixes in updates {
            stage.update(connection, announce(prefixes));
        }
        assert_eq!(outcome(&mut stage), (taken, events), "{why}");
        assert_eq!(stage.state(), state, "{why}");
    }
}

#[test]
fn a_session_that_ended_for_it_waits_and_says_so() {
    const TOO_MANY: [&str; 3] = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"];
    // (why, restart time, how long it is watched, whether it takes connections again, the reason)
    let forever =
        "more than max_prefixes.limit 2 of ipv4-unicast: down until the neighbor's configuration changes";
    let a_while = "more than max_prefixes.limit 2 of ipv4-unicast: tried again after 60 s";
    let cases = [
        ("for ever", None, Duration::from_hours(1), false, forever),
        ("before the time", Some(60), Duration::from_secs(59), false, a_while),
        ("after it", Some(60), Duration::from_secs(61), true, a_while),
    ];
    for (why, restart_secs, time, is_taken, reason) in cases {
        let (mut stage, connection) = stage(MaxPrefixesAction::Shutdown, restart_secs);
        stage.update(connection, announce(&TOO_MANY));
        let down = stage.speaker.status(stage.now).neighbors.remove(0).last_down.unwrap();
        assert_eq!(down.reason, reason, "{why}");
        let sent = stage.take_sent(connection);
        let is_said =
            |message: &Message| *message == Message::Notification(Notification::max_prefixes_reached());
        assert!(sent.iter().any(is_said), "{why}: {sent:?}");
        stage.pass(time);
        stage.outputs.clear();
        stage.accept();
        let is_admitted = stage.outputs.iter().any(|output| matches!(output, Output::Admit { .. }));
        assert_eq!(is_admitted, is_taken, "{why}");
    }
    // Another limit is a reason to try again.
    let (mut stage, connection) = stage(MaxPrefixesAction::Shutdown, None);
    stage.update(connection, announce(&TOO_MANY));
    let mut config = stage.speaker.config.clone();
    config.neighbors[0].max_prefixes = None;
    stage.input(Input::Configure(config));
    stage.outputs.clear();
    stage.accept();
    assert!(stage.outputs.iter().any(|output| matches!(output, Output::Admit { .. })));
}
