/* AdamW and SGD against the formulas of optimizer.h in double, several steps, any number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "optim/optimizer.h"

enum { N = 40001, STEPS = 5 };

/* Numbers in (-1, 1), the same every time. */
static float number(size_t i, unsigned salt)
{
    const uint32_t mixed = ((uint32_t)i * 2654435761u) ^ (salt * 0x9E3779B9u);
    return (float)(int32_t)(mixed * 2246822519u) / 2147483648.0f;
}

static void fill(float *x, unsigned salt, float scale)
{
    for (size_t i = 0; i < N; i++)
        x[i] = scale * number(i, salt);
}

/* A step's update is below 2 lr, and each of its few f32 operations rounds by 2^-24 of w or of the update. */
static void assert_near(float got, double want)
{
    assert_true(fabs((double)got - want) <= 1e-6 * (1 + fabs(want)));
}

static void adamw_follows_its_formula(void **state)
{
    (void)state;
    float *w = calloc(N, sizeof *w), *m = calloc(N, sizeof *m), *v = calloc(N, sizeof *v), *g = calloc(N, sizeof *g);
    double *u = calloc(N, sizeof *u), *p = calloc(N, sizeof *p), *q = calloc(N, sizeof *q);
    fill(w, 1, 1);
    for (size_t i = 0; i < N; i++)
        u[i] = (double)w[i];
    const double lr = 1e-2, b1 = 0.9, b2 = 0.99, eps = 1e-8, decay = 0.1;
    const float scale = 0.5f;
    for (uint64_t t = 1; t <= STEPS; t++) {
        fill(g, (unsigned)t + 10, 3);
        const dither_adamw options = {lr, b1, b2, eps, decay, t};
        dither_adamw_update(&options, N, w, m, v, g, scale, 2);
        for (size_t i = 0; i < N; i++) {
            const double gradient = (double)scale * (double)g[i];
            p[i] = b1 * p[i] + (1 - b1) * gradient;
            q[i] = b2 * q[i] + (1 - b2) * gradient * gradient;
            const double mean = p[i] / (1 - pow(b1, (double)t)), square = q[i] / (1 - pow(b2, (double)t));
            u[i] -= lr * (decay * u[i] + mean / (sqrt(square) + eps));
        }
    }
    for (size_t i = 0; i < N; i++) {
        assert_near(w[i], u[i]);
        assert_near(m[i], p[i]);
        assert_near(v[i], q[i]);
    }
    free(w), free(m), free(v), free(g), free(u), free(p), free(q);
}

static void sgd_follows_its_formula(void **state)
{
    (void)state;
    float *w = calloc(N, sizeof *w), *m = calloc(N, sizeof *m), *plain = calloc(N, sizeof *plain),
          *g = calloc(N, sizeof *g);
    double *u = calloc(N, sizeof *u), *p = calloc(N, sizeof *p), *u_plain = calloc(N, sizeof *u_plain);
    fill(w, 2, 1);
    fill(plain, 2, 1);
    for (size_t i = 0; i < N; i++)
        u[i] = u_plain[i] = (double)w[i];
    const double lr = 1e-2, momentum = 0.9, decay = 0.1;
    for (unsigned t = 1; t <= STEPS; t++) {
        fill(g, t + 20, 1);
        const dither_sgd with = {lr, momentum, decay}, without = {lr, 0, decay};
        dither_sgd_update(&with, N, w, m, g, 0.5f, 2);
        dither_sgd_update(&without, N, plain, NULL, g, 0.5f, 2);
        for (size_t i = 0; i < N; i++) {
            p[i] = momentum * p[i] + 0.5 * (double)g[i] + decay * u[i];
            u[i] -= lr * p[i];
            u_plain[i] -= lr * (0.5 * (double)g[i] + decay * u_plain[i]);
        }
    }
    for (size_t i = 0; i < N; i++) {
        assert_near(w[i], u[i]);
        assert_near(m[i], p[i]);
        assert_near(plain[i], u_plain[i]);
    }
    free(w), free(m), free(plain), free(g), free(u), free(p), free(u_plain);
}

static void threads_do_not_show(void **state)
{
    (void)state;
    float *first = calloc(3 * N, sizeof *first), *other = calloc(3 * N, sizeof *other), *g = calloc(N, sizeof *g);
    fill(g, 30, 1);
    const dither_adamw options = {1e-3, 0.9, 0.95, 1e-8, 0.1, 1};
    dither_adamw_update(&options, N, first, first + N, first + 2 * (size_t)N, g, 1, 1);
    for (int threads = 2; threads <= 7; threads += 5) {
        memset(other, 0, 3 * N * sizeof *other);
        dither_adamw_update(&options, N, other, other + N, other + 2 * (size_t)N, g, 1, threads);
        assert_memory_equal(first, other, 3 * N * sizeof *first);
    }
    free(first), free(other), free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_follows_its_formula),
        cmocka_unit_test(sgd_follows_its_formula),
        cmocka_unit_test(threads_do_not_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
