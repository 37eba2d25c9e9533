#!/bin/sh
# The release program needs only the C and C++ run-time libraries: reads its dynamic section, then runs it in a root
# directory that holds nothing else.
#
#   tests/release_deps_test.sh path/to/bonsai
#
# Exit 77 (skipped) after the first part where this user may not chroot.
set -eu
bonsai=${1:?usage: release_deps_test.sh path/to/bonsai}
allowed='libc\.so\.6|libm\.so\.6|libstdc\+\+\.so\.6|libgcc_s\.so\.1|ld-linux[-a-z0-9_]*\.so\.[0-9]'

needed=$(LC_ALL=C readelf -d "$bonsai" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p')
[ -n "$needed" ] || { echo "FAIL: readelf shows no dynamic section in $bonsai" >&2; exit 1; }
if unexpected=$(echo "$needed" | grep -vxE "$allowed"); then
  echo "FAIL: $bonsai needs more than libc, libm, libstdc++ and libgcc_s:" $unexpected >&2
  exit 1
fi
if LC_ALL=C readelf -d "$bonsai" | grep -E '\((RPATH|RUNPATH)\)'; then
  echo "FAIL: $bonsai looks for libraries in a fixed place" >&2
  exit 1
fi
echo "needs:" $needed

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# As root directly; else in a user namespace, where the kernel lets anyone have one.
if [ "$(id -u)" -eq 0 ] && chroot / true 2>/dev/null; then
  enter="chroot"
elif unshare --user --map-root-user chroot / true 2>/dev/null; then
  enter="unshare --user --map-root-user chroot"
else
  echo "SKIP: may not chroot here, so it was not run in an empty root"
  exit 77
fi

cp "$bonsai" "$root/bonsai"
# ldd's lines: "name => /path (address)" and, for the loader, "/path (address)". Paths stay, so that the loader finds them.
ldd "$bonsai" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done

version=$($enter "$root" /bonsai --version)
case $version in
  *[0-9].[0-9]*) echo "in an empty root: $version" ;;
  *) echo "FAIL: bonsai --version printed '$version'" >&2; exit 1 ;;
esac
text=$($enter "$root" /bonsai run -p "Once upon a time" -n 8 --temp 0 </dev/null)
[ -n "$text" ] || { echo "FAIL: bonsai run printed nothing" >&2; exit 1; }
echo "in an empty root: $text"
