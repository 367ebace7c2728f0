#[path = "../../../src/infer/engine/mod.rs"]
pub mod engine;
#[path = "../../../src/infer/kernels/mod.rs"]
pub mod kernels;
#[path = "../../../src/infer/operator.rs"]
pub mod operator;

pub use operator::Operator;
