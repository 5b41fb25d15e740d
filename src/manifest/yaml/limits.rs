//! What a file of manifests may cost to read.

/// Most bytes of a file: a thousand times the usual manifest. A larger file is not one that a
/// person wrote.
pub const BYTES_MAX: usize = 1 << 20;

/// Most nodes of a file, counted as if every alias were written out: five times what fits in
/// [`BYTES_MAX`] of the densest manifests, and read in well under a second.
pub const NODES_MAX: usize = 100_000;

/// Deepest nesting: far more than the schema has levels, and far less than any stack.
pub const DEPTH_MAX: usize = 64;

/// Most uses of aliases in a file. Each may copy a whole tree; no hand-written file has as many.
pub const ALIASES_MAX: usize = 1_000;

/// Most faults that are reported of a file: past this, more of them help nobody.
pub const FAULTS_MAX: usize = 100;

/// What a file may cost to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the text.
    pub bytes: usize,
    /// Most nodes, those that aliases stand for included.
    pub nodes: usize,
    /// Deepest nesting of lists and mappings.
    pub depth: usize,
    /// Most uses of aliases.
    pub aliases: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: BYTES_MAX, nodes: NODES_MAX, depth: DEPTH_MAX, aliases: ALIASES_MAX }
    }
}
