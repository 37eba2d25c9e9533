#!/usr/bin/env bash
# Formats every C and C++ file of the repository in place; with --check, changes nothing and fails on a difference.
set -euo pipefail
cd "$(dirname "$0")/.."

clang_format=$(command -v clang-format-14) || {
  echo "format: needs clang-format-14 (tools/setup.sh dev)" >&2
  exit 1
}
mode=(-i)
[ "${1:-}" != --check ] || mode=(--dry-run --Werror)
find src include tests bench tools -type f \( -name '*.h' -o -name '*.c' -o -name '*.cc' -o -name '*.inc' \) -print0 |
  xargs -0 -r -n 32 -P "$(nproc)" "$clang_format" --style=file "${mode[@]}"
