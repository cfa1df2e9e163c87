/*
 * The loops of rows.h, included once for each instruction set by a file that names the table: DITHER_ROWS_NAME,
 * DITHER_ROWS_ISA and DITHER_ROWS_NEEDS. Static functions, so that each file has its own.
 *
 * Written for the vectorizers of gcc and clang: blocks of DITHER_LANES elements with a sum in each lane, no branch in a
 * loop, flags that are constants where a function is inlined.
 */
#ifndef DITHER_KERNEL_ROWS_BODY_H
#define DITHER_KERNEL_ROWS_BODY_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "dither/cpu.h"
#include "kernel/expf.h"
#include "kernel/lanes.h"
#include "kernel/rows.h"

#ifndef DITHER_ROWS_NAME /* this header alone: the portable table under a name of its own */
#define DITHER_ROWS_NAME  dither_rows_body
#define DITHER_ROWS_ISA   "body"
#define DITHER_ROWS_NEEDS 0
extern const dither_rows DITHER_ROWS_NAME;
#endif

/* Iterations do not depend on one another, also where two pointers are the same. */
#ifdef _OPENMP
#define SIMD _Pragma("omp simd")
#else
#define SIMD
#endif

/* Into callers that pass constant flags: a flag must not be looked at in a loop. */
#define INTO_CALLER static inline __attribute__((always_inline))

enum { LANES = DITHER_LANES };

/* ---- bf16 ---------------------------------------------------------------------------------------------------- */

static inline uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint16_t bf16_of(float x)
{
    const uint32_t inf = 0x7f800000u, quiet = 0x0040u, largest = 0x7f7fu;
    const uint32_t bits = bits_of(x), magnitude = bits & 0x7fffffffu;
    const uint32_t nearest = (magnitude + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t finite = nearest < largest ? nearest : largest;
    const uint32_t special = magnitude >> 16 | (magnitude > inf ? quiet : 0u);
    return (uint16_t)((magnitude < inf ? finite : special) | (bits >> 16 & 0x8000u));
}

static inline float bf16_value(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

/* x[i] of f32 values or of bf16 bits. */
INTO_CALLER float value_at(const void *x, bool bf16, size_t i)
{
    return bf16 ? bf16_value(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

/* What rounds to a finite value needs neither of bf16_of's exceptions: the sign may take part in the addition. */
static inline uint16_t bf16_of_ordinary(float x)
{
    const uint32_t bits = bits_of(x);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static void to_bf16(size_t n, const float *restrict x, uint16_t *restrict y)
{
    const uint32_t ordinary = 0x7f7f7fffu; /* rounds to the largest finite value */
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t magnitude = bits_of(x[i]) & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
        y[i] = bf16_of_ordinary(x[i]);
    }
    for (size_t i = 0; largest > ordinary && i < n; i++)
        y[i] = bf16_of(x[i]);
}

static void from_bf16(size_t n, const uint16_t *restrict x, float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = bf16_value(x[i]);
}

/* ---- plain vectors ------------------------------------------------------------------------------------------- */

static void add(size_t n, float *restrict x, const float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

static void scale(size_t n, float factor, float *restrict x)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

/* As bits, magnitudes are ordered as integers are. */
static float absmax(size_t n, const float *restrict x)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t magnitude = bits_of(x[i]) & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
    }
    return float_of(largest);
}

static double square_sum(size_t n, const float *restrict x)
{
    double lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] += (double)x[i + l] * (double)x[i + l];
    for (size_t l = 0; i + l < n; l++)
        lanes[l] += (double)x[i + l] * (double)x[i + l];
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++)
            lanes[l] += lanes[l + half];
    return lanes[0];
}

static void columns(size_t rows, size_t cols, size_t stride, const float *restrict x, double *restrict sum)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            sum[j] += (double)x[i * stride + j];
}

/* ---- RMSNorm ------------------------------------------------------------------------------------------------- */

static inline float inverse_of(size_t dim, float eps, float squares)
{
    return 1.0f / sqrtf(squares / (float)dim + eps);
}

static void norm(size_t dim, float eps, const float *x, const float *w, float *y)
{
    const float inverse = inverse_of(dim, eps, dither_lanes_dot(dim, x, x));
    SIMD for (size_t i = 0; i < dim; i++)
        y[i] = x[i] * inverse * w[i];
}

/* squares += x^2, products += dy w x */
INTO_CALLER void products_block(size_t count, const void *x, bool bf16, size_t first, const float *w, const float *dy,
                                  float *squares, float *products)
{
    SIMD for (size_t l = 0; l < count; l++) {
        const float value = value_at(x, bf16, first + l);
        squares[l] += value * value;
        products[l] += dy[first + l] * w[first + l] * value;
    }
}

