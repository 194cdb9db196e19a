#!/usr/bin/env bash
# Line and branch coverage of contracts/src; fails below 98 % of all lines. Takes a while: everything is compiled anew, through the
# pipeline that does without most of the optimiser, because the plain one runs out of stack with the counters in the code.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../contracts"

readonly HOME_OF_IT=$PWD/../target/coverage
mkdir -p "$HOME_OF_IT"
export PATH=$PWD/node_modules/.bin:$PATH
export FOUNDRY_PROFILE=coverage GPUMKT_COVERAGE=true
forge coverage --ir-minimum --report lcov --report-file "$HOME_OF_IT/lcov.info" "$@"
cd ..
node scripts/coverage.mjs "$HOME_OF_IT/lcov.info" 98
