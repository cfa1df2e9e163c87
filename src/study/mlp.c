#include "study/mlp.h"

#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/philox.h"
#include "base/text.h"
#include "kernel/expf.h"
#include "kernel/gemm_f32.h"

dither_status dither_mlp_parse(const char *where, const char *text, dither_mlp *net, dither_error *error)
{
    const size_t length = strlen(text);
    *net = (dither_mlp){.layers = 0};
    if (length >= DITHER_MLP_TEXT)
        return dither_fail(error, DITHER_E_USAGE, where, "a net of more than %d characters; as 784-100-10 is right",
                           DITHER_MLP_TEXT - 1);
    size_t widths = 0;
    for (const char *at = text;;) {
        char number[DITHER_MLP_TEXT] = "";
        const size_t digits = strcspn(at, "-");
        uint64_t width = 0;
        memcpy(number, at, digits);
        if (widths > DITHER_MLP_LAYERS)
            return dither_fail(error, DITHER_E_USAGE, where, "'%s' has more than %d layers", text, DITHER_MLP_LAYERS);
        if (!dither_text_u64(number, DITHER_MLP_WIDTH, &width) || !width)
            return dither_fail(error, DITHER_E_USAGE, where,
                               "'%s' is no net; widths from 1 to %d from the pixels to the classes are, as 784-100-10",
                               text, DITHER_MLP_WIDTH);
        net->width[widths++] = (size_t)width;
        at += digits;
        if (!*at)
            break;
        at++;
    }
    if (widths < 2)
        return dither_fail(error, DITHER_E_USAGE, where, "'%s' has no layer; 784-10 has one", text);
    net->layers = widths - 1;
    /* Canonical: 0784 and 784 are the same net. */
    size_t used = 0;
    for (size_t i = 0; i < widths; i++) {
        char number[24];
        size_t digits = 0;
        for (size_t w = net->width[i]; w; w /= 10)
            number[digits++] = (char)('0' + w % 10);
        if (i)
            net->text[used++] = '-';
        while (digits)
            net->text[used++] = number[--digits];
    }
    net->text[used] = '\0';
    return DITHER_OK;
}

size_t dither_mlp_weight_at(const dither_mlp *net, size_t layer)
{
    size_t at = 0;
    for (size_t l = 0; l < layer; l++)
        at += net->width[l + 1] * (net->width[l] + 1);
    return at;
}

size_t dither_mlp_bias_at(const dither_mlp *net, size_t layer)
{
    return dither_mlp_weight_at(net, layer) + net->width[layer + 1] * net->width[layer];
}

size_t dither_mlp_parameters(const dither_mlp *net)
{
    return dither_mlp_weight_at(net, net->layers);
}

void dither_mlp_init(const dither_mlp *net, uint64_t seed, float *parameters)
{
    enum { PART = 256, BITS = 24 };
    uint32_t random[PART];
    for (size_t l = 0; l < net->layers; l++) {
        const size_t from = dither_mlp_weight_at(net, l), end = dither_mlp_weight_at(net, l + 1);
        const double bound = 1.0 / sqrt((double)net->width[l]);
        const dither_draw draw = {.seed = seed, .tensor = (uint32_t)l, .role = DITHER_FIELD_INIT};
        for (size_t at = from; at < end; at += PART) {
            const size_t count = end - at < PART ? end - at : PART;
            dither_draw_fill(&draw, 0, at - from, count, BITS, random);
            for (size_t i = 0; i < count; i++)
                parameters[at + i] = (float)(bound * (((double)random[i] + 0.5) * 0x1p-23 - 1.0));
        }
    }
}

double dither_mlp_loss(size_t classes, const float *logits, unsigned label, float *dy)
{
    float most = logits[0];
    for (size_t k = 1; k < classes; k++)
        most = logits[k] > most ? logits[k] : most;
    float sum = 0;
    for (size_t k = 0; k < classes; k++) {
        dy[k] = dither_expf(logits[k] - most);
        sum += dy[k];
    }
    for (size_t k = 0; k < classes; k++)
        dy[k] /= sum;
    const double loss = log((double)sum) - (double)(logits[label] - most);
    dy[label] -= 1.0f;
    return loss;
}

size_t dither_mlp_scratch(const dither_mlp *net, size_t n)
{
    size_t widths = 0, widest = 0;
    for (size_t l = 1; l <= net->layers; l++) {
        widths += net->width[l];
        widest = net->width[l] > widest ? net->width[l] : widest;
    }
    return n * (widths + 2 * widest);
}

static void forward_layer(const float *w, const float *b, size_t n, size_t in, size_t out, const float *x, float *y,
                          int relu)
{
    dither_gemm_f32(DITHER_GEMM_NT, n, out, in, x, w, y, false, 1);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < out; j++) {
            const float sum = y[i * out + j] + b[j];
            y[i * out + j] = relu && !(sum > 0.0f) ? 0.0f : sum;
        }
    }
}

void dither_mlp_gradient(const dither_mlp *net, const float *parameters, size_t n, const float *x,
                         const uint8_t *labels, float *scratch, float *gradient, double *loss)
{
    const size_t classes = net->width[net->layers];
    const float *input[DITHER_MLP_LAYERS + 1] = {x};
    float *next = scratch;
    for (size_t l = 0; l < net->layers; l++) {
        forward_layer(parameters + dither_mlp_weight_at(net, l), parameters + dither_mlp_bias_at(net, l), n,
                      net->width[l], net->width[l + 1], input[l], next, l + 1 < net->layers);
        input[l + 1] = next;
        next += n * net->width[l + 1];
    }
    const size_t half = (dither_mlp_scratch(net, n) - (size_t)(next - scratch)) / 2;
    float *dy = next, *dx = next + half;
    *loss = 0;
    for (size_t i = 0; i < n; i++)
        *loss += dither_mlp_loss(classes, input[net->layers] + i * classes, labels[i], dy + i * classes);
    *loss /= (double)n;
    const float mean = 1.0f / (float)n;
    for (size_t l = net->layers; l-- > 0;) {
        const size_t in = net->width[l], out = net->width[l + 1];
        float *const dw = gradient + dither_mlp_weight_at(net, l), *const db = gradient + dither_mlp_bias_at(net, l);
        dither_gemm_f32(DITHER_GEMM_TN, out, in, n, dy, input[l], dw, false, 1);
        memset(db, 0, out * sizeof *db);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < out; j++)
                db[j] += dy[i * out + j];
        for (size_t j = 0; j < out * (in + 1); j++)
            dw[j] *= mean;
        if (l == 0)
            break;
        dither_gemm_f32(DITHER_GEMM_NN, n, in, out, dy, parameters + dither_mlp_weight_at(net, l), dx, false, 1);
        for (size_t j = 0; j < n * in; j++)
            dx[j] = input[l][j] > 0.0f ? dx[j] : 0.0f;
        float *const swap = dy;
        dy = dx;
        dx = swap;
    }
}

double dither_mlp_norm(const dither_mlp *net, const float *parameters, size_t layer)
{
    double sum = 0;
    for (size_t i = dither_mlp_weight_at(net, layer); i < dither_mlp_bias_at(net, layer); i++)
        sum += (double)parameters[i] * (double)parameters[i];
    return sqrt(sum);
}
