#!/usr/bin/env bash
# Builds core-geth and go-ethereum from the Go module registry, each once, into a folder outside the checkout, and prints the folder.
# `make e2e-real` runs a rental on them. Needs Go 1.25 or newer; GPUMKT_CLIENTS names another folder, JOBS how many compilers run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/clients"

readonly FOLDER=${GPUMKT_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/gpumkt/clients}
readonly JOBS=${JOBS:-$(nproc)}
readonly GO_MINOR=25

check_go() {
  local version
  command -v go >/dev/null || { echo 'clients: Go is needed: https://go.dev/dl' >&2 && exit 1; }
  version=$(go env GOVERSION)
  version=${version#go1.}
  ((${version%%.*} >= GO_MINOR)) || { echo "clients: Go 1.$GO_MINOR or newer is needed, this is $(go env GOVERSION)" >&2 && exit 1; }
}

# core-geth's module still calls itself github.com/ethereum/go-ethereum, so its go.mod here has a `replace`. One of its dependencies
# reaches into Go's runtime, which linkers since Go 1.23 refuse without -checklinkname=0.
build() {
  local name=$1 program=$FOLDER/$1 stamp=$FOLDER/$1.sum sum
  shift
  sum=$(cat "$name/go.mod" "$name/go.sum" | sha256sum)
  [[ -x $program && -f $stamp && $(<"$stamp") == "$sum" ]] && return
  echo "clients: building $name; this takes some minutes" >&2
  (cd "$name" && GOTOOLCHAIN=local go build -mod=readonly -p "$JOBS" -trimpath "$@" -o "$program.new" github.com/ethereum/go-ethereum/cmd/geth)
  mv "$program.new" "$program"
  echo "$sum" >"$stamp"
}

check_go
mkdir -p "$FOLDER"
build core-geth -ldflags=-checklinkname=0
build geth
echo "$FOLDER"
