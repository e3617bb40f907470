/*
 * guarded_memory.h: included before all else in a build for AddressSanitizer
 * or valgrind, so that they can see the ends of what our files allocate.
 *
 * A memory context hands out pieces of large blocks, between which neither
 * tool sees a border. A piece of more than 8 kB, however, is a block of malloc
 * by itself. So every allocation is made that large, and what was not asked
 * for is put out of bounds. (What the server's own functions allocate for us
 * stays as it is.)
 */
#ifndef GUARDED_MEMORY_H
#define GUARDED_MEMORY_H

#include "postgres.h"

#include "utils/memutils.h"
#include "utils/palloc.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define FORBID(start, size)	ASAN_POISON_MEMORY_REGION(start, size)
#else
#include <valgrind/memcheck.h>
#define FORBID(start, size)	VALGRIND_MAKE_MEM_NOACCESS(start, size)
#endif

#define LARGE ((Size) 8192)
#define GUARD ((Size) 64)

static inline void *
guarded_alloc(MemoryContext context, Size size, int flags)
{
	Size		whole = Max(MAXALIGN(size), LARGE) + GUARD;
	char	   *p;

	if (!(flags & MCXT_ALLOC_HUGE) && size > MaxAllocSize)
		elog(ERROR, "invalid memory alloc request size %zu", size);
	p = MemoryContextAllocExtended(context, whole, flags | MCXT_ALLOC_HUGE);
	if (p)
		FORBID(p + size, whole - size);
	return p;
}

/* How much of it was asked for before is not known, so valgrind takes all of it for initialised. */
static inline void *
guarded_realloc(void *pointer, Size size, bool huge)
{
	Size		whole = Max(MAXALIGN(size), LARGE) + GUARD;
	char	   *p;

	if (!huge && size > MaxAllocSize)
		elog(ERROR, "invalid memory alloc request size %zu", size);
	p = repalloc_huge(pointer, whole);
#ifndef __SANITIZE_ADDRESS__
	(void) VALGRIND_MAKE_MEM_DEFINED(p, size);
#endif
	FORBID(p + size, whole - size);
	return p;
}

static inline char *
guarded_copy(const char *s, Size length)
{
	char	   *copy = guarded_alloc(CurrentMemoryContext, strnlen(s, length) + 1, 0);

	length = strnlen(s, length);
	memcpy(copy, s, length);
	copy[length] = '\0';
	return copy;
}

#undef palloc
#undef palloc0
#define palloc(size) guarded_alloc(CurrentMemoryContext, size, 0)
#define palloc0(size) guarded_alloc(CurrentMemoryContext, size, MCXT_ALLOC_ZERO)
#define palloc_extended(size, flags) guarded_alloc(CurrentMemoryContext, size, flags)
#define MemoryContextAlloc(context, size) guarded_alloc(context, size, 0)
#define MemoryContextAllocZero(context, size) guarded_alloc(context, size, MCXT_ALLOC_ZERO)
#define MemoryContextAllocHuge(context, size) guarded_alloc(context, size, MCXT_ALLOC_HUGE)
#define MemoryContextAllocExtended(context, size, flags) guarded_alloc(context, size, flags)
#define repalloc(pointer, size) guarded_realloc(pointer, size, false)
#define repalloc_huge(pointer, size) guarded_realloc(pointer, size, true)
#define pnstrdup(s, length) guarded_copy(s, length)

#endif							/* GUARDED_MEMORY_H */
