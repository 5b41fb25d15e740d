//! ADR 0009: how much freed memory the process keeps does not follow the largest block it ever freed.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

// Linked in with the library, as it is with the binary.
use tintal as _;

/// Where a block of its own begins in its page: after glibc's 16 bytes about it.
const OWN_BLOCK: usize = 0x10;

#[test]
fn a_large_block_that_was_freed_leaves_the_next_one_a_block_of_its_own() {
    // By default, blocks up to the size of the freed one would come from an arena from here on.
    drop(std::hint::black_box(vec![1_u8; 3 << 20]));
    let in_page = |bytes: usize| {
        let block = std::hint::black_box(vec![1_u8; bytes]);
        block.as_ptr().addr() & 0xfff
    };
    assert_eq!([1 << 20, 2 << 20, (3 << 20) - 4096].map(in_page), [OWN_BLOCK; 3]);
}
