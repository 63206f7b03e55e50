/* The malloc and mmap of a test program, counting what goes through them.
 *
 * The linker takes the executable's functions for everybody's, the library's included. The tests'
 * own sources are compiled with malloc, calloc and free renamed to own_*, which are not counted: what
 * is left is the library, and the little that the C library takes for itself. glibc only. */
#define _GNU_SOURCE
#include "counter.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

void *own_malloc(size_t size) { return __libc_malloc(size); }
void *own_calloc(size_t count, size_t size) { return __libc_calloc(count, size); }
void own_free(void *block) { __libc_free(block); }

static atomic_llong counted;

int64_t counted_bytes(void) { return atomic_load(&counted); }

/* What the block really takes, which is at least what was asked for. */
static long long size_of(void *block) { return (long long)malloc_usable_size(block); }

static void *note(void *block) {
  if (block != NULL) atomic_fetch_add(&counted, size_of(block));
  return block;
}

void *malloc(size_t size) { return note(__libc_malloc(size)); }
void *calloc(size_t count, size_t size) { return note(__libc_calloc(count, size)); }
void *memalign(size_t alignment, size_t size) { return note(__libc_memalign(alignment, size)); }
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **out, size_t alignment, size_t size) {
  if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) {
    return EINVAL;
  }
  void *block = memalign(alignment, size);
  if (block == NULL) return ENOMEM;
  *out = block;
  return 0;
}

void *realloc(void *block, size_t size) {
  long long before = block != NULL ? size_of(block) : 0;
  void *grown = __libc_realloc(block, size);
  if (grown != NULL) note(grown);
  if (grown != NULL || size == 0) atomic_fetch_sub(&counted, before);
  return grown;
}

void free(void *block) {
  if (block == NULL) return;
  long long before = size_of(block);
  __libc_free(block);
  atomic_fetch_sub(&counted, before);
}

static long long pages(size_t length) { return (long long)((length + 4095) / 4096 * 4096); }

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
  long start = syscall(SYS_mmap, address, length, protection, flags, file, offset);
  if (start == -1) return MAP_FAILED;
  if ((flags & MAP_ANONYMOUS) != 0) atomic_fetch_add(&counted, pages(length));
  return (void *)(uintptr_t)start;
}

void *mmap64(void *address, size_t length, int protection, int flags, int file, off_t offset) {
  return mmap(address, length, protection, flags, file, offset);
}

/* Only anonymous memory is mapped here: nothing of this library maps a file. */
int munmap(void *address, size_t length) {
  int outcome = (int)syscall(SYS_munmap, address, length);
  if (outcome == 0) atomic_fetch_sub(&counted, pages(length));
  return outcome;
}
