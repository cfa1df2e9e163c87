#include "generation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

enum { READ_AT_ONCE = 512 }; /* between looks at the flag */

const char *dither_ending_name(dither_ending ending)
{
    static const char *const names[] = {"tokens", "end", "stop", "context", "interrupted", "output"};
    return names[ending];
}

static void show(void *context, const char *bytes, size_t length)
{
    dither_generation *g = context;
    if (g->tee)
        fwrite(bytes, 1, length, g->tee);
    if (g->out)
        dither_utf8_stream_write(&g->stream, bytes, length);
}

static bool ends_text(const dither_generation *g, uint32_t id)
{
    const dither_tokenizer_marks *marks = dither_tokenizer_marks_get(g->tokenizer);
    return id == marks->eos || id == marks->eot || id == g->stop_id;
}

static void log_token(const dither_generation *g, uint32_t id, double logprob)
{
    const char *bytes = NULL;
    const size_t length = dither_tokenizer_decode(g->tokenizer, id, &bytes);
    fprintf(g->log, "{\"id\":%lu,\"text\":", (unsigned long)id);
    dither_output_json_text(g->log, bytes, length);
    fputs(",\"logprob\":", g->log);
    dither_output_json_number(g->log, logprob);
}

static void log_choice(const dither_generation *g, uint32_t id)
{
    if (!g->log)
        return;
    if (g->written > 0)
        fputc(',', g->log);
    log_token(g, id, dither_writer_logprob(g->writer, id));
    dither_likely *likely = calloc(g->likeliest + 1, sizeof *likely);
    const size_t count = likely ? dither_writer_likeliest(g->writer, g->likeliest, likely) : 0;
    fputs(",\"likeliest\":[", g->log);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fputc(',', g->log);
        log_token(g, likely[i].id, likely[i].logprob);
        fputc('}', g->log);
    }
    fputs("]}", g->log);
    free(likely);
}

/* A vocabulary of SentencePiece writes the space before a text's first word, which nobody said. */
static void skip_space(dither_generation *g, const char **bytes, size_t *length)
{
    if (!g->begun && !g->slides && *length && **bytes == ' ' && dither_tokenizer_space_prefix(g->tokenizer)) {
        ++*bytes;
        --*length;
    }
    g->begun = true;
}

/* @return whether the writing goes on */
static bool put_token(dither_generation *g, uint32_t id)
{
    log_choice(g, id);
    g->written++;
    if (ends_text(g, id)) {
        g->ending = ENDING_MARK;
        return false;
    }
    const char *bytes = NULL;
    const bool shown = !dither_tokenizer_is_special(g->tokenizer, id);
    size_t length = shown ? dither_tokenizer_decode(g->tokenizer, id, &bytes) : 0;
    skip_space(g, &bytes, &length);
    if (g->stops && dither_stops_add(g->stops, bytes, length, show, g)) {
        g->ending = ENDING_STOP;
        return false;
    }
    if (!g->stops)
        show(g, bytes, length);
    if (g->out && g->live)
        fflush(g->out);
    if (g->out && ferror(g->out)) {
        g->ending = ENDING_OUTPUT;
        return false;
    }
    return true;
}

static bool interrupted(dither_generation *g)
{
    if (!g->interrupted || !*g->interrupted)
        return false;
    g->ending = ENDING_INTERRUPTED;
    return true;
}

/* In steps, so that a long text can be interrupted. */
static dither_status read_context(dither_generation *g, const uint32_t *ids, size_t count, dither_error *error)
{
    const size_t ctx = dither_writer_ctx(g->writer);
    if (g->slides && count > ctx) {
        ids += count - ctx;
        count = ctx;
    }
    dither_status status = DITHER_OK;
    size_t done = 0;
    while (!status && (done < count || !count) && !interrupted(g)) {
        size_t fresh = 0;
        const size_t next = count - done < READ_AT_ONCE ? count : done + READ_AT_ONCE;
        status = dither_writer_read(g->writer, ids, next, &fresh, error);
        g->read += fresh;
        done = next;
    }
    return status;
}

dither_status dither_generation_run(dither_generation *g, const uint32_t *ids, size_t count, dither_error *error)
{
    g->read = g->written = 0;
    g->begun = false;
    g->ending = ENDING_TOKENS;
    dither_utf8_stream_init(&g->stream, g->out, g->clean);
    if (g->interrupted)
        *g->interrupted = 0;
    const double start = dither_output_clock();
    dither_status status = read_context(g, ids, count, error);
    const double middle = dither_output_clock();
    bool goes_on = !status && g->ending != ENDING_INTERRUPTED;
    while (goes_on && g->written < g->tokens && !interrupted(g)) {
        uint32_t id;
        if (!g->slides && dither_writer_context(g->writer, NULL) == dither_writer_ctx(g->writer)) {
            g->ending = ENDING_CONTEXT;
            break;
        }
        status = dither_writer_next(g->writer, &g->sampling, &id, error);
        goes_on = !status && put_token(g, id);
    }
    if (g->stops)
        dither_stops_end(g->stops, show, g);
    dither_utf8_stream_end(&g->stream);
    g->read_s = middle - start;
    g->write_s = dither_output_clock() - middle;
    return status;
}

static double rate(uint64_t tokens, double seconds)
{
    return tokens && seconds > 0 ? (double)tokens / seconds : NAN;
}

void dither_generation_report(const dither_generation *g)
{
    fprintf(stderr, "read %llu tokens, %.0f tokens/s; wrote %llu, %.1f tokens/s\n", (unsigned long long)g->read,
            rate(g->read, g->read_s), (unsigned long long)g->written, rate(g->written, g->write_s));
}

void dither_generation_json(const dither_generation *g)
{
    printf(",\"tokens\":%llu,\"tokens_per_s\":", (unsigned long long)g->written);
    dither_output_json_number(stdout, rate(g->written, g->write_s));
    printf(",\"prompt_tokens\":%llu,\"prompt_tokens_per_s\":", (unsigned long long)g->read);
    dither_output_json_number(stdout, rate(g->read, g->read_s));
    printf(",\"ending\":\"%s\"", dither_ending_name(g->ending));
}
