#!/usr/bin/env bash
# Runs every fuzzer of a fuzz build for some seconds, all at once; the corpus in tests/corpus/<fuzzer>/ is copied, so
# the checkout stays as it is.
#
#   tools/fuzz.sh BUILD_DIR SECONDS
#
# What a fuzzer finds stays in BUILD_DIR/runs/<fuzzer>/, and its path is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: tools/fuzz.sh BUILD_DIR SECONDS}
seconds=${2:?usage: tools/fuzz.sh BUILD_DIR SECONDS}

mapfile -t fuzzers < <(find "$build" -type f -name '*_fuzz' -perm -u+x | sort)
[ ${#fuzzers[@]} -gt 0 ] || { echo "fuzz: no fuzzer in $build (cmake --preset fuzz, cmake --build --preset fuzz)" >&2; exit 1; }

pids=()
for fuzzer in "${fuzzers[@]}"; do
  name=$(basename "$fuzzer")
  work=$build/runs/$name
  rm -rf "$work"
  mkdir -p "$work/corpus"
  [ ! -d "tests/corpus/$name" ] || cp -r "tests/corpus/$name/." "$work/corpus/"
  options=()
  [ ! -f "tests/corpus/$name.dict" ] || options+=("-dict=tests/corpus/$name.dict")
  # 2 GB: a reader that allocates what a hostile file announces dies here.
  ASAN_OPTIONS=allocator_may_return_null=0:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
    "$fuzzer" "${options[@]}" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 -verbosity=1 \
    -artifact_prefix="$work/" "$work/corpus" >"$work/log" 2>&1 &
  pids+=($!)
done

failed=0
for i in "${!fuzzers[@]}"; do
  name=$(basename "${fuzzers[$i]}")
  work=$build/runs/$name
  if wait "${pids[$i]}"; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
    cover=$(grep -o 'cov: [0-9]*' "$work/log" | tail -n 1)
    # A fuzzer that never gets past its first check proves nothing: no runs or no coverage is a failure.
    if [ "${runs:-0}" -lt 1 ] || [ -z "$cover" ]; then
      echo "fuzz: $name did not run; see $work/log" >&2
      failed=1
    else
      echo "fuzz: $name clean, $runs runs in ${seconds} s, $cover, corpus $(find "$work/corpus" -type f | wc -l) files"
    fi
  else
    tail -n 40 "$work/log" >&2
    echo "fuzz: $name failed; inputs that fail:" >&2
    find "$(realpath "$work")" -maxdepth 1 -type f ! -name log >&2
    failed=1
  fi
done
exit $failed
