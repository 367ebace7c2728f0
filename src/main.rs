//! The `mudenet-edge` program.
fn main() {}
