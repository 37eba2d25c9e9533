#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing, and nothing else. Safe to repeat; fast when all is there.
#
#   tools/setup.sh [build] [test] [bench] [dev] [cross]      (default: build test)
#
# Runs apt-get as root, or through sudo; where neither is possible it prints the command to run and exits 1. It never
# removes a package: where apt would have to, it stops and says which.
set -euo pipefail

declare -A groups=(
  [build]="g++ cmake ninja-build pkg-config ccache git
           libexpected-dev libfmt-dev libpcre2-dev libutf8proc-dev nlohmann-json3-dev libcli11-dev libedit-dev libssl-dev libboost1.81-dev"
  [test]="libgtest-dev binutils"
  [bench]="libbenchmark-dev"
  [dev]="clang-14 clang-tidy-14 clang-format-14 libclang-rt-14-dev qemu-user-static"
  [cross]="g++-aarch64-linux-gnu qemu-user-static
           libssl-dev:arm64 libpcre2-dev:arm64 libutf8proc-dev:arm64 libgtest-dev:arm64"
)

wanted=()
for group in "${@:-build test}"; do
  for name in $group; do
    [ -n "${groups[$name]:-}" ] || { echo "setup: unknown group '$name' (build, test, bench, dev, cross)" >&2; exit 2; }
    wanted+=(${groups[$name]})
  done
done

if ! command -v apt-get >/dev/null; then
  echo "setup: this is not Debian or Ubuntu; install the equivalents of: ${wanted[*]}" >&2
  exit 1
fi

# dpkg-query names foreign packages pkg:arm64 and native ones plainly (or pkg:amd64 for Multi-Arch: same).
native=$(dpkg --print-architecture)
installed=$(dpkg-query -W -f='${db:Status-Status} ${binary:Package}\n' | sed -n "s/^installed //p" | sed "s/:$native\$//")
missing=()
for package in "${wanted[@]}"; do
  grep -qxF -- "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

foreign=()
if [[ " ${missing[*]} " == *:arm64\ * ]] && ! dpkg --print-foreign-architectures | grep -qx arm64; then
  foreign=(dpkg --add-architecture arm64)
fi
# Remove=false: apt stops with an error, and names the packages, rather than remove any.
options=(-o DPkg::Lock::Timeout=300 -o APT::Get::Remove=false --no-install-recommends)

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root=(sudo)
  else
    echo "setup: not root, and no sudo; please have this run once:" >&2
    echo "  ${foreign[*]:+${foreign[*]} && }apt-get update && apt-get install ${options[*]} ${missing[*]}" >&2
    exit 1
  fi
fi
run() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "$@"; }

echo "setup: installing ${missing[*]}"
[ ${#foreign[@]} -eq 0 ] || run "${foreign[@]}"
run apt-get -q update
run apt-get -q -y "${options[@]}" install "${missing[@]}"
