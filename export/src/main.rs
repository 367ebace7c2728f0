//! The `mudenet-export` program.
fn main() {}
