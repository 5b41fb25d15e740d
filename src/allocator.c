/* How the allocator of glibc keeps memory, set before `main` (ADR 0009).
 *
 * Left to itself, glibc takes the largest block that was ever freed as a measure of how much free memory
 * each of its arenas keeps: twice that. The first pass over a large tree frees a few blocks of some
 * megabytes, and from then on every arena keeps as much. To set either number ends that. */
#include <malloc.h>

/* Blocks of this size and more are given back as soon as they are freed. The lists that a pass makes
 * of 10,000 jobs are smaller. */
enum { MMAP_BYTES = 512 * 1024 };

/* So much free memory at its end an arena keeps. It is what glibc begins with. */
enum { TRIM_BYTES = 128 * 1024 };

__attribute__((constructor)) static void set_up_allocator(void) {
    mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
    mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
}
