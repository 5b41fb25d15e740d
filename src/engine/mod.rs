//! The loops: reconcile and fire. `clock` alone reads the clock.
