//! Pools.

use api::IPPool;

use super::{FieldError, IngestError};
use crate::model::Pool;

/// The pool as far as NAT asks.
///
/// # Errors
/// If its `cidr` is no prefix; then nothing is translated for it.
pub fn ip_pool(object: &IPPool) -> Result<Pool, IngestError> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let cidr = api::prefix::parse(&object.spec.cidr)
        .map_err(|reason| FieldError::new("spec.cidr", reason).of(format!("IPPool {name}")))?;
    Ok(Pool { name, cidr, nat_outgoing: object.spec.nat_outgoing })
}
