/* A loop over fixed pieces of work. The pieces, never the threads, decide every result. */
#ifndef DITHER_BASE_PARALLEL_H
#define DITHER_BASE_PARALLEL_H

#include <stddef.h>

/** How many threads this process may run at once (its CPU affinity). */
int dither_cores(void);

/**
 * body(context, index, thread) once for each index in 0..count-1, on up to `threads` threads; returns when all are
 * done.
 *
 * What was written before the call is visible to every body, and what bodies wrote is visible after the return.
 * Bodies of one call may run at the same time and in any order. Of callers at the same time one has the threads; the
 * others run their loops themselves, in place, as thread 0, and so does a loop inside a body that has threads beside
 * it. A body must not fork. The threads live until the process ends and take no signals.
 *
 * @param thread  which of the `threads` runs it, for scratch memory only; 0 <= thread < threads
 */
void dither_parallel_for(int threads, size_t count, void (*body)(void *context, size_t index, int thread),
                         void *context);

#endif
