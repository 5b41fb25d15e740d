//! Settings: `tintal.yaml`, then environment, then flags.