/*
 *     n = x / rms,  g = dy w
 *     dx += (g - n mean(g n)) / rms,  dw += dy n
 */
INTO_CALLER void norm_back_any(size_t dim, float eps, const void *x, bool bf16, const float *restrict w,
                                 const float *restrict dy, float *restrict dx, float *restrict dw)
{
    float squares[LANES] = {0}, products[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= dim; i += LANES)
        products_block(LANES, x, bf16, i, w, dy, squares, products);
    products_block(dim - i, x, bf16, i, w, dy, squares, products);
    const float inverse = inverse_of(dim, eps, dither_lanes_sum(squares));
    const float mean = dither_lanes_sum(products) * inverse / (float)dim;
    SIMD for (i = 0; i < dim; i++) {
        const float n = value_at(x, bf16, i) * inverse;
        dx[i] += (dy[i] * w[i] - n * mean) * inverse;
        dw[i] += dy[i] * n;
    }
}

static void norm_back(size_t dim, float eps, const float *x, const float *w, const float *dy, float *dx, float *dw)
{
    norm_back_any(dim, eps, x, false, w, dy, dx, dw);
}

static void norm_back_bf16(size_t dim, float eps, const uint16_t *x, const float *w, const float *dy, float *dx,
                           float *dw)
{
    norm_back_any(dim, eps, x, true, w, dy, dx, dw);
}

/* ---- LayerNorm ----------------------------------------------------------------------------------------------- */

INTO_CALLER void total_block(size_t count, const void *x, bool bf16, size_t first, float *lanes)
{
    SIMD for (size_t l = 0; l < count; l++)
        lanes[l] += value_at(x, bf16, first + l);
}

INTO_CALLER float mean_of(size_t dim, const void *x, bool bf16)
{
    float lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= dim; i += LANES)
        total_block(LANES, x, bf16, i, lanes);
    total_block(dim - i, x, bf16, i, lanes);
    return dither_lanes_sum(lanes) / (float)dim;
}

INTO_CALLER void spread_block(size_t count, const float *x, float mean, float *squares)
{
    SIMD for (size_t l = 0; l < count; l++)
        squares[l] += (x[l] - mean) * (x[l] - mean);
}

static void layer_norm(size_t dim, float eps, const float *x, const float *w, const float *b, float *y)
{
    const float mean = mean_of(dim, x, false);
    float squares[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= dim; i += LANES)
        spread_block(LANES, x + i, mean, squares);
    spread_block(dim - i, x + i, mean, squares);
    const float inverse = inverse_of(dim, eps, dither_lanes_sum(squares));
    SIMD for (i = 0; i < dim; i++)
        y[i] = (x[i] - mean) * inverse * w[i] + b[i];
}

/* c = x - mean, g = dy w: squares += c^2, products += g c, sums += g */
INTO_CALLER void centred_block(size_t count, const void *x, bool bf16, size_t first, float mean, const float *w,
                               const float *dy, float *squares, float *products, float *sums)
{
    SIMD for (size_t l = 0; l < count; l++) {
        const float c = value_at(x, bf16, first + l) - mean, g = dy[first + l] * w[first + l];
        squares[l] += c * c;
        products[l] += g * c;
        sums[l] += g;
    }
}

/*
 *     n = (x - mean) / deviation,  g = dy w
 *     dx += (g - mean(g) - n mean(g n)) / deviation,  dw += dy n,  db += dy
 */
INTO_CALLER void layer_norm_back_any(size_t dim, float eps, const void *x, bool bf16, const float *restrict w,
                                     const float *restrict dy, float *restrict dx, float *restrict dw,
                                     float *restrict db)
{
    const float mean = mean_of(dim, x, bf16);
    float squares[LANES] = {0}, products[LANES] = {0}, sums[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= dim; i += LANES)
        centred_block(LANES, x, bf16, i, mean, w, dy, squares, products, sums);
    centred_block(dim - i, x, bf16, i, mean, w, dy, squares, products, sums);
    const float inverse = inverse_of(dim, eps, dither_lanes_sum(squares));
    const float along = dither_lanes_sum(products) * inverse / (float)dim, level = dither_lanes_sum(sums) / (float)dim;
    SIMD for (i = 0; i < dim; i++) {
        const float n = (value_at(x, bf16, i) - mean) * inverse;
        dx[i] += (dy[i] * w[i] - level - n * along) * inverse;
        dw[i] += n * dy[i];
        db[i] += dy[i];
    }
}

