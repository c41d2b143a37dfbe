/* malloc from a fixed block that is never given back: the same addresses in every run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rt.h"

#define HEAP_SIZE (512 << 10)
#define ALIGN 16ul

static u8 heap[HEAP_SIZE] __attribute__((aligned(16)));
static u64 used;

/* One header of ALIGN bytes before each block holds its size, for realloc. */
void *malloc(size_t size)
{
	u64 need;

	if (size > HEAP_SIZE || (need = ((size + ALIGN - 1) & -ALIGN) + ALIGN) > HEAP_SIZE - used) {
		errno = ENOMEM;
		return 0;
	}
	u64 *block = (u64 *)(heap + used);
	used += need;
	*block = size;
	return (u8 *)block + ALIGN;
}

void free(void *block)
{
	(void)block;
}

void *calloc(size_t count, size_t size)
{
	if (size && count > HEAP_SIZE / size) {
		errno = ENOMEM;
		return 0;
	}
	return malloc(count * size); /* .bss, handed out once: already zero */
}

void *realloc(void *block, size_t size)
{
	u64 old = block ? *(u64 *)((u8 *)block - ALIGN) : 0;
	void *fresh = malloc(size);

	if (fresh && block)
		memcpy(fresh, block, old < size ? old : size);
	return fresh;
}
