#!/bin/sh
# emulated_test.sh MACHINE CPU BUILD NATIVE RUNS REFUSES
# The tests of kernels, the golden test and `bonsai run` of a build directory under qemu-user, as another CPU of MACHINE
# (x86_64 or aarch64): one that RUNS these kernel tables, best first, and REFUSES those. NATIVE is a `bonsai` of this
# machine, whose text all must give. Exit 77 (skipped) without qemu or, for another machine, without its build.
set -eu
[ $# -eq 6 ] || { echo "usage: emulated_test.sh MACHINE CPU BUILD NATIVE RUNS REFUSES" >&2; exit 2; }
machine=$1 cpu=$2 build=$3 native=$4 runs=$5 refuses=$6
qemu=qemu-$machine-static
command -v "$qemu" >/dev/null || { echo "SKIP: there is no $qemu (tools/setup.sh dev)"; exit 77; }
programs="tiles_test kernels_test"
options=
if [ "$machine" = aarch64 ]; then
  [ -e "$build/CMakeCache.txt" ] || { echo "SKIP: no cross build in $build (tools/setup.sh cross; cmake --preset aarch64)"; exit 77; }
  # As CMAKE_CROSSCOMPILING_EMULATOR of cmake/aarch64.cmake. These kernels run on no test machine, so all tests of them.
  options="-L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=/usr/aarch64-linux-gnu/lib"
  programs="$programs matmul_test ops_test"
fi
unset BONSAI_ISA

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# emulated TABLE PROGRAM ARGUMENT...: an empty TABLE leaves the choice to the program.
emulated() {
  table=$1
  shift
  # shellcheck disable=SC2086  # several words
  env ${table:+BONSAI_ISA=$table} "$qemu" -cpu "$cpu" $options "$@"
}
fail() { echo "FAIL: $machine $cpu: $*"; exit 1; }
# must NAME COMMAND...: quiet unless it fails.
must() {
  name=$1
  shift
  "$@" >"$dir/out" 2>&1 || { code=$?; grep -v "TCG doesn't support" "$dir/out" | tail -n 40; fail "$name: exit code $code"; }
  echo "passed: $name"
}

for program in $programs; do must "$program" emulated "" "$build/src/kernels/$program" --gtest_brief=1; done
# Without the test that takes as long as the others together, and sees no logits that they do not see.
must "golden_test" emulated "" "$build/tests/golden_test" --gtest_filter='-*GreedyContinuations'

emulated "" "$build/bin/bonsai" doctor --json >"$dir/doctor" 2>/dev/null || fail "bonsai doctor: exit code $?"
best=${runs%% *}
grep -q "\"used\": \"$best\"" "$dir/doctor" || { cat "$dir/doctor"; fail "'$best' is not what was chosen"; }

"$native" run -n 30 --seed 1 >"$dir/want" </dev/null
for table in $runs; do
  emulated "$table" "$build/bin/bonsai" run -n 30 --seed 1 >"$dir/got" 2>"$dir/err" </dev/null || fail "bonsai run, $table: exit code $?"
  cmp -s "$dir/got" "$dir/want" || { cat "$dir/want" "$dir/got"; fail "bonsai run, $table: not the text that this machine writes"; }
  echo "passed: bonsai run, $table"
  # What of the golden test depends on the table; the rest takes float activations.
  [ "$table" = "$best" ] ||
    must "golden_test, $table" emulated "$table" "$build/tests/golden_test" --gtest_filter='*Int8*:*Batches*'
done
for table in $refuses; do
  code=0
  emulated "$table" "$build/bin/bonsai" run -n 1 >"$dir/got" 2>"$dir/err" </dev/null || code=$?
  [ $code -eq 2 ] || fail "BONSAI_ISA=$table gave exit code $code"
  grep -q "BONSAI_ISA=$table: this CPU or operating system does not support it" "$dir/err" || { cat "$dir/err"; fail "no message"; }
  echo "passed: $table is refused"
done
