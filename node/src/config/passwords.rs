//! Passwords of sessions, from the Secret that has them all.

use std::{collections::BTreeMap, fmt};

use api::names::{BGP_PASSWORDS_SECRET, NAMESPACE};
use bgp::config::{Hold, Password};
use k8s_openapi::api::core::v1::Secret;
use serde::{Deserialize, Serialize};

use super::ClusterView;

/// The entries of the Secret. They never show in a log.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Passwords(BTreeMap<String, String>);

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Passwords {
    /// The entries of this object; one that is no text cannot be typed into a router and is left out.
    pub fn of(secret: Secret) -> Self {
        let entries = secret.data.unwrap_or_default();
        Self(
            entries
                .into_iter()
                .filter_map(|(key, value)| Some((key, String::from_utf8(value.0).ok()?)))
                .collect(),
        )
    }
}

/// The password of this key, or why the session must wait: it is never tried without one.
pub(super) fn password(view: &ClusterView, key: &str) -> Result<Password, Hold> {
    let name = format!("{NAMESPACE}/{BGP_PASSWORDS_SECRET}");
    let Some(passwords) = view.passwords.get(BGP_PASSWORDS_SECRET) else {
        return Err(Hold::Missing(format!("Secret {name} is missing or cannot be read")));
    };
    match passwords.0.get(key).filter(|text| !text.is_empty()) {
        Some(text) => Ok(Password::new(text)),
        None => Err(Hold::Missing(format!("Secret {name} has no text under key `{key}`"))),
    }
}
