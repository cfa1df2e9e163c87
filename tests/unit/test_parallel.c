/* dither_parallel_for: every piece exactly once, whatever the number of threads. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/parallel.h"

enum { PIECES = 1000, MOST_THREADS = 7 };

typedef struct tally {
    int threads;
    unsigned char seen[PIECES];
    size_t by_thread[MOST_THREADS][64]; /* each thread its own cache lines: scratch that needs no lock */
    unsigned char wrong_thread[PIECES];
} tally;

static void count_piece(void *context, size_t index, int thread)
{
    tally *t = context;
    t->seen[index]++;
    t->wrong_thread[index] = thread < 0 || thread >= t->threads;
    if (!t->wrong_thread[index])
        t->by_thread[thread][0]++;
}

static void test_each_piece_once(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 3, 17, PIECES};
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        for (size_t n = 0; n < sizeof counts / sizeof counts[0]; n++) {
            tally t = {.threads = threads};
            dither_parallel_for(threads, counts[n], count_piece, &t);
            size_t sum = 0;
            for (int k = 0; k < MOST_THREADS; k++)
                sum += t.by_thread[k][0];
            assert_int_equal(sum, counts[n]);
            for (size_t i = 0; i < PIECES; i++) {
                assert_int_equal(t.seen[i], i < counts[n]);
                assert_int_equal(t.wrong_thread[i], 0);
            }
        }
    }
}

typedef struct nest {
    int outer_threads;
    size_t sums[16];
} nest;

static void add_serially(void *context, size_t index, int thread)
{
    size_t *sum = context;
    /* No lock: right only if an inner loop runs on the one thread that called it, in order. */
    if (thread == 0)
        *sum = *sum * 3 + index;
}

static void run_inner(void *context, size_t index, int thread)
{
    nest *n = context;
    (void)thread;
    dither_parallel_for(4, 20, add_serially, &n->sums[index]);
}

static void test_inner_loops_are_serial(void **state)
{
    (void)state;
    size_t expected = 0;
    for (size_t i = 0; i < 20; i++)
        expected = expected * 3 + i;
    nest n = {.outer_threads = 3};
    dither_parallel_for(n.outer_threads, 16, run_inner, &n);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(n.sums[i], expected);
}

/* Every piece of many short loops, one after another. */
static int loops_are_right(void)
{
    for (int n = 0; n < 200; n++) {
        tally t = {.threads = 3};
        dither_parallel_for(3, 40, count_piece, &t);
        for (size_t i = 0; i < 40; i++)
            if (t.seen[i] != 1 || t.wrong_thread[i])
                return 0;
    }
    return 1;
}

static void *loop_in_a_thread(void *right)
{
    *(int *)right = loops_are_right();
    return NULL;
}

static void test_callers_at_once(void **state)
{
    (void)state;
    pthread_t callers[3];
    int right[3] = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, loop_in_a_thread, &right[i]), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(callers[i], NULL), 0);
        assert_int_equal(right[i], 1);
    }
}

typedef struct masks {
    atomic_int come;
    sigset_t blocked[2];
} masks;

/* Each thread waits for the other, so that both take part. */
static void read_mask(void *context, size_t index, int thread)
{
    (void)index;
    masks *m = context;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &m->blocked[thread]);
    atomic_fetch_add(&m->come, 1);
    for (int waits = 0; waits < 20000 && atomic_load(&m->come) < 2; waits++)
        (void)usleep(1000);
}

/* A handler of SIGINT must run in a thread of the program's own. */
static void test_workers_take_no_signals(void **state)
{
    (void)state;
    masks m = {0};
    dither_parallel_for(2, 2, read_mask, &m);
    assert_int_equal(atomic_load(&m.come), 2);
    static const int signals[] = {SIGINT, SIGTERM, SIGALRM, SIGCHLD};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        assert_int_equal(sigismember(&m.blocked[0], signals[i]), 0);
        assert_int_equal(sigismember(&m.blocked[1], signals[i]), 1);
    }
    assert_int_equal(sigismember(&m.blocked[1], SIGSEGV), 0);
}

/* A child process has none of its parent's threads, and must not wait for them. */
static void test_after_fork(void **state)
{
    (void)state;
    assert_true(loops_are_right());
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(20);
        _exit(loops_are_right() ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(loops_are_right());
}

static void test_cores(void **state)
{
    (void)state;
    assert_true(dither_cores() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_piece_once),
        cmocka_unit_test(test_inner_loops_are_serial),
        cmocka_unit_test(test_callers_at_once),
        cmocka_unit_test(test_workers_take_no_signals),
        cmocka_unit_test(test_after_fork),
        cmocka_unit_test(test_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
