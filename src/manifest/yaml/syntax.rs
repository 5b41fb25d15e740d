//! What the parser says, in words.
