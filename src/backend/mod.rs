//! The one interface between the engine and the places where jobs run.
