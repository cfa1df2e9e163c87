/* Events as JSON, one object a line, printed without allocating: a training step calls no malloc. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "dither/train.h"

/* What one text may take: an event has one long text at most, a path or a notice, and short ones. */
enum { TEXT_LIMIT = DITHER_EVENT_JSON / 2 };

typedef struct json_line {
    char *text;
    size_t size, used;
} json_line;

static void DITHER_PRINTF(2, 3) put(json_line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const size_t left = line->used < line->size ? line->size - line->used : 0;
    const int n = vsnprintf(left ? line->text + line->used : NULL, left, format, arguments);
    va_end(arguments);
    line->used += n > 0 ? (size_t)n : 0;
}

/* Bytes of the character at c, which is not the end, or 0: not UTF-8. */
static size_t character(const unsigned char *c)
{
    size_t n = 1;
    while (n < 4 && (c[n] & 0xc0) == 0x80)
        n++;
    return dither_text_utf8(c, n) == n ? n : 0;
}

static void put_text(json_line *line, const char *key, const char *value)
{
    put(line, ", \"%s\": ", key);
    if (!value) {
        put(line, "null");
        return;
    }
    put(line, "\"");
    const unsigned char *c = (const unsigned char *)value;
    for (const size_t end = line->used + TEXT_LIMIT; *c && line->used < end;) {
        const size_t n = character(c);
        if (*c == '"' || *c == '\\')
            put(line, "\\%c", *c);
        else if (n == 0 || *c < 0x20)
            put(line, "\\u%04x", n ? *c : 0xfffdu); /* a path may be any bytes, JSON is UTF-8 */
        else
            put(line, "%.*s", (int)n, (const char *)c);
        c += n ? n : 1;
    }
    put(line, "\"");
}

static void put_real(json_line *line, const char *key, double value)
{
    char text[32] = "null";
    if (isfinite(value))
        dither_text_print_f64(value, 9, text, sizeof text);
    put(line, ", \"%s\": %s", key, text);
}

static void put_count(json_line *line, const char *key, uint64_t value)
{
    put(line, ", \"%s\": %llu", key, (unsigned long long)value);
}

static void put_flag(json_line *line, const char *key, bool value)
{
    put(line, ", \"%s\": %s", key, value ? "true" : "false");
}

static void put_config(json_line *line, const dither_model_config *c)
{
    put(line, ", \"config\": {\"layers\": %zu, \"heads\": %zu, \"kv_heads\": %zu, \"head_dim\": %zu, \"dim\": %zu",
        c->layers, c->heads, c->kv_heads, c->head_dim, c->dim);
    put(line, ", \"ffn\": %zu, \"vocab\": %zu, \"ctx\": %zu", c->ffn, c->vocab, c->ctx);
    put_real(line, "rope_base", c->rope_base);
    put_real(line, "norm_eps", c->norm_eps);
    put_flag(line, "tied", c->tied);
    put(line, "}");
}

static void put_options(json_line *line, const dither_train_options *o)
{
    put(line, ", \"options\": {\"steps\": %llu", (unsigned long long)o->steps);
    if (o->epochs > 0)
        put_real(line, "epochs", o->epochs);
    put_count(line, "batch", o->batch);
    put_count(line, "accumulate", o->accumulate);
    put_count(line, "seq", o->seq);
    put_text(line, "optimizer", dither_optimizer_name((int)o->optimizer));
    put_real(line, "lr", o->lr);
    put_real(line, "min_lr", o->min_lr);
    put_text(line, "schedule", dither_schedule_name((int)o->schedule));
    put_count(line, "warmup", o->warmup);
    put_real(line, "beta1", o->beta1);
    put_real(line, "beta2", o->beta2);
    put_real(line, "weight_decay", o->weight_decay);
    put_real(line, "clip", o->clip);
    put_real(line, "momentum", o->momentum);
    put_count(line, "seed", o->seed);
    put(line, "}");
}

static void put_start(json_line *line, const dither_event *e)
{
    put_count(line, "step", e->step);
    put_config(line, e->config);
    put_text(line, "scheme", e->scheme);
    put_count(line, "parameters", e->parameters);
    put_text(line, "cpu", e->cpu);
    put_count(line, "threads", (uint64_t)e->threads);
    put_count(line, "predicted_bytes", e->predicted_bytes);
    put_count(line, "model_bytes", e->model_bytes);
    put_count(line, "state_bytes", e->state_bytes);
    put_count(line, "disk_bytes", e->disk_bytes);
    if (e->disk_free_bytes != UINT64_MAX)
        put_count(line, "disk_free_bytes", e->disk_free_bytes);
    put_count(line, "train_tokens", e->train_tokens);
    put_count(line, "val_tokens", e->val_tokens);
    if (e->train_records) {
        put_count(line, "train_records", e->train_records);
        put_count(line, "val_records", e->val_records);
        put_count(line, "trained_tokens", e->trained_tokens);
        put_text(line, "chat_format", e->options->chat_format);
    }
    put_flag(line, "resumed", e->resumed);
    put_options(line, e->options);
}

