//! tortiectl: state and reasons for people and scripts
