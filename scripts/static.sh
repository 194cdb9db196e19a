#!/usr/bin/env bash
# Runs slither over all contracts and counts its findings by kind and contract. Fails on a kind that docs/security.md does not
# answer. Slither goes into target/static, if it is not there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly SLITHER_VERSION=0.11.6
readonly HOME_OF_IT=$PWD/target/static

command -v python3 >/dev/null || { echo 'static: python3 (3.11 or later) with venv is needed' >&2 && exit 1; }
if ! "$HOME_OF_IT/bin/slither" --version 2>/dev/null | grep -qF "$SLITHER_VERSION"; then
  python3 -m venv "$HOME_OF_IT"
  "$HOME_OF_IT/bin/pip" install --quiet --disable-pip-version-check "slither-analyzer==$SLITHER_VERSION"
fi

# A copy: slither cleans the output of the build it looks at.
readonly COPY=$HOME_OF_IT/contracts
rm -rf "$COPY"
mkdir -p "$COPY"
cp -r contracts/src contracts/bin contracts/foundry.toml "$COPY"
ln -s "$PWD/contracts/node_modules" "$COPY/node_modules"
export PATH=$PWD/contracts/node_modules/.bin:$PATH
report=$HOME_OF_IT/report.json
rm -f "$report"
# Its exit status is the number of findings; the report says whether it ran.
(cd "$COPY" && "$HOME_OF_IT/bin/slither" . --filter-paths 'node_modules' --json "$report" "$@" >"$HOME_OF_IT/slither.log" 2>&1) || true
[[ -s $report ]] || { tail -n 20 "$HOME_OF_IT/slither.log" >&2; echo 'static: slither did not finish' >&2; exit 1; }
node scripts/static.mjs "$report" docs/security.md
