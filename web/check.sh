#!/usr/bin/env bash
# Whether web/dist is what web/src builds, the sources are formatted, and whether the page and its server work.
#
#   web/check.sh build      checks format and types, builds elsewhere, and compares with web/dist byte for byte
#   web/check.sh browser    the page against the mock, in a headless browser, about a minute
#   web/check.sh client     the official client against `bonsai serve`, each answer compared with OpenAI's specification
#   web/check.sh server     the page that `bonsai serve` sends, in a headless browser
#
# The last two take the programs from BONSAI_PROGRAM and BONSAI_MAKE_MODEL, or from build/release/bin.
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

enter_test() {
  cd test
  for package in $(node -p 'Object.keys(require("./package.json").devDependencies).join(" ")'); do
    [ -d "node_modules/$package" ] || skip "run npm ci in web/test/ first"
  done
}

playwright() {
  node browser.mjs >/dev/null || skip "no Chromium; see web/test/browser.mjs"
  node_modules/.bin/playwright test "$@"
}

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
    enter_test
    playwright page.spec.mjs
    ;;
  client)
    enter_test
    node server.mjs || skip "build bonsai and make_script_model first"
    node --test --test-reporter=spec ./*.test.mjs
    ;;
  server)
    enter_test
    node server.mjs || skip "build bonsai and make_script_model first"
    playwright server.spec.mjs
    ;;
  *)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
