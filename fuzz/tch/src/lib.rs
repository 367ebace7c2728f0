//! The kinds of values that the reader of pickles knows.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Uint8,
    Int,
    Int64,
    Half,
    Float,
    Double,
    Bool,
    BFloat16,
}
