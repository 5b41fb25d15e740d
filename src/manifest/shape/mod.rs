//! Whether a document has the shape that a schema asks for, and each place where it has not.

pub mod check;

pub use check::Shape;