static void layer_norm_back(size_t dim, float eps, const float *x, const float *w, const float *dy, float *dx,
                            float *dw, float *db)
{
    layer_norm_back_any(dim, eps, x, false, w, dy, dx, dw, db);
}

static void layer_norm_back_bf16(size_t dim, float eps, const uint16_t *x, const float *w, const float *dy, float *dx,
                                 float *dw, float *db)
{
    layer_norm_back_any(dim, eps, x, true, w, dy, dx, dw, db);
}

/* ---- SwiGLU -------------------------------------------------------------------------------------------------- */

static void swiglu(size_t ffn, const float *restrict gu, float *restrict a)
{
    for (size_t i = 0; i < ffn; i++)
        a[i] = gu[i] / (1.0f + dither_expf(-gu[i])) * gu[ffn + i];
}

/* silu'(g) = s (1 + g (1 - s)), s = 1 / (1 + exp(-g)) */
INTO_CALLER void swiglu_back_any(size_t ffn, const void *restrict gu, bool bf16, const float *restrict da,
                                 float *restrict dgu)
{
    for (size_t i = 0; i < ffn; i++) {
        const float g = value_at(gu, bf16, i), u = value_at(gu, bf16, ffn + i);
        const float s = 1.0f / (1.0f + dither_expf(-g));
        dgu[i] = da[i] * u * (s * (1.0f + g * (1.0f - s)));
        dgu[ffn + i] = da[i] * (g * s);
    }
}

static void swiglu_back(size_t ffn, const float *gu, const float *da, float *dgu)
{
    swiglu_back_any(ffn, gu, false, da, dgu);
}

static void swiglu_back_bf16(size_t ffn, const uint16_t *gu, const float *da, float *dgu)
{
    swiglu_back_any(ffn, gu, true, da, dgu);
}

/* ---- gelu ---------------------------------------------------------------------------------------------------- */

static const float gelu_rate = 1.5957691216057308f; /* 2 sqrt(2/pi) */
static const float gelu_cube = 0.044715f;

/* Beyond, 1 / (1 + exp(-2 z)) is 0 or 1 long since, and a square of g would overflow. */
INTO_CALLER float gelu_inside(float g)
{
    const float edge = 64.0f, low = g < -edge ? -edge : g;
    return low > edge ? edge : low;
}

/* 1 / (1 + exp(-2 z)) */
INTO_CALLER float gelu_share(float g)
{
    const float t = gelu_inside(g);
    return 1.0f / (1.0f + dither_expf(-gelu_rate * (t + gelu_cube * t * t * t)));
}

/* gelu'(g) = s + g s (1 - s) 2 z' */
INTO_CALLER float gelu_slope(float g, float s)
{
    const float t = gelu_inside(g);
    return s + g * s * (1.0f - s) * (gelu_rate * (1.0f + 3.0f * gelu_cube * t * t));
}

static void geglu(size_t ffn, const float *restrict gu, float *restrict a)
{
    for (size_t i = 0; i < ffn; i++)
        a[i] = gu[i] * gelu_share(gu[i]) * gu[ffn + i];
}

INTO_CALLER void geglu_back_any(size_t ffn, const void *restrict gu, bool bf16, const float *restrict da,
                                float *restrict dgu)
{
    for (size_t i = 0; i < ffn; i++) {
        const float g = value_at(gu, bf16, i), u = value_at(gu, bf16, ffn + i), s = gelu_share(g);
        dgu[i] = da[i] * u * gelu_slope(g, s);
        dgu[ffn + i] = da[i] * (g * s);
    }
}

static void geglu_back(size_t ffn, const float *gu, const float *da, float *dgu)
{
    geglu_back_any(ffn, gu, false, da, dgu);
}

static void geglu_back_bf16(size_t ffn, const uint16_t *gu, const float *da, float *dgu)
{
    geglu_back_any(ffn, gu, true, da, dgu);
}

static void gelu(size_t ffn, const float *restrict u, float *restrict a)
{
    for (size_t i = 0; i < ffn; i++)
        a[i] = u[i] * gelu_share(u[i]);
}

INTO_CALLER void gelu_back_any(size_t ffn, const void *restrict u, bool bf16, const float *restrict da,
                               float *restrict du)
{
    for (size_t i = 0; i < ffn; i++) {
        const float value = value_at(u, bf16, i);
        du[i] = da[i] * gelu_slope(value, gelu_share(value));
    }
}

static void gelu_back(size_t ffn, const float *u, const float *da, float *du)
{
    gelu_back_any(ffn, u, false, da, du);
}

