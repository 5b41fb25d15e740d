//! Plain scalars by the YAML 1.2 core schema.
