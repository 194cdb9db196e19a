#!/usr/bin/env bash
# What CI runs, cheapest first, so that a slip costs seconds. Usage: scripts/check.sh [stage…]; without arguments, all stages.
# Prints the seconds of each stage, the test runners' own summary lines, and "N passed, N failed" at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
readonly GPUMKT=$CARGO_TARGET_DIR/debug/gpumkt
readonly LOGS=$CARGO_TARGET_DIR/check
readonly ALL=(format layering licences errors web clippy features abi forge gas compile tests vectors demo)

stage_setup() { scripts/setup.sh full; }

stage_format() {
  cargo fmt --check
  contracts fmt:check
}

stage_layering() {
  # The same test runs among the others later; here it answers before any dependency is compiled.
  rustc --edition 2024 --test tests/layering.rs -o "$LOGS/layering"
  CARGO_MANIFEST_DIR=$PWD "$LOGS/layering" --quiet
}

stage_licences() { node scripts/licences.mjs; }

# What is made from the source and committed.
stage_errors() {
  node scripts/errors.mjs --check
  node scripts/dashboard.mjs --check
}

# Types, unit tests, staleness and licences of the pages, and the clients of the API; no browser (make dapp-test has one).
stage_web() {
  npm --prefix dapp ci --no-audit --no-fund --silent
  npm --prefix dapp run --silent check
  node scripts/api-clients.mjs --check
}

stage_clippy() { cargo clippy --locked --all-targets -- -D warnings; }

# The light client, and types and rules alone. Warnings count: what they leave out must be left out on purpose.
stage_features() {
  local said
  for features in '--features renter --bin gpumkt --lib' '--lib'; do
    # shellcheck disable=SC2086
    cargo check --locked --no-default-features $features 2>&1 | tee "$LOGS/features.txt"
    said=$(grep -c '^warning' "$LOGS/features.txt" || true)
    ((said == 0)) || return 1
  done
}

stage_abi() { contracts abi:check; }

stage_forge() { contracts test; }

stage_gas() { contracts gas:check; }

stage_compile() {
  cargo build --locked
  cargo test --locked --no-run
}

# Without the two that run whole networks for minutes, which a busy machine times out: `make chaos` and `make lifecycle` run them, and
# `make check-full` both.
stage_tests() { cargo test --locked --no-fail-fast -- --skip chaos::no_message --skip lifecycle::; }

stage_vectors() {
  "$GPUMKT" vectors --json >"$LOGS/vectors.json"
  diff -u contracts/test/vectors.json "$LOGS/vectors.json" ||
    { echo "contracts/test/vectors.json is stale, or the protocol changed by accident; 'make vectors' writes it anew" && return 1; }
  echo 'the vectors of Rust and contracts/test/vectors.json are the same'
}

stage_demo() {
  rm -f target/demo/report.json
  "$GPUMKT" devnet demo
  node scripts/report.mjs target/demo/report.json
}

contracts() { npm --prefix contracts run --silent "$1"; }

# ---- running, timing, counting -----------------------------------------------------------------------------------------------

table=''
failed_stage=''
readonly ESCAPES=$'s/\x1b\\[[0-9;]*m//g'

now_ms() { echo "${EPOCHREALTIME/[.,]/}" | cut -c -13; }

seconds_since() {
  local elapsed_ms=$(($(now_ms) - $1))
  printf '%d.%d' $((elapsed_ms / 1000)) $((elapsed_ms % 1000 / 100))
}

run_stage() {
  local name=$1 start status result=ok
  start=$(now_ms)
  printf '\n==> %s\n' "$name"
  # Not inside `if`: there, bash would ignore a failing command in the middle of a stage.
  set +e
  (
    set -e
    "stage_$name"
  ) 2>&1 | tee "$LOGS/$name.log"
  status=${PIPESTATUS[0]}
  set -e
  ((status == 0)) || result="failed ($status)"
  table+=$(printf '%-10s %8s s  %s' "$name" "$(seconds_since "$start")" "$result")$'\n'
  if ((status != 0)); then
    failed_stage=$name
    exit 1
  fi
}

# The runners' own summary lines of the stages that ran.
summaries() {
  local log
  for log in "$LOGS"/forge.log "$LOGS"/tests.log; do
    [[ -f $log ]] || continue
    sed -E "$ESCAPES" "$log" | grep -E '^test result: |^Ran [0-9]+ test suites? .* tests? passed' || true
  done
}

# Sums up what cargo ("3 passed; 0 failed; 1 ignored") and forge ("3 tests passed, 0 failed, 1 skipped") said.
count() {
  summaries | awk -v what="$1" '{
    for (i = 2; i <= NF; i++) {
      word = $i; gsub(/[;,]/, "", word)
      if (word !~ "^(" what ")$") continue
      number = $(i - 1) == "tests" || $(i - 1) == "test" ? $(i - 2) : $(i - 1)
      sum += number
    }
  } END { print sum + 0 }'
}

# What failing tests said, once more at the end: whoever reads a long log cut in its middle still sees it.
causes() {
  sed -E "$ESCAPES" "$LOGS/$failed_stage.log" | awk '/^---- .* stdout ----$/ { told = 1 } /^failures:$/ { told = 0 } told' | head -n 200
  sed -E "$ESCAPES" "$LOGS/$failed_stage.log" | grep -E '^\[FAIL' | sort -u | head -n 40 || true
}

finish() {
  local status=$? passed failed skipped
  trap - EXIT
  passed=$(count passed) failed=$(count failed) skipped=$(count 'ignored|skipped')
  printf '\n%-10s %8s\n%s' stage seconds "$table"
  printf '%-10s %8s s\n\n' total "$(seconds_since "$began")"
  summaries
  ((skipped == 0)) || echo "$skipped ignored or skipped"
  if [[ -n $failed_stage ]]; then
    causes
    echo "stopped at stage $failed_stage; its output is in $LOGS/$failed_stage.log"
  elif ((status != 0)); then
    echo 'interrupted'
  fi
  # A stage that failed without a failing test (lint, build, demo) counts as one failure: the last line never looks green by mistake.
  ((status == 0 || failed > 0)) || failed=1
  printf '%d passed, %d failed\n' "$passed" "$failed"
  exit "$status"
}

began=$(now_ms)
rm -rf "$LOGS"
mkdir -p "$LOGS"
stages=("$@")
(($# > 0)) || stages=("${ALL[@]}")
for stage in "${stages[@]}"; do
  declare -F "stage_$stage" >/dev/null || { echo "check: no stage '$stage'; there are: ${ALL[*]}" >&2 && exit 2; }
done
trap finish EXIT
trap 'exit 130' INT TERM
run_stage setup
for stage in "${stages[@]}"; do
  run_stage "$stage"
done
if [[ " ${stages[*]} " == *' tests '* && $(count passed) == 0 ]]; then
  failed_stage=tests
  echo 'the runners reported no test at all'
  exit 1
fi
