//! BFD control packets: what is read means the same after it was written again.
#![no_main]

use bgp::bfd::packet::Packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(packet) = Packet::decode(data) {
        assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
    }
});
