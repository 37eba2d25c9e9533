#!/usr/bin/env bash
# Runs clang-tidy on the source files of a build directory's compile_commands.json; every finding is an error.
#
#   tools/tidy.sh BUILD_DIR [FILE…]      (default: every .cc of src/ and bench/ except tests)
#
# A file whose preprocessed text and settings were clean before is not looked at again: a stamp in
# ~/.cache/bonsai-tidy (BONSAI_TIDY_CACHE) remembers it, for other checkouts too.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: tools/tidy.sh BUILD_DIR [FILE...]}
shift
clang_tidy=$(command -v clang-tidy-14) || { echo "tidy: needs clang-tidy-14 (tools/setup.sh dev)" >&2; exit 1; }
database=$build/compile_commands.json
[ -f "$database" ] || { echo "tidy: no $database; configure $build first" >&2; exit 1; }
export clang_tidy build
export cache=${BONSAI_TIDY_CACHE:-$HOME/.cache/bonsai-tidy}
mkdir -p "$cache"
find "$cache" -type f -mtime +30 -delete

if [ $# -gt 0 ]; then
  files=("$@")
else
  mapfile -t files < <(find src bench -name '*.cc' ! -name '*_test.cc' | sort)
fi

one() {
  # A file that this build does not compile (another ISA's, a fuzzer's) has no command to go by.
  grep -qF "/$1\"" "$build/compile_commands.json" || return 0
  local key
  key=$(set -o pipefail
    { cat .clang-tidy && clang-14 -E -C -P -x c++ -std=c++20 -DFMT_HEADER_ONLY -Isrc -Iinclude -I. "$1"; } |
      sha256sum | cut -d' ' -f1) || return 1
  [ ! -e "$cache/$key" ] || return 0
  # The analyzer cannot follow Boost's coroutines, and finds its faults in Boost's headers.
  local checks=()
  ! grep -q '^#include <boost/' "$1" || checks=("--checks=-clang-analyzer-*")
  # The database has g++'s options, of which clang does not know every warning.
  "$clang_tidy" -p "$build" --quiet "${checks[@]}" --extra-arg=-Wno-unknown-warning-option "$1" \
    2> >(grep -vE '^[0-9]+ warnings? (generated|treated)' >&2) && touch "$cache/$key"
}
export -f one
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'one "$1"' tidy
echo "tidy: ${#files[@]} files clean"
