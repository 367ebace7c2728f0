#!/bin/sh
# Builds the example firmware as a static library without std and alloc; fails if either is needed.
set -eu
cd "$(dirname "$0")"
cargo build --release --manifest-path bare/Cargo.toml --target-dir ../target/bare "$@"
