#!/bin/sh
# isa_symbols_test.sh NM CXX OBJECT...: fails unless each object defines exactly one external symbol, its kernel table.
# Anything else, above all a weak copy of an inline function, could be chosen by the linker for the whole program and
# would then run new instructions on old CPUs.
set -eu
nm=$1 cxx=$2
shift 2
[ $# -gt 0 ] || { echo "no object to check"; exit 1; }

# Prints what `object` defines beyond one table; succeeds when that is nothing. (Sanitizers add marks of
# their own: __odr_asan, and DW.ref, a pointer to the personality routine.)
check() {
  symbols=$("$nm" -C -g --defined-only "$1" | sed -n 's/^[0-9a-fA-F]* *\([A-Za-z]\) \(.*\)$/\1 \2/p' | grep -vE ' (__odr_asan|DW\.ref\.)' || true)
  tables=$(printf '%s\n' "$symbols" | grep -c '^[DR] bonsai::kernels::k[A-Za-z0-9]*Kernels$' || true)
  others=$(printf '%s\n' "$symbols" | grep -v '^[DR] bonsai::kernels::k[A-Za-z0-9]*Kernels$' | grep . || true)
  [ "$tables" = 1 ] && [ -z "$others" ] && return 0
  printf '%s defines %s tables and also:\n%s\n' "$1" "$tables" "$others"
  return 1
}

# The check itself must see what it is for: a clean object passes, a weak inline function and a missing table do not.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
table='namespace bonsai::kernels { extern const int kTestKernels; const int kTestKernels = 1; }'
echo "$table" > "$dir/clean.cc"
echo "$table __attribute__((noinline)) inline int Leak(int x) { return x + 1; } static int (*volatile use)(int) = Leak;
      namespace { int Run() { return use(1); } int (*volatile run)() = Run; }" > "$dir/weak.cc"
echo "int Other() { return 1; }" > "$dir/none.cc"
for source in clean weak none; do "$cxx" -std=c++20 -O2 -c "$dir/$source.cc" -o "$dir/$source.o"; done
check "$dir/clean.o" || { echo "self-test: a clean object was refused"; exit 1; }
for source in weak none; do
  if check "$dir/$source.o" > "$dir/out"; then echo "self-test: $source.o was accepted"; exit 1; fi
done
check "$dir/weak.o" | grep -q 'W Leak(int)' || { echo "self-test: the weak function was not named"; exit 1; }

failed=0
for object in "$@"; do check "$object" || failed=1; done
exit $failed
