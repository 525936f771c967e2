# Recipes of Wharf. `./justw RECIPE` installs what is missing first.

set shell := ["bash", "-euo", "pipefail", "-c"]

# Lists the recipes.
default:
    @just --list

# Builds the host.
build:
    cargo build --release -p wharf

# Builds the example services into plugins/.
build-plugins:
    @bash scripts/build-guests.sh plugins plugins

# Builds the fixtures of the end-to-end tests into target/guests/.
build-test-guests:
    @bash scripts/build-guests.sh tests/guests target/guests

# Builds everything and serves the example services on http://127.0.0.1:8080.
run *ARGS: build-plugins
    cargo run --release -p wharf -- serve {{ ARGS }}

# A day in the shop: orders in two ways, failures on purpose, and the books afterwards. `just demo --help`.
demo *ARGS: build build-plugins
    cargo run --release -p wharf-demo -- {{ ARGS }}

# Lints, then runs all tests.
test: lint build-plugins build-test-guests
    bash scripts/fuzz.sh 15
    cd plugins && cargo test -q --workspace
    cargo test -q --doc --workspace
    # The same set of features as the tests, so that dependencies are built once.
    cargo build --workspace --all-targets
    cargo nextest run --workspace --no-fail-fast

# Fuzzes what reads strangers' input, each target for so many seconds.
fuzz SECONDS="60" *TARGETS:
    bash scripts/fuzz.sh {{ SECONDS }} {{ TARGETS }}

# Formatting, clippy and documentation, for the host and the guests.
lint:
    cargo fmt --all --check
    cd plugins && cargo fmt --all --check
    cd tests/guests && cargo fmt --all --check
    cd plugins && cargo clippy -q --target wasm32-wasip2 -- -D warnings
    cd plugins && cargo clippy -q --workspace --all-targets -- -D warnings
    cd tests/guests && cargo clippy -q --target wasm32-wasip2 -- -D warnings
    cargo clippy -q --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc -q --workspace --no-deps
    @if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo-deny is not installed: licences and advisories are not checked"; fi

# Formats all sources.
fmt:
    cargo fmt --all
    cd plugins && cargo fmt --all
    cd tests/guests && cargo fmt --all

# Builds the documentation of the library.
doc:
    cargo doc --workspace --no-deps

# Measures Wharf beside its peers; results go to bench/results/.
bench *ARGS: build-plugins
    bash bench/run.sh {{ ARGS }}

# Removes everything that was built, and the state of local runs.
clean:
    cargo clean
    rm -rf plugins/target tests/guests/target plugins/*.wasm .wharf .tools
