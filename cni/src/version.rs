//! VERSION: which versions of the specification are spoken.

use serde_json::Value;

use crate::request;
use crate::response;

/// The specification's version object, in the version that was asked in. It needs no valid
/// configuration: a runtime may ask before it has one.
pub fn run(stdin: &[u8]) -> Value {
    response::versions(request::version_for_errors(stdin))
}
