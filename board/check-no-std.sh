#!/bin/sh
# Builds the example firmware, the line state machine and every wire form for a machine without an operating system. Fails if
# any of it needs std or alloc (it does not link), or if a panic is left in the optimised code.
set -eu
cd "$(dirname "$0")"
target=../target/bare
rm -f $target/release/deps/libmudenet_board*.rlib
cargo build --release --manifest-path bare/Cargo.toml --target-dir $target "$@"
for library in $target/release/deps/libmudenet_board*.rlib; do
    if nm -u "$library" 2>/dev/null | grep -E 'panicking|slice_index_fail|unwrap_failed|expect_failed'; then
        echo "$library: the code above can panic" >&2
        exit 1
    fi
done
echo "no std, no alloc, no panic"
