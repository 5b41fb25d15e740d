//! Runs one attempt of an action.
