/*
 * A pool of threads that live as long as the process. They wait for work a few microseconds in a loop and then asleep:
 * between the short loops of a training step nobody pays for waking them, and where other programs want the processor
 * nobody burns it waiting, which is what the OpenMP runtimes do by default.
 */
#include "base/parallel.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

enum {
    WORKERS_MAX = 1023,
    SPIN_NS = 20000,    /* how long to wait awake: about what waking a sleeper costs */
    PAUSES_A_LOOK = 32, /* at the clock: a pause takes from 1 to 70 ns, by the processor */
    CPUS_MAX = 16384,   /* more than Linux can be built for */
    CACHE_LINE = 64
};

typedef struct loop_job {
    void (*body)(void *context, size_t index, int thread);
    void *context;
    int threads;
} loop_job;

/* A thread's share of a loop: the indices from `next` on that nobody has taken. A line each. */
typedef struct share {
    _Alignas(CACHE_LINE) atomic_size_t next;
    size_t end;
} share;

/* One pool a process: the only mutable state of the library, and invisible in every result. */
static struct {
    pthread_mutex_t caller; /* held by the thread whose loop the pool runs; guards `workers` */
    pthread_mutex_t lock;   /* guards `sleeping`, `open`, `job`, and every write of `ticket` and `joined` */
    pthread_cond_t wake, idle;
    int workers, sleeping;
    bool open; /* the job may still be joined */
    loop_job job;
    /* A line each: those who wait look at one while those who work write another. */
    _Alignas(CACHE_LINE) atomic_uint ticket; /* number of the job */
    _Alignas(CACHE_LINE) atomic_uint joined; /* workers in it */
    share shares[WORKERS_MAX + 1];
} pool = {.caller = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .idle = PTHREAD_COND_INITIALIZER};

static _Thread_local bool inside; /* a loop inside a loop runs in place */

int dither_cores(void)
{
    /* Linux refuses a set smaller than its own, and cpu_set_t has room for 1024 processors only. */
    cpu_set_t set[CPUS_MAX / CPU_SETSIZE];
    if (sched_getaffinity(0, sizeof set, set) == 0)
        return CPU_COUNT_S(sizeof set, set);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A wait awake that has gone on for so many pauses. */
typedef struct spin {
    unsigned pauses;
    int64_t begin; /* at the first look at the clock */
} spin;

/* One pause more, or false: it is time to sleep. */
static bool spin_on(spin *wait)
{
    relax();
    if (++wait->pauses % PAUSES_A_LOOK != 0)
        return true;
    const int64_t now = now_ns();
    if (wait->begin == 0)
        wait->begin = now;
    return now - wait->begin < SPIN_NS;
}

/*
 * A thread's own share first, then what others have left of theirs. Loop after loop the same thread has the same part
 * of the rows, which then lie in its own cache: cores that share none get at each other's lines slowly.
 */
static void run_indices(const loop_job *job, int thread)
{
    inside = true;
    for (int turn = 0; turn < job->threads; turn++) {
        share *from = &pool.shares[(thread + turn) % job->threads];
        for (size_t i; atomic_load_explicit(&from->next, memory_order_relaxed) < from->end &&
                       (i = atomic_fetch_add(&from->next, 1)) < from->end;)
            job->body(job->context, i, thread);
    }
    inside = false;
}

/* Even parts of 0 .. count-1, in order. */
static void share_out(size_t count, int threads)
{
    const size_t n = (size_t)threads;
    size_t begin = 0;
    for (size_t t = 0; t < n; t++) {
        const size_t size = count / n + (t < count % n);
        atomic_store_explicit(&pool.shares[t].next, begin, memory_order_relaxed);
        begin += size;
        pool.shares[t].end = begin;
    }
}

static void *worker(void *number)
{
    const int thread = (int)(intptr_t)number;
    unsigned seen = 0;
    for (;;) {
        for (spin wait = {0}; atomic_load(&pool.ticket) == seen && spin_on(&wait);)
            continue;
        (void)pthread_mutex_lock(&pool.lock);
        pool.sleeping++;
        while (atomic_load(&pool.ticket) == seen)
            (void)pthread_cond_wait(&pool.wake, &pool.lock);
        pool.sleeping--;
        seen = atomic_load(&pool.ticket);
        const bool join = pool.open && thread < pool.job.threads;
        const loop_job job = pool.job;
        if (join)
            atomic_fetch_add(&pool.joined, 1);
        (void)pthread_mutex_unlock(&pool.lock);
        if (!join)
            continue;
        run_indices(&job, thread);
        (void)pthread_mutex_lock(&pool.lock);
        if (atomic_fetch_sub(&pool.joined, 1) == 1)
            (void)pthread_cond_signal(&pool.idle);
        (void)pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

/* A forked child has the pool's memory but none of its threads, which may have held a lock. */
static void forget_threads(void)
{
    pool.caller = pool.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    pool.wake = pool.idle = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pool.workers = pool.sleeping = 0;
    pool.open = false;
    atomic_store(&pool.joined, 0);
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, forget_threads);
}

/* Signals for the process belong to the caller's threads; only what a thread's own fault raises reaches a worker. */
static void block_signals(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t blocked;
    (void)sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        (void)sigdelset(&blocked, faults[i]);
    (void)pthread_sigmask(SIG_SETMASK, &blocked, before);
}

/* At least `wanted` workers, where the system gives them. */
static void grow(int wanted)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (pool.workers >= wanted)
        return;
    (void)pthread_once(&once, watch_forks);
    sigset_t before;
    block_signals(&before); /* a new thread takes its maker's mask */
    for (; pool.workers < wanted; pool.workers++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, (void *)(intptr_t)(pool.workers + 1)))
            break; /* fewer threads, same results */
        (void)pthread_detach(thread);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void wait_for_workers(void)
{
    for (spin wait = {0}; atomic_load(&pool.joined) && spin_on(&wait);)
        continue;
    (void)pthread_mutex_lock(&pool.lock);
    pool.open = false;
    while (atomic_load(&pool.joined))
        (void)pthread_cond_wait(&pool.idle, &pool.lock);
    (void)pthread_mutex_unlock(&pool.lock);
}

void dither_parallel_for(int threads, size_t count, void (*body)(void *context, size_t index, int thread),
                         void *context)
{
    assert(threads >= 1);
    /* Somebody else's loop has the pool: do the work here. */
    if (threads == 1 || count <= 1 || inside || pthread_mutex_trylock(&pool.caller)) {
        for (size_t index = 0; index < count; index++)
            body(context, index, 0);
        return;
    }
    const int wanted = threads - 1 < WORKERS_MAX ? threads : WORKERS_MAX + 1;
    const int sharing = (size_t)wanted < count ? wanted : (int)count;
    grow(sharing - 1);
    (void)pthread_mutex_lock(&pool.lock);
    pool.job = (loop_job){.body = body, .context = context, .threads = sharing};
    pool.open = true;
    share_out(count, sharing);
    atomic_fetch_add(&pool.ticket, 1);
    if (pool.sleeping)
        (void)pthread_cond_broadcast(&pool.wake);
    (void)pthread_mutex_unlock(&pool.lock);
    const loop_job job = pool.job;
    run_indices(&job, 0);
    wait_for_workers();
    (void)pthread_mutex_unlock(&pool.caller);
}
