#!/usr/bin/env bash
# Makes target/deb/gpumkt_VERSION_amd64.deb from a built program. Usage: scripts/deb.sh PROGRAM
# The same program gives the same package: times come from the last commit, owners are root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PROGRAM=${1:?the program to pack}
[[ -x $PROGRAM ]] || { echo "deb: there is no program $PROGRAM" >&2 && exit 1; }
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.lock)}
readonly VERSION
export SOURCE_DATE_EPOCH
readonly OUT=$PWD/target/deb
readonly ROOT=$OUT/root
rm -rf "$ROOT" && mkdir -p "$ROOT/DEBIAN"

put() { install -Dm"$1" "$2" "$ROOT/$3"; }
# gzip without a name and a time.
put_gz() { mkdir -p "$ROOT/$(dirname "$2")" && gzip -9nc "$1" >"$ROOT/$2" && chmod 644 "$ROOT/$2"; }

put 755 "$PROGRAM" usr/bin/gpumkt
strip --strip-unneeded "$ROOT/usr/bin/gpumkt"
for role in king queen relay; do put 640 "config/$role.toml" "etc/gpumkt/$role.toml"; done
put 640 config/provider.toml etc/gpumkt/provider-0.toml
for unit in config/systemd/*.service; do
  put 644 "$unit" "usr/lib/systemd/system/$(basename "$unit")"
done
sed -i 's|/usr/local/bin/|/usr/bin/|; s|file:///usr/local/share/gpumkt/\(.*\)\.toml|man:gpumkt-\1(1)|' "$ROOT"/usr/lib/systemd/system/*.service
put 644 config/systemd/sysusers.conf usr/lib/sysusers.d/gpumkt.conf
for preset in config/chains/*.toml; do put 644 "$preset" "usr/share/gpumkt/chains/$(basename "$preset")"; done
for file in config/monitoring/*; do put 644 "$file" "usr/share/gpumkt/monitoring/$(basename "$file")"; done
for page in docs/*.md docs/openapi.json; do put 644 "$page" "usr/share/doc/gpumkt/$(basename "$page")"; done
put_gz CHANGELOG.md usr/share/doc/gpumkt/changelog.gz
put 644 README.md usr/share/doc/gpumkt/README.md
{
  echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
  echo 'Upstream-Name: gpumkt'
  echo
  echo 'Files: *'
  echo 'Copyright: the gpumkt developers'
  echo 'License: Apache-2.0 or MIT'
  echo ' The Apache licence is in /usr/share/common-licenses/Apache-2.0; the other one is:'
  sed 's/^$/./; s/^/ /' LICENSE-MIT
} >"$OUT/copyright" && put 644 "$OUT/copyright" usr/share/doc/gpumkt/copyright
node scripts/sbom.mjs >"$OUT/gpumkt.cdx.json" && put_gz "$OUT/gpumkt.cdx.json" usr/share/doc/gpumkt/gpumkt.cdx.json.gz

"$PROGRAM" manual "$OUT/man" >/dev/null
for page in "$OUT"/man/*.1; do put_gz "$page" "usr/share/man/man1/$(basename "$page").gz"; done
mkdir -p "$ROOT"/usr/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
"$PROGRAM" completions bash >"$ROOT/usr/share/bash-completion/completions/gpumkt"
"$PROGRAM" completions zsh >"$ROOT/usr/share/zsh/vendor-completions/_gpumkt"
"$PROGRAM" completions fish >"$ROOT/usr/share/fish/vendor_completions.d/gpumkt.fish"

# What the program is linked with, by the packages that hold it.
mkdir -p "$OUT/debian" && printf 'Source: gpumkt\n\nPackage: gpumkt\nArchitecture: amd64\n' >"$OUT/debian/control"
DEPENDS=$(cd "$OUT" && dpkg-shlibdeps -O --ignore-missing-info root/usr/bin/gpumkt 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
cat >"$ROOT/DEBIAN/control" <<CONTROL
Package: gpumkt
Version: $VERSION
Architecture: amd64
Maintainer: gpumkt developers <packages@gpumkt.org>
Installed-Size: $(du -sk "$ROOT" | cut -f1)
Depends: $DEPENDS
Recommends: bubblewrap, openssh-client
Suggests: podman, pocl-opencl-icd
Section: net
Priority: optional
Description: marketplace for real GPUs, paid on Ethereum, proven on Ethereum Classic
 Renters pay in GPUTOKEN and log in with ssh; providers prove speed and memory of
 their GPUs to anybody with a CPU. One program for King, Queen, provider, relay,
 and for everybody who rents.
CONTROL
(cd "$ROOT" && find etc -type f -printf '/%p\n' | sort) >"$ROOT/DEBIAN/conffiles"
cat >"$ROOT/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers gpumkt.conf
  elif ! getent passwd gpumkt >/dev/null; then
    useradd --system --home-dir /var/lib/gpumkt --shell /usr/sbin/nologin gpumkt
  fi
  install -d -o gpumkt -g gpumkt -m 750 /var/lib/gpumkt
  # Endpoints and webhooks may carry tokens: for root and the nodes only.
  chgrp -R gpumkt /etc/gpumkt
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # After an upgrade: nodes that run start again with the new program; renters' containers live on.
    systemctl try-restart 'gpumkt-*.service' || true
  fi
fi
POSTINST
cat >"$ROOT/DEBIAN/prerm" <<'PRERM'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl stop 'gpumkt-*.service' || true
fi
PRERM
chmod 755 "$ROOT/DEBIAN/postinst" "$ROOT/DEBIAN/prerm"
find "$ROOT" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$ROOT" "$OUT/gpumkt_${VERSION}_amd64.deb"
