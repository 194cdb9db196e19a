#!/usr/bin/env bash
# Installs what is missing and nothing else. Usage: scripts/setup.sh [build|demo|bench|full|web]
#   build  system packages and the place of RocksDB      (make build)
#   demo   and the two chains' node, anvil               (make demo)
#   bench  and a plain SSH server to compare with        (make bench)
#   full   and the Solidity compiler, forge, libraries,  (make test, lint, check)
#          and a container engine for the tests
#   web    and Chromium                                  (make dapp-test)
# Needs no network and well under a second when everything is there.
# shellcheck disable=SC2015 # `a && b || fail`: whichever of the two fails, the answer is the same
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LEVEL=${1:-full}
# A browser on top of everything else.
[[ $LEVEL != web ]] || readonly BROWSER=chromium
[[ $LEVEL != web ]] || LEVEL=full
readonly LEVEL
readonly RUST_MINOR=95 # Rust 1.95: edition 2024 and what the dependencies ask for
readonly NODE_MAJOR=20
[[ $(id -u) == 0 ]] && readonly SUDO='' || readonly SUDO='sudo '
command -v curl >/dev/null && readonly CURL='' || readonly CURL="${SUDO}apt-get install -y curl && "
# librocksdb-dev, libclang-dev, clang: the Rust bindings of RocksDB are made from Debian's own header, which saves
# compiling RocksDB (15 minutes). ocl-icd, pocl: OpenCL and a device on the CPU. bubblewrap: isolation of renters' programs.
# openssh-client: what renters log in with.
PACKAGES=(
  build-essential bubblewrap ca-certificates clang libclang-dev librocksdb-dev
  ocl-icd-libopencl1 ocl-icd-opencl-dev openssh-client pkg-config pocl-opencl-icd
)
# For tests only. podman, runc (its usual runtime crun refuses machines with both versions of control groups), netavark
# with iptables: containers and their networks. nftables: the rules of the egress policy. iproute2: namespaces that stand
# for other machines. busybox-static: the image. docker-registry, apache2-utils (htpasswd): a registry on loopback.
# procps (pgrep), rsync: the tests of a renter's access run what renters run. python3: one of the generated clients of the API.
readonly TEST_PACKAGES=(
  apache2-utils busybox-static docker-registry iproute2 iptables netavark nftables podman procps python3 rsync runc
)
readonly TEST_PROGRAMS=(busybox docker-registry htpasswd ip iptables nft pgrep podman python3 rsync runc)
[[ $LEVEL != full ]] || PACKAGES+=("${TEST_PACKAGES[@]}")
[[ $LEVEL != bench ]] || PACKAGES+=(openssh-server)
[[ -z ${BROWSER:-} ]] || PACKAGES+=("$BROWSER")
readonly PACKAGES

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$1" >&2
  shift
  (($# == 0)) || printf '       %s\n' "$@" >&2
  exit 1
}

check_machine() {
  [[ $(uname -s) == Linux && $(uname -m) == x86_64 ]] ||
    fail "this is $(uname -s) on $(uname -m); gpumkt builds on Linux on x86-64"
}

check_rust() {
  local install="${CURL}curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env"
  local version minor
  command -v cargo >/dev/null && version=$(rustc --version 2>/dev/null) ||
    fail "Rust 1.$RUST_MINOR or newer is needed and none was found; install it with:" "$install"
  minor=${version#rustc 1.}
  minor=${minor%%.*}
  [[ $minor =~ ^[0-9]+$ ]] && ((minor >= RUST_MINOR)) ||
    fail "Rust 1.$RUST_MINOR or newer is needed, this is $version; update it with:" \
      "rustup update stable && rustup default stable    (or, without rustup: $install)"
}

check_node() {
  local install="${CURL}curl -fsSL https://deb.nodesource.com/setup_22.x | ${SUDO}bash - && ${SUDO}apt-get install -y nodejs"
  local version major
  command -v npm >/dev/null && version=$(node --version 2>/dev/null) ||
    fail "Node.js $NODE_MAJOR or newer with npm is needed and none was found; install it with:" "$install"
  major=${version#v}
  major=${major%%.*}
  [[ $major =~ ^[0-9]+$ ]] && ((major >= NODE_MAJOR)) ||
    fail "Node.js $NODE_MAJOR or newer is needed, this is $version; install it with:" "$install"
}

missing_packages() {
  local installed package
  installed=$(dpkg-query --show --showformat='${binary:Package} ${db:Status-Status}\n' "${PACKAGES[@]}" 2>/dev/null || true)
  for package in "${PACKAGES[@]}"; do
    grep -qE "^$package(:[a-z0-9]+)? installed$" <<<"$installed" || echo "$package"
  done
}

# Distributions other than Debian: look for the files themselves.
missing_files() {
  command -v cc >/dev/null || echo 'a C and C++ compiler'
  command -v clang >/dev/null || echo 'clang'
  command -v bwrap >/dev/null || echo 'bubblewrap'
  command -v pkg-config >/dev/null || echo 'pkg-config'
  local libraries
  libraries=$(ldconfig -p 2>/dev/null || true)
  local program
  if [[ $LEVEL == full ]]; then
    for program in "${TEST_PROGRAMS[@]}"; do
      PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || echo "$program"
    done
  fi
  [[ $libraries == *libclang* ]] || echo 'libclang'
  [[ $libraries == *libOpenCL.so* ]] || echo 'an OpenCL loader with its development files (ocl-icd)'
  compgen -G '/etc/OpenCL/vendors/*.icd' >/dev/null || echo 'an OpenCL driver (PoCL serves any CPU)'
}

install_packages() {
  local missing=()
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    mapfile -t missing < <(missing_files)
    ((${#missing[@]} == 0)) ||
      fail "this is not a Debian system; install these with its package manager, then run the command again:" "${missing[@]}"
    return
  fi
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]} > 0)) || return 0
  local command="${SUDO}apt-get update && ${SUDO}apt-get install -y --no-install-recommends ${missing[*]}"
  local root=()
  if [[ -n $SUDO ]]; then
    # Without a terminal sudo could only wait for a password that nobody types.
    if ! command -v sudo >/dev/null || { [[ ! -t 0 ]] && ! sudo -n true 2>/dev/null; }; then
      fail "system packages are missing; install them as root, then run the command again:" "$command"
    fi
    root=(sudo)
  fi
  say "installing system packages: ${missing[*]}"
  "${root[@]}" apt-get update ||
    fail "apt-get update failed; see its message above, then run the command again"
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" ||
    fail "some of these packages could not be installed: ${missing[*]}" \
      "see the message of apt-get above; Debian 12 has all of them"
  # Debian starts it on port 5000; the tests start one of their own.
  if [[ " ${missing[*]} " == *' docker-registry '* && -d /run/systemd/system ]]; then
    "${root[@]}" systemctl disable --now docker-registry ||
      say 'docker-registry is running now; nothing here needs it to: systemctl disable --now docker-registry'
  fi
}

# Where Podman, as root, takes a range for each container from, so that a container's root is nobody on the machine.
reserve_ids() {
  local file range='containers:2147483647:2147483648' root=()
  [[ -z $SUDO ]] || root=(sudo)
  for file in /etc/subuid /etc/subgid; do
    grep -qs '^containers:' "$file" && continue
    say "adding $range to $file"
    "${root[@]}" tee -a "$file" <<<"$range" >/dev/null ||
      fail "cannot write $file; add this line to it as root, then run the command again:" "$range"
  done
}

# Tells cargo where the system's RocksDB is, in a file that plain `cargo` commands and editors read too: with another
# setting they would rebuild everything that stands on it. Without a fitting library the crate compiles its own copy.
locate_rocksdb() {
  local config=.cargo/config.toml mark='# Written by scripts/setup.sh: the RocksDB of this system.'
  local header=/usr/include/rocksdb/version.h library='' wanted=''
  library=/usr/lib/$(gcc -print-multiarch 2>/dev/null || true)/librocksdb.so
  # The crate's calls match versions 7.8 and 7.9.
  if [[ -f $library ]] && grep -qE '^#define ROCKSDB_MAJOR 7$' "$header" 2>/dev/null &&
    grep -qE '^#define ROCKSDB_MINOR [89]$' "$header"; then
    wanted=$(printf '%s\n[env]\nROCKSDB_LIB_DIR = "%s"\nROCKSDB_INCLUDE_DIR = "/usr/include"' "$mark" "${library%/*}")
  else
    say 'no RocksDB 7.8 on this system: cargo compiles a copy of its own, which adds about 15 minutes once'
  fi
  if [[ -f $config ]] && ! grep -qxF "$mark" "$config"; then
    [[ -z $wanted ]] || grep -q ROCKSDB_LIB_DIR "$config" ||
      say "$config is yours and stays as it is; to save 15 minutes of compiling, add to it:
$wanted"
  elif [[ -n $wanted ]]; then
    [[ -f $config && $(<"$config") == "$wanted" ]] || { mkdir -p .cargo && printf '%s\n' "$wanted" >"$config"; }
  else
    rm -f "$config"
  fi
}

# One stamp per level, holding the hash of the lock file that was installed. A full install serves the demo as well,
# and the demo never turns one into less.
install_npm() {
  local level=$1 modules=contracts/node_modules hash
  local full=$modules/.gpumkt-full demo=$modules/.gpumkt-demo
  [[ -f contracts/package-lock.json ]] || fail 'contracts/package-lock.json is missing: the clone is incomplete'
  hash=$(cat contracts/package.json contracts/package-lock.json | sha256sum)
  if [[ -f $full ]]; then
    level=full
  fi
  if [[ $(cat "$modules/.gpumkt-$level" 2>/dev/null) == "$hash" ]]; then
    return
  fi
  say "installing npm packages ($level) into $modules"
  local omit=()
  [[ $level == full ]] || omit=(--omit=dev)
  (cd contracts && npm ci "${omit[@]}" --no-audit --no-fund) ||
    fail 'npm ci failed; see its message above. If the registry was out of reach, run the command again'
  rm -f "$full" "$demo"
  printf '%s\n' "$hash" >"$modules/.gpumkt-$level"
}

main() {
  case $LEVEL in
  build | demo | bench | full) ;;
  *) fail "unknown level '$LEVEL'; use build, demo, bench, full or web" ;;
  esac
  check_machine
  # Everything the user has to install is asked for before the first long download.
  check_rust
  [[ $LEVEL == build ]] || check_node
  install_packages
  [[ $LEVEL != full ]] || reserve_ids
  locate_rocksdb
  # A bench needs of npm what a demo does.
  [[ $LEVEL == build ]] || install_npm "${LEVEL/bench/demo}"
}

main
