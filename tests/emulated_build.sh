#!/bin/sh
# emulated_build.sh BUILD: brings a cross build up to date for emulated_test.sh, and looks at the symbols of its kernels.
# Exit 77 (skipped) where there is none.
set -eu
[ -e "$1/CMakeCache.txt" ] || { echo "SKIP: no cross build in $1 (tools/setup.sh cross; cmake --preset aarch64)"; exit 77; }
cmake --build "$1" --target emulated_programs
ctest --test-dir "$1" -R '^isa_symbols$' --output-on-failure --no-tests=error
