//! Tables of fires.
