#include "train_display.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cmd_bench.h"
#include "output.h"

/* kind, sum */
#define PLAN_SUM "%-13s %9s\n"
/* kind, format, rows x cols, size, lifetime, what */
#define PLAN_ROW "%-13s %-14s %17s %9s  %-11s  %s\n"

enum { CURVE_LEAST = 6 }; /* columns: a shorter curve says nothing */

void dither_train_display_init(dither_train_display *display, const char *out, bool json, bool verbose)
{
    *display = (dither_train_display){.json = json, .verbose = verbose, .out = out, .begun = dither_output_clock(),
                                      .val_loss = NAN};
    dither_terminal_init(&display->terminal, stdout);
}

static void show_rates(const dither_train_options *o)
{
    char tokens[32];
    const uint64_t count = o->batch * o->accumulate * o->seq;
    dither_output_count(count, tokens);
    printf("run         %llu step%s", (unsigned long long)o->steps, dither_output_s(o->steps));
    if (o->epochs > 0)
        printf(", %g epoch%s,", o->epochs, o->epochs > 1 ? "s" : "");
    printf(" of %s token%s (%llu x %llu x %llu), %s, lr %g", tokens, dither_output_s(count),
           (unsigned long long)o->accumulate,
           (unsigned long long)o->batch, (unsigned long long)o->seq, dither_optimizer_name((int)o->optimizer), o->lr);
    if (o->schedule != DITHER_SCHEDULE_CONSTANT)
        printf(" to %g", o->min_lr < 0 ? o->lr / 10 : o->min_lr);
    printf(" %s, warm-up %llu, seed %llu\n", dither_schedule_name((int)o->schedule), (unsigned long long)o->warmup,
           (unsigned long long)o->seed);
}

static void show_records(const dither_event *e, const char *train, const char *held)
{
    char records[32], held_records[32], trained[32];
    dither_output_count(e->train_records, records);
    dither_output_count(e->val_records, held_records);
    dither_output_count(e->trained_tokens, trained);
    printf("data        %s record%s of %s tokens, %s an epoch are trained on; ", records,
           dither_output_s(e->train_records), train, trained);
    if (e->val_tokens)
        printf("%s of %s held out", held_records, held);
    else
        printf("none held out");
    if (e->options->chat_format)
        printf(", chats as %s", e->options->chat_format);
    putchar('\n');
}

static void show_disk(const dither_event *e)
{
    char model[16], state[16], sum[16], peak[16];
    dither_output_bytes(e->model_bytes, model);
    dither_output_bytes(e->state_bytes, state);
    dither_output_bytes(e->model_bytes + e->state_bytes, sum);
    dither_output_bytes(e->disk_bytes, peak);
    printf("disk        %s: model %s, checkpoint %s; %s while one is replaced", sum, model, state, peak);
    if (e->disk_free_bytes != UINT64_MAX) {
        dither_output_bytes(e->disk_free_bytes, sum);
        printf(", %s free", sum);
    }
    putchar('\n');
}

static void show_start(dither_train_display *display, const dither_event *e)
{
    const dither_model_config *c = e->config;
    char parameters[32], train[32], held[32], bytes[16];
    dither_output_count(e->parameters, parameters);
    dither_output_count(e->train_tokens, train);
    dither_output_count(e->val_tokens, held);
    dither_output_bytes(e->predicted_bytes, bytes);
    display->start_step = e->step;
    display->predicted_bytes = e->predicted_bytes;
    printf("model       %s parameters: layers=%zu,heads=%zu,kv_heads=%zu,dim=%zu,ffn=%zu,ctx=%zu,vocab=%zu\n",
           parameters, c->layers, c->heads, c->kv_heads, c->dim, c->ffn, c->ctx, c->vocab);
    if (e->train_records)
        show_records(e, train, held);
    else
        printf("data        %s token%s to train on, %s held out\n", train, dither_output_s(e->train_tokens),
               e->val_tokens ? held : "none");
    printf("scheme      %s\n", e->scheme);
    show_rates(e->options);
    printf("machine     %s, %d thread%s, predicted peak memory %s\n", e->cpu, e->threads, e->threads == 1 ? "" : "s",
           bytes);
    show_disk(e);
    if (e->resumed)
        printf("resumed     after step %llu of %llu\n", (unsigned long long)e->step, (unsigned long long)e->steps);
    fflush(stdout);
    display->chats = e->train_records && e->options->chat_format;
}

