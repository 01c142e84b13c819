#!/usr/bin/env sh
# Installs the Debian packages that the tests need: a software HSM, Redis, PostgreSQL, and what native modules are compiled with.
set -eu

missing=''
command -v softhsm2-util >/dev/null || missing="$missing softhsm2"
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
command -v g++ >/dev/null || missing="$missing g++"
command -v make >/dev/null || missing="$missing make"
command -v python3 >/dev/null || missing="$missing python3"
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "not installed:$missing; the tests that need them will say so" >&2
  exit 0
fi
as_root=''
[ "$(id -u)" -eq 0 ] || as_root='sudo'
$as_root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing
