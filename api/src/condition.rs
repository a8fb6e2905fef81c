//! `status.conditions`, in the form that all Kubernetes tools read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One observation about an object, as in `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is observed, in `CamelCase`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, as one `CamelCase` word.
    pub reason: String,
    /// Why, for people, with the remedy where there is one.
    pub message: String,
    /// When `status` last changed, RFC 3339.
    pub last_transition_time: String,
    /// The `metadata.generation` that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Condition {
    /// A condition whose status is `True` or `False`, changed at `now` (RFC 3339).
    pub fn new(type_: &str, holds: bool, reason: &str, message: impl Into<String>, now: &str) -> Self {
        Self {
            type_: type_.to_owned(),
            status: if holds { "True" } else { "False" }.to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
            last_transition_time: now.to_owned(),
            observed_generation: None,
        }
    }

    /// Whether the status is `True`.
    pub fn holds(&self) -> bool {
        self.status == "True"
    }
}

/// The conditions with this one put in: the transition time stays where the status did not change.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition) {
    match conditions.iter_mut().find(|known| known.type_ == condition.type_) {
        Some(known) => {
            if known.status == condition.status {
                condition.last_transition_time.clone_from(&known.last_transition_time);
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_moves_with_the_status_alone() {
        // (why, next status, next reason, expected time)
        let cases = [("same status, new reason", true, "Other", "t1"), ("new status", false, "Gone", "t2")];
        for (why, holds, reason, time) in cases {
            let mut conditions = vec![Condition::new("Ready", true, "Fine", "", "t1")];
            set(&mut conditions, Condition::new("Ready", holds, reason, "", "t2"));
            assert_eq!(conditions.len(), 1, "{why}");
            assert_eq!(conditions[0].last_transition_time, time, "{why}");
            assert_eq!(conditions[0].reason, reason, "{why}");
        }
    }
}
