//! Compares what the manifests ask for with what the backends hold.
//!
//! Pure.
