//! Whom an address serves.

use std::fmt;

/// Whom an address serves: one attachment of one pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// UID of the Pod.
    pub pod_uid: String,
    /// The sandbox and its interface. `None` if only the block's status is left of it: the
    /// node was started anew, or the link vanished without a DEL.
    pub attachment: Option<Attachment>,
    /// `namespace/name`, for people; empty where only the UID is known. Decides nothing.
    pub pod: String,
}

/// One interface of one sandbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// The runtime's ID of the sandbox.
    pub container_id: String,
    /// Name of the interface inside the pod.
    pub ifname: String,
}

impl Owner {
    /// An attachment of a pod; `pod` is `namespace/name` or empty.
    pub fn new(
        pod_uid: impl Into<String>,
        container_id: impl Into<String>,
        ifname: impl Into<String>,
        pod: impl Into<String>,
    ) -> Self {
        let attachment = Attachment { container_id: container_id.into(), ifname: ifname.into() };
        Self { pod_uid: pod_uid.into(), attachment: Some(attachment), pod: pod.into() }
    }

    /// A pod of which no sandbox is known.
    pub fn pod(pod_uid: impl Into<String>, pod: impl Into<String>) -> Self {
        Self { pod_uid: pod_uid.into(), attachment: None, pod: pod.into() }
    }

    /// Whether both may be the same attachment: same pod, and same sandbox and interface
    /// where both know theirs.
    #[must_use]
    pub fn is_same_attachment(&self, other: &Self) -> bool {
        self.pod_uid == other.pod_uid
            && match (&self.attachment, &other.attachment) {
                (Some(ours), Some(theirs)) => ours == theirs,
                _ => true,
            }
    }

    /// Takes over what another description of the same attachment knows beyond this one.
    pub(crate) fn learn(&mut self, other: Self) {
        if other.attachment.is_some() {
            self.attachment = other.attachment;
        }
        if !other.pod.is_empty() {
            self.pod = other.pod;
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}", self.pod_uid)?;
        if !self.pod.is_empty() {
            write!(f, " {}", self.pod)?;
        }
        match &self.attachment {
            Some(Attachment { container_id, ifname }) => {
                write!(f, " ({ifname} of sandbox {container_id})")
            }
            None => f.write_str(" (sandbox unknown)"),
        }
    }
}
