//! Reads the directory of manifests, and watches it.
