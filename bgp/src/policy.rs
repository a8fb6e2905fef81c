//! Who may hear what, and what is fit for the decision.

mod export;
mod import;

#[cfg(test)]
mod tests;

pub(crate) use export::{ExportContext, Route, export};
pub(crate) use import::{ImportContext, Rejection, import};
