//! Why a lab does not do what it was asked.

use std::io;

use super::topology::ShapeError;

/// What went wrong, by who can do something about it.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The shape cannot be.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The machine refused something, or a program or file is missing.
    #[error(transparent)]
    Machine(#[from] io::Error),
    /// The API server refused something.
    #[error("API server: {}", words(.0))]
    Api(#[from] kube::Error),
    /// An object could not be written as JSON.
    #[error("object: {0}")]
    Object(#[from] serde_json::Error),
    /// Something that should have happened did not.
    #[error("{what} did not happen within {limit_secs} s; logs are in {directory}")]
    Overdue {
        /// What was waited for.
        what: String,
        /// For how long.
        limit_secs: u64,
        /// Where to look.
        directory: String,
    },
    /// A name that the lab does not know.
    #[error("the lab has no {0}")]
    Unknown(String),
}

/// The server's own words, without the machinery around them.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
