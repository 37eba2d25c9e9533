#!/usr/bin/env bash
# Whether web/dist is what web/src builds, the sources are formatted, and whether the page works.
#
#   web/check.sh build      checks format and types, builds elsewhere, and compares with web/dist byte for byte
#   web/check.sh browser    runs web/test in a headless browser, about a minute
#
# Downloads nothing: without Node 20.19 or newer, or before `npm ci` in web/ and web/test/, it exits 77 (skipped).
set -euo pipefail
cd "$(dirname "$0")"

skip() {
  echo "web: skipped: $1"
  exit 77
}

command -v node >/dev/null || skip "no node"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  skip "node $(node --version) is older than 20.19"

case ${1:-} in
  build)
    [ -d node_modules ] || skip "run npm ci in web/ first"
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
    node_modules/.bin/prettier --check --log-level warn '*.ts' 'src/**/*.{ts,tsx}' '{mock,test}/*.mjs'
    node_modules/.bin/tsc --noEmit
    node_modules/.bin/vite build --outDir "$out" --emptyOutDir --logLevel warn
    diff -rq dist "$out" || {
      echo "web: dist/ is not what src/ builds: run npm ci && npm run build in web/, and commit dist/" >&2
      exit 1
    }
    ;;
  browser)
    [ -d test/node_modules ] || skip "run npm ci in web/test/ first"
    cd test
    node browser.mjs >/dev/null || skip "no Chromium; see web/test/browser.mjs"
    node_modules/.bin/playwright test
    ;;
  *)
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
