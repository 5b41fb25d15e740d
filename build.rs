//! Builds the one thing that Rust cannot say without `unsafe` (ADR 0009).

fn main() {
    println!("cargo:rerun-if-changed=src/allocator.c");
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    // No other C library has these settings.
    if target("OS") == "linux" && target("ENV") == "gnu" {
        // Nothing calls it, so the linker is told to keep it.
        cc::Build::new().file("src/allocator.c").link_lib_modifier("+whole-archive").compile("allocator");
    }
}
