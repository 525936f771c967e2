#!/usr/bin/env bash
# build-guests.sh WORKSPACE OUT: builds every guest (cdylib) of a workspace and puts <name>.wasm into OUT, each in one
# step and only if it changed, so that a running host sees whole files and no needless upgrades. The version of the
# crate goes into the component's metadata (a custom section `version`), where the host finds its label.
set -euo pipefail
workspace=$1
out=$2
mkdir -p "$out"
trap 'rm -f "$out"/.*.wasm.new' EXIT

began=$(date +%s%N)
(cd "$workspace" && cargo build --release --target wasm32-wasip2)
seconds=$(awk "BEGIN { printf \"%.1f\", ($(date +%s%N) - $began) / 1e9 }")

# A guest is a member whose manifest says cdylib.
names=$(grep -l cdylib "$workspace"/*/Cargo.toml | xargs -n1 dirname | xargs -n1 basename)

printf '%-16s %10s  %s\n' guest bytes state
for name in $names; do
    built="$workspace/target/wasm32-wasip2/release/${name//-/_}.wasm"
    target="$out/$name.wasm"
    new="$out/.$name.wasm.new"
    id=$(cd "$workspace" && cargo pkgid -p "$name")
    version=${id##*[#@]}
    # A section is its id (0), its length, the length of its name, its name, its text; lengths under 128 are one byte.
    length=$(printf %02x $((${#version} + 8)))
    { cat "$built" && printf "\\x00\\x$length\\x07version%s" "$version"; } >"$new"
    if cmp -s "$new" "$target"; then
        rm "$new"
        state=unchanged
    else
        mv "$new" "$target"
        state=updated
    fi
    printf '%-16s %10d  %s\n' "$name" "$(wc -c <"$target")" "$state"
done
echo "built in $seconds s"
