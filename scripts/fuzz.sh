#!/usr/bin/env bash
# fuzz.sh SECONDS [TARGET…]: builds the fuzz targets with coverage instrumentation of this workspace only and runs each
# for so many seconds, from the seeds in fuzz/seeds and what earlier runs found (target/fuzz). Ends non-zero at the
# first crash and says where its input is.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(config_parse route_match path_normalize jwt contract)

bins=()
for target in "${targets[@]}"; do bins+=(--bin "$target"); done
# `--examples` (there are none) makes cargo count the features of tests in, so that no dependency is built a second time.
RUSTC_WORKSPACE_WRAPPER="$PWD/scripts/rustc-coverage.sh" cargo build -q --workspace "${bins[@]}" --examples

for target in "${targets[@]}"; do
    corpus="target/fuzz/$target"
    mkdir -p "$corpus" target/fuzz/crashes "fuzz/seeds/$target"
    log="target/fuzz/$target.log"
    if ! "target/debug/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
        -artifact_prefix="target/fuzz/crashes/$target-" "$corpus" "fuzz/seeds/$target" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        exit 1
    fi
    printf '%-16s %s inputs tried, %s features reached\n' "$target" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$(sed -n 's/.* ft: \([0-9]*\).*/\1/p' "$log" | tail -n 1)"
done