static void gelu_back_bf16(size_t ffn, const uint16_t *u, const float *da, float *du)
{
    gelu_back_any(ffn, u, true, da, du);
}

/* ---- RoPE ---------------------------------------------------------------------------------------------------- */

INTO_CALLER void turn(size_t half, const float *restrict cosines, const float *restrict sines, float sign,
                        float *restrict low, float *restrict high)
{
    for (size_t i = 0; i < half; i++) {
        const float sine = sines[i] * sign, a = low[i], b = high[i];
        low[i] = a * cosines[i] - b * sine;
        high[i] = b * cosines[i] + a * sine;
    }
}

static void rope(size_t heads, size_t half, const float *table, float sign, float *x)
{
    for (size_t head = 0; head < heads; head++)
        turn(half, table, table + half, sign, x + head * 2 * half, x + head * 2 * half + half);
}

/* ---- softmax ------------------------------------------------------------------------------------------------- */

INTO_CALLER void largest_block(size_t count, const float *x, float *lanes)
{
    SIMD for (size_t l = 0; l < count; l++)
        lanes[l] = x[l] > lanes[l] ? x[l] : lanes[l];
}

static float largest(size_t n, const float *restrict x)
{
    float lanes[LANES];
    for (size_t l = 0; l < LANES; l++)
        lanes[l] = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        largest_block(LANES, x + i, lanes);
    largest_block(n - i, x + i, lanes);
    for (size_t half = LANES / 2; half > 0; half /= 2)
        largest_block(half, lanes + half, lanes);
    return lanes[0];
}

INTO_CALLER void exp_block(size_t count, float shift, float *x, float *lanes)
{
    SIMD for (size_t l = 0; l < count; l++) {
        x[l] = dither_expf(x[l] - shift);
        lanes[l] += x[l];
    }
}

static float exp_sum(size_t n, float shift, float *restrict x)
{
    float lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        exp_block(LANES, shift, x + i, lanes);
    exp_block(n - i, shift, x + i, lanes);
    return dither_lanes_sum(lanes);
}

/* ---- optimizers ---------------------------------------------------------------------------------------------- */

static void adamw(size_t n, const dither_rows_adamw *rates, float *restrict w, float *restrict m, float *restrict v,
                  const float *restrict g)
{
    const dither_rows_adamw r = *rates;
    for (size_t i = 0; i < n; i++) {
        const float gradient = r.scale * g[i];
        m[i] = r.beta1 * m[i] + r.rest1 * gradient;
        v[i] = r.beta2 * v[i] + r.rest2 * gradient * gradient;
        w[i] = w[i] * r.decay - r.rate * m[i] / (sqrtf(v[i] * r.correction) + r.eps);
    }
}

static void sgd(size_t n, const dither_rows_sgd *rates, float *restrict w, const float *restrict g)
{
    const dither_rows_sgd r = *rates;
    for (size_t i = 0; i < n; i++)
        w[i] -= r.lr * (r.scale * g[i] + r.decay * w[i]);
}

static void sgd_momentum(size_t n, const dither_rows_sgd *rates, float *restrict w, float *restrict m,
                         const float *restrict g)
{
    const dither_rows_sgd r = *rates;
    for (size_t i = 0; i < n; i++) {
        m[i] = r.scale * g[i] + r.decay * w[i] + r.momentum * m[i];
        w[i] -= r.lr * m[i];
    }
}

const dither_rows DITHER_ROWS_NAME = {
    .isa = DITHER_ROWS_ISA,
    .needs = DITHER_ROWS_NEEDS,
    .to_bf16 = to_bf16,
    .from_bf16 = from_bf16,
    .add = add,
    .scale = scale,
    .absmax = absmax,
    .square_sum = square_sum,
    .columns = columns,
    .norm = norm,
    .norm_back = norm_back,
    .norm_back_bf16 = norm_back_bf16,
    .layer_norm = layer_norm,
    .layer_norm_back = layer_norm_back,
    .layer_norm_back_bf16 = layer_norm_back_bf16,
    .swiglu = swiglu,
    .swiglu_back = swiglu_back,
    .swiglu_back_bf16 = swiglu_back_bf16,
    .geglu = geglu,
    .geglu_back = geglu_back,
    .geglu_back_bf16 = geglu_back_bf16,
    .gelu = gelu,
    .gelu_back = gelu_back,
    .gelu_back_bf16 = gelu_back_bf16,
    .rope = rope,
    .largest = largest,
    .exp_sum = exp_sum,
    .adamw = adamw,
    .sgd = sgd,
    .sgd_momentum = sgd_momentum,
};

#endif