/* @param format, lifetime, what  of a row; "" for a sum */
static void print_plan(const dither_train_display *display, const char *kind, const char *format, const char *shape,
                       uint64_t size, const char *lifetime, const char *what)
{
    char bytes[16];
    dither_output_bytes(size, bytes);
    if (display->verbose)
        printf(PLAN_ROW, kind, format, shape, bytes, lifetime, what);
    else
        printf(PLAN_SUM, kind, bytes);
}

static void show_plan(dither_train_display *display, const dither_event *e)
{
    if (!display->plan_begun && display->verbose)
        printf("\n" PLAN_ROW, "kind", "format", "rows x cols", "size", "lifetime", "what");
    else if (!display->plan_begun)
        printf("\n" PLAN_SUM, "memory", "sum");
    display->plan_begun = true;
    if (e->plan_name && display->verbose) {
        char shape[48];
        (void)snprintf(shape, sizeof shape, "%zu x %zu", e->plan_rows, e->plan_cols);
        print_plan(display, e->plan_kind, e->plan_format, shape, e->plan_bytes, e->plan_lifetime, e->plan_name);
    } else if (!e->plan_name && e->plan_bytes) {
        print_plan(display, e->plan_kind, "", "sum", e->plan_bytes, "", "");
        display->plan_bytes += e->plan_bytes;
    }
}

static void show_step(dither_train_display *display, const dither_event *e)
{
    char step[64], loss[32], val[32] = "val -", speed[32], eta[32], memory[32], text[16];
    const double token_s = 1 / e->tokens_per_s;
    dither_sparkline_add(&display->losses, e->loss);
    display->token_s = display->token_s > 0 ? 0.9 * display->token_s + 0.1 * token_s : token_s;
    if (!dither_terminal_due(&display->terminal, e->step, e->steps))
        return;
    const int digits = snprintf(step, sizeof step, "%llu", (unsigned long long)e->steps); /* so that columns stand */
    (void)snprintf(step, sizeof step, "step %*llu/%llu", digits, (unsigned long long)e->step,
                   (unsigned long long)e->steps);
    (void)snprintf(loss, sizeof loss, "loss %.4f", e->loss);
    if (!isnan(display->val_loss))
        (void)snprintf(val, sizeof val, "val %.4f", display->val_loss);
    (void)snprintf(speed, sizeof speed, "%.0f tokens/s", 1 / display->token_s);
    dither_terminal_duration(e->eta_s, text);
    (void)snprintf(eta, sizeof eta, "ETA %s", text);
    dither_output_bytes(e->rss_bytes, text);
    (void)snprintf(memory, sizeof memory, "mem %s", text);
    const char *fields[] = {step, loss, val, speed, eta, memory, NULL};
    size_t count = sizeof fields / sizeof fields[0] - 1;
    char curve[SPARKLINE_TEXT];
    const size_t room = dither_terminal_room(&display->terminal, fields, count);
    if (display->terminal.blocks && room >= CURVE_LEAST && dither_sparkline_draw(&display->losses, room, curve))
        fields[count++] = curve;
    dither_terminal_progress(&display->terminal, fields, count);
}

static void show_eval(dither_train_display *display, const dither_event *e)
{
    display->val_loss = e->val_loss;
    dither_terminal_clear(&display->terminal);
    printf("step %llu: held-out loss %.4f nats a token, %.4f bits a byte\n", (unsigned long long)e->step, e->val_loss,
           e->bits_per_byte);
    fflush(stdout);
}

