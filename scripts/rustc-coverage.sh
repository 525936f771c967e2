#!/usr/bin/env bash
# rustc-coverage.sh RUSTC ARGS…: compiles one crate of this workspace with the coverage instrumentation that libFuzzer
# reads. Set as RUSTC_WORKSPACE_WRAPPER, so that dependencies stay as they are and are not built again.
set -euo pipefail
case " $* " in
    *" --crate-name build_script_"* | *" --crate-type proc-macro "* | *" - "* | *" -vV "*) exec "$@" ;;
esac
exec "$@" --cfg fuzzing -Copt-level=1 \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
