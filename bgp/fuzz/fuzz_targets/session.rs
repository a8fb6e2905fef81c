//! A stream of bytes from a neighbor, through the whole speaker.

#![no_main]

use std::time::Instant;

use bgp::config::{NeighborConfig, SpeakerConfig};
use bgp::speaker::{ConnectionId, Input, Output, RestartMode, Speaker};
use bgp::wire::{self, Capability, Family, Message, Open, SessionContext};
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

const CONNECTION: ConnectionId = ConnectionId::Accepted(1);

/// An OPEN and a KEEPALIVE of AS 65001, so that half of the inputs begin in an established session.
fn greeting() -> Vec<u8> {
    let capabilities = [
        Capability::MultiProtocol(Family::Ipv4Unicast),
        Capability::MultiProtocol(Family::Ipv6Unicast),
        Capability::RouteRefresh,
        Capability::FourOctetAs(65001),
    ];
    let router_id = "10.0.0.2".parse().expect("a router ID");
    let open = Open { asn: 65001, hold_time_secs: 90, router_id, capabilities: capabilities.into() };
    let encoding = SessionContext::before_open().encoding();
    let messages = [Message::Open(open), Message::Keepalive].map(|message| wire::encode(&message, encoding));
    messages.into_iter().flatten().flatten().flatten().collect()
}

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let (local, remote) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let mut config = SpeakerConfig::new(65000, "10.0.0.1".parse().expect("a router ID"));
    config.neighbors.push(NeighborConfig { passive: true, ..NeighborConfig::new("fuzz", remote, 65001) });
    let now = Instant::now();
    let mut speaker = Speaker::new(now, config, RestartMode::Fresh, 0).expect("it can work");
    let mut outputs = Vec::new();
    speaker.handle(now, Input::DeadlinePassed, &mut outputs);
    speaker.handle(now, Input::Accepted { connection: CONNECTION, remote, local }, &mut outputs);

    let mut stream = BytesMut::from(&if first & 1 == 0 { greeting() } else { Vec::new() }[..]);
    stream.extend_from_slice(rest);
    let mut context = SessionContext::before_open();
    while let Ok(Some(length)) = wire::frame_length(&stream, context.extended_message) {
        if stream.len() < length {
            break;
        }
        let bytes: Bytes = stream.split_to(length).freeze();
        let message = wire::decode(&bytes, &context);
        let is_end = message.is_err();
        speaker.handle(now, Input::Received { connection: CONNECTION, read_at: now, message }, &mut outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Negotiated { context: agreed, .. } => context = agreed,
                Output::Send { bytes, .. } => assert!(wire::decode(&bytes, &context).is_ok()),
                Output::Close { .. } => return,
                _ => {}
            }
        }
        assert!(!is_end, "a broken stream is closed");
    }
});