static void show_checkpoint(dither_train_display *display, const dither_event *e)
{
    if (display->terminal.live) /* there the end says where the model is; a line a checkpoint would scroll */
        return;
    printf("step %llu: saved in %s\n", (unsigned long long)e->step, e->path);
    fflush(stdout);
}

static void show_end(dither_train_display *display, const dither_event *e)
{
    char took[16], memory[16];
    dither_terminal_clear(&display->terminal);
    dither_terminal_duration(dither_output_clock() - display->begun, took);
    dither_output_bytes(e->peak_rss_bytes, memory);
    if (e->finished && display->start_step == e->step)
        printf("done        this run was finished already, at step %llu\n", (unsigned long long)e->step);
    else
        printf("%s     %s step %llu of %llu in %s, %.0f tokens/s, peak memory %s\n",
               e->finished ? "done   " : "stopped", e->finished ? "at" : "after", (unsigned long long)e->step,
               (unsigned long long)e->steps, took, e->tokens_per_s, memory);
    if (!isnan(e->val_loss))
        printf("held out    loss %.4f nats a token, %.4f bits a byte (weights in f32)\n", e->val_loss,
               e->bits_per_byte);
    if (display->out)
        printf("saved in    %s\n", display->out);
}

static void show_profile(const dither_speed *speed)
{
    const double steps = speed->steps ? (double)speed->steps : 1;
    printf("\n%llu step%s of %.1f ms: forward %.1f, backward %.1f, optimizer %.1f\n",
           (unsigned long long)speed->steps, dither_output_s(speed->steps), 1e3 * speed->seconds / steps,
           1e3 * speed->forward_s / steps,
           1e3 * speed->backward_s / steps, 1e3 * speed->optimizer_s / steps);
    dither_speed_print(speed);
    putchar('\n');
}

void dither_train_display_event(void *context, const dither_event *event)
{
    dither_train_display *display = context;
    if (event->kind == DITHER_EVENT_END) {
        display->ended = true;
        display->finished = event->finished;
    }
    if (display->json) {
        char text[DITHER_EVENT_JSON];
        (void)dither_event_json(event, text, sizeof text);
        puts(text);
        fflush(stdout);
        return;
    }
    switch (event->kind) {
    case DITHER_EVENT_START: show_start(display, event); break;
    case DITHER_EVENT_PLAN: show_plan(display, event); break;
    case DITHER_EVENT_STEP: show_step(display, event); break;
    case DITHER_EVENT_EVAL: show_eval(display, event); break;
    case DITHER_EVENT_CHECKPOINT: show_checkpoint(display, event); break;
    case DITHER_EVENT_END: show_end(display, event); break;
    case DITHER_EVENT_PROFILE:
        dither_terminal_clear(&display->terminal);
        show_profile(event->speed);
        break;
    case DITHER_EVENT_NOTICE:
        dither_terminal_clear(&display->terminal);
        printf("note        %s\n", event->text);
        break;
    }
}

void dither_train_display_end(dither_train_display *display)
{
    dither_terminal_clear(&display->terminal);
    if (!display->json && display->plan_begun) {
        char bytes[16];
        print_plan(display, "all", "", "sum", display->plan_bytes, "", "");
        dither_output_bytes(display->predicted_bytes, bytes);
        printf("\npredicted peak resident memory %s\n", bytes);
    }
    if (!display->ended || !display->out || (display->json && display->finished))
        return;
    FILE *const file = display->json ? stderr : stdout; /* in JSON mode standard output is for events alone */
    fprintf(file,
            display->finished ? "next        dither generate --model " : "go on with  dither train --resume --out ");
    dither_output_shell_word(file, display->out);
    fputs(display->finished && display->chats ? " --chat\n" : "\n", file);
}