static void put_plan(json_line *line, const dither_event *e)
{
    put_text(line, "kind", e->plan_kind);
    if (e->plan_name) {
        put_text(line, "name", e->plan_name);
        put_text(line, "format", e->plan_format);
        put_count(line, "rows", e->plan_rows);
        put_count(line, "cols", e->plan_cols);
        put_text(line, "lifetime", e->plan_lifetime);
    }
    put_count(line, "bytes", e->plan_bytes);
}

/* The roles that quantized something; what rounding adds to those that round stochastically. */
static void put_roles(json_line *line, const dither_clips *roles)
{
    bool any = false;
    put(line, ", \"roles\": {");
    for (int role = 0; role < DITHER_ROLES; role++) {
        const dither_clips *seen = &roles[role];
        if (!seen->elements)
            continue;
        put(line, "%s\"%s\": {\"elements\": %llu", any ? ", " : "", dither_role_name((dither_role)role),
            (unsigned long long)seen->elements);
        put_real(line, "clip_rate", (double)seen->clipped / (double)seen->elements);
        if (seen->square > 0) {
            put_real(line, "variance", seen->variance);
            put_real(line, "relative_variance", seen->variance / seen->square);
        }
        put(line, "}");
        any = true;
    }
    put(line, "}");
}

static void put_step(json_line *line, const dither_event *e)
{
    put_count(line, "step", e->step);
    put_real(line, "loss", e->loss);
    put_real(line, "lr", e->lr);
    put_real(line, "grad_norm", e->grad_norm);
    put_count(line, "trained_tokens", e->trained_tokens);
    put_real(line, "tokens_per_s", e->tokens_per_s);
    put_real(line, "clip_rate", e->clip_rate);
    if (e->accumulate)
        put_count(line, "accumulate", e->accumulate);
    if (e->noise > 0) {
        put_real(line, "noise", e->noise);
        put_real(line, "noise_ratio", e->noise_ratio);
        if (e->noise_probe > 0)
            put_real(line, "noise_probe", e->noise_probe);
    }
    if (e->roles)
        put_roles(line, e->roles);
}

static void put_eval(json_line *line, const dither_event *e)
{
    put_count(line, "step", e->step);
    put_real(line, "val_loss", e->val_loss);
    put_real(line, "bits_per_byte", e->bits_per_byte);
    put_count(line, "tokens", e->eval_tokens);
}

static void put_end(json_line *line, const dither_event *e)
{
    put_eval(line, e);
    put_real(line, "tokens_per_s", e->tokens_per_s);
    put_count(line, "peak_rss_bytes", e->peak_rss_bytes);
    put_flag(line, "finished", e->finished);
}

static void put_profile(json_line *line, const dither_event *e)
{
    const dither_speed *speed = e->speed;
    put_count(line, "step", e->step);
    put_count(line, "steps", speed->steps);
    put_real(line, "seconds", speed->seconds);
    put_real(line, "forward_s", speed->forward_s);
    put_real(line, "backward_s", speed->backward_s);
    put_real(line, "optimizer_s", speed->optimizer_s);
    put(line, ", \"ops\": [");
    for (size_t i = 0; i < speed->count; i++) {
        const dither_op_speed *op = &speed->op[i];
        put(line, "%s{\"name\": \"%s\"", i ? ", " : "", op->name);
        put_count(line, "calls", op->calls);
        put_real(line, "seconds", op->seconds);
        put_real(line, "share", op->share);
        put_real(line, "gflops", op->gflops);
        put_real(line, "gb_s", op->gb_s);
        put_real(line, "fraction", op->fraction);
        put(line, "}");
    }
    put(line, "]");
}

size_t dither_event_json(const dither_event *event, char *text, size_t size)
{
    static const char *const names[] = {"start", "plan", "step", "eval", "checkpoint", "end", "profile", "notice"};
    json_line line = {.text = text, .size = size};
    put(&line, "{\"event\": \"%s\"", names[event->kind]);
    switch (event->kind) {
    case DITHER_EVENT_START: put_start(&line, event); break;
    case DITHER_EVENT_PLAN: put_plan(&line, event); break;
    case DITHER_EVENT_STEP: put_step(&line, event); break;
    case DITHER_EVENT_EVAL: put_eval(&line, event); break;
    case DITHER_EVENT_CHECKPOINT:
        put_count(&line, "step", event->step);
        put_text(&line, "path", event->path);
        break;
    case DITHER_EVENT_END: put_end(&line, event); break;
    case DITHER_EVENT_PROFILE: put_profile(&line, event); break;
    case DITHER_EVENT_NOTICE: put_text(&line, "text", event->text); break;
    }
    put(&line, "}");
    return line.used < size ? line.used : size ? size - 1 : 0;
}
