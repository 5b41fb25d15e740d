# All of CI.
check:
    ./.ci/run

# Every test, with the real programs and servers.
test:
    ./scripts/test

# Formatting, and what clippy can mend.
fix:
    cargo fmt && cargo clippy --fix --allow-dirty --all-targets

# Rewrites every generated file: schemas, documents, snapshots.
schemas:
    UPDATE_EXPECT=1 cargo test

# The benchmarks; figures go to docs/performance.md.
bench *args:
    ./benches/run {{args}}
