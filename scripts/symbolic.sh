#!/usr/bin/env bash
# Proves the checks in contracts/symbolic with halmos, which it installs into target/symbolic if it is not there. Fails on a
# counterexample, and on a check that the solver did not finish.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly HALMOS_VERSION=0.3.3
readonly HOME_OF_IT=$PWD/target/symbolic

command -v python3 >/dev/null || { echo 'symbolic: python3 (3.11 or later) with venv is needed' >&2 && exit 1; }
if ! "$HOME_OF_IT/bin/halmos" --version 2>/dev/null | grep -qF "$HALMOS_VERSION"; then
  python3 -m venv "$HOME_OF_IT"
  "$HOME_OF_IT/bin/pip" install --quiet --disable-pip-version-check "halmos==$HALMOS_VERSION"
fi
cd contracts
export FOUNDRY_PROFILE=symbolic
PATH=$PWD/node_modules/.bin:$PATH "$HOME_OF_IT/bin/halmos" --forge-build-out ../target/symbolic/out --contract SettlementCheck \
  --loop 4 --solver-timeout-assertion 600000 "$@"
