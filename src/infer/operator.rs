//! What an engine does with a model, for people who measure it.

/// One operator of this project's engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Name of its last node in the graph.
    pub name: String,
    /// How it is computed.
    pub method: String,
    /// Whether it multiplies bytes, not f32.
    pub integer: bool,
    /// Channels, rows and columns of its result.
    pub shape: [usize; 3],
    /// Multiplications by the definition of its convolutions.
    pub direct: u64,
    /// Multiplications in the way it is computed; transforms, which mostly add, are not counted.
    pub planned: u64,
}
