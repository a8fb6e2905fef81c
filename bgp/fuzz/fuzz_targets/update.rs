#![no_main]

mod message;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some((context, body)) = message::terms(data) {
        message::check(2, body, &context);
    }
});
