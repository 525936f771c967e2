#!/usr/bin/env bash
# Measures Wharf beside its peers, and what its parts cost: builds or installs what is missing, then measures.
# Usage: bench/run.sh [--only PART]... [--rounds N] [--seconds N] [--connections N] [--quick] [--name NAME] [--peer-lto]
set -euo pipefail
cd "$(dirname "$0")/.."

ROOT="$PWD"
BENCH="$ROOT/bench"
GREETER="$ROOT/plugins/greeter.wasm"
CALLER="$ROOT/target/guests/caller.wasm"
LEDGER="$ROOT/target/guests/ledger.wasm"
WASMTIME_VERSION=48.0.8
# What serving needs. Less than a stock build has; nothing that is left out would make a request faster.
WASMTIME_FEATURES=run,serve,cranelift,component-model,component-model-async,pooling-allocator,parallel-compilation

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Installs the Debian package $1, if that is possible here.
install() {
    [ "$(id -u)" = 0 ] && have apt-get || return 0
    say "installing $1 (apt)"
    # Debian starts a server as soon as it is installed, unless this file says no.
    local rules=/usr/sbin/policy-rc.d made=
    if [ ! -e "$rules" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$rules" && chmod +x "$rules" && made=1
    fi
    # The lists of packages may be missing or old: then once more with new ones.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1 ||
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"; } \
            >/dev/null 2>&1 || true
    [ -z "$made" ] || rm -f "$rules"
}

need_wrk() {
    have wrk || install wrk
    have wrk || die "wrk is missing: install it ('apt-get install wrk' on Debian, 'dnf install wrk' on Fedora), then run this again"
}

# Finds or installs the proxies to compare with; without them the rest is measured all the same.
find_proxies() {
    local proxy
    # Where Debian has them, which is not in everybody's path.
    PATH="$PATH:/usr/sbin"
    for proxy in nginx haproxy; do
        have "$proxy" || install "$proxy"
        if have "$proxy"; then
            GIVEN+=("--$proxy" "$(command -v "$proxy")")
        else
            say "$proxy is missing and left out: install it ('apt-get install $proxy') to compare with it"
        fi
    done
}

# Measures the event log beside Redis Streams, if there is a Redis to be had.
measure_events() {
    have redis-server || install redis-server
    if ! have redis-server; then
        say "redis-server is missing and the part events left out: install it ('apt-get install redis-server')"
        return
    fi
    say "building the events program"
    cargo build --quiet --profile host -p events --manifest-path "$BENCH/Cargo.toml" --target-dir "$BENCH/target"
    "$BENCH/target/host/events" --redis "$(command -v redis-server)" --home "$BENCH" --revision "$REVISION" \
        ${FLAGS[@]+"${FLAGS[@]}"}
}

needs() { [[ " $NEEDS " == *" $1 "* ]]; }

need_taskset() {
    have taskset || die "taskset is missing: install util-linux, then run this again"
}

# Installs `wasmtime` into the folder $1, once.
need_wasmtime() {
    [ -x "$1/bin/wasmtime" ] && return
    say "building wasmtime-cli $WASMTIME_VERSION, once; this takes some minutes"
    local profile=()
    [ -z "$PEER_LTO" ] || profile=(--config profile.release.lto=\"fat\" --config profile.release.codegen-units=1)
    cargo install wasmtime-cli --version "$WASMTIME_VERSION" --locked --quiet \
        --no-default-features --features "$WASMTIME_FEATURES" \
        ${profile[@]+"${profile[@]}"} --root "$1" --target-dir "$BENCH/.peers/build" ||
        die "wasmtime-cli could not be built"
    rm -rf "$BENCH/.peers/build"
}

PEER_LTO=
ARGS=()
HELP=
# The part `events` has a program of its own; the driver has the other parts, and gets the flags without `--only events`.
EVENTS=
OTHERS=
FLAGS=()
while [ $# -gt 0 ]; do
    case "$1 ${2-}" in
        "--only events") EVENTS=1; shift ;;
        "--only=events "*) EVENTS=1 ;;
        "--only "* | --only=*) OTHERS=1; ARGS+=("$1") ;;
        "--peer-lto "*) PEER_LTO=1 ;;
        "-h "* | "--help "*) HELP=1; ARGS+=("$1") ;;
        "--rounds "* | "--seconds "* | "--name "*) ARGS+=("$1" "${2-}"); FLAGS+=("$1" "${2-}"); [ $# = 1 ] || shift ;;
        --rounds=* | --seconds=* | --name=* | "--quick "*) ARGS+=("$1"); FLAGS+=("$1") ;;
        *) ARGS+=("$1") ;;
    esac
    shift
done
# Without --only, everything; such a run is kept.
if [ -z "$EVENTS$OTHERS" ]; then
    EVENTS=1 OTHERS=1
    [[ " ${FLAGS[*]-} " == *" --name"* || " ${FLAGS[*]-} " == *" --quick "* ]] || FLAGS+=(--name greeter)
fi

PEER="$BENCH/.peers/wasmtime-$WASMTIME_VERSION"
PEER_BUILD="release profile, features $WASMTIME_FEATURES"
if [ -n "$PEER_LTO" ]; then
    PEER="$PEER-lto"
    PEER_BUILD="release profile with fat LTO and one codegen unit, features $WASMTIME_FEATURES"
fi
REVISION="$(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
[ -z "$(git status --porcelain -- host Cargo.toml Cargo.lock plugins 2>/dev/null)" ] || REVISION="$REVISION with changes"
DRIVER="$BENCH/target/release/wharf-bench"
GIVEN=(--wharf "${CARGO_TARGET_DIR:-$ROOT/target}/dist/wharf" --wasmtime "$PEER/bin/wasmtime"
    --native "$BENCH/target/dist/native" --greeter "$GREETER" --caller "$CALLER" --ledger "$LEDGER"
    --home "$BENCH"
    --wasmtime-build "$PEER_BUILD" --revision "$REVISION")

[ "$(uname -s)" = Linux ] || die "measuring needs Linux: it reads /proc and pins with taskset"
have cargo || die "Rust is missing: start this with './justw bench'"
# The driver first: a wrong flag is told before anything long is built.
cargo build --quiet --release -p wharf-bench --manifest-path "$BENCH/Cargo.toml" --target-dir "$BENCH/target"
# Prints the help, or what the chosen parts need.
NEEDS="$("$DRIVER" --check "${GIVEN[@]}" ${ARGS[@]+"${ARGS[@]}"})"
[ -z "$HELP" ] || { printf '%s\n' "$NEEDS"; exit 0; }

if [ -z "$OTHERS" ]; then
    measure_events
    exit 0
fi

need_taskset
need_wrk
[ -f "$GREETER" ] || die "plugins/greeter.wasm is missing: run './justw build-plugins'"
# Guests have a target folder of their own, whatever is chosen for the host.
! needs caller || env -u CARGO_TARGET_DIR bash scripts/build-guests.sh tests/guests target/guests >&2
! needs wasmtime || need_wasmtime "$PEER"
! needs proxies || find_proxies
say "building Wharf as it is shipped"
cargo build --quiet --profile dist -p wharf
if needs native; then
    say "building the native server alike"
    cargo build --quiet --profile dist -p native --manifest-path "$BENCH/Cargo.toml" --target-dir "$BENCH/target"
fi

"$DRIVER" "${GIVEN[@]}" ${ARGS[@]+"${ARGS[@]}"}
[ -z "$EVENTS" ] || measure_events
