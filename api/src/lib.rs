//! The words that all crates share: custom resources, well-known names, control protocol
