/* dither study: the paper's claims as experiments. */
#include "cmd_study.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command_group.h"
#include "commands.h"
#include "output.h"

static const dither_command *const studies[] = {
    &dither_command_study_mnist,
    &dither_command_study_scaling,
};

static const dither_command_group group = {
    .command = &dither_command_study,
    .parts = studies,
    .count = sizeof studies / sizeof studies[0],
    .usage = "NAME --out DIR [OPTION]...",
    .notes = "Each ends in a table of what the paper says, what was measured and whether that holds, and leaves\n"
             "results.csv, results.json and report.html, one page that needs no network, in DIR. A study that was\n"
             "killed goes on where it was when the same command is given again.\n",
    .unknown = "no study by that name",
    .ask = "say which study: mnist or scaling",
};

static int run(int count, char **words)
{
    return dither_command_group_run(&group, count, words);
}

const dither_command dither_command_study = {
    .name = "study",
    .summary = "the paper's claims as experiments, each with a verdict",
    .run = run,
};

/* ---- what the studies print ---------------------------------------------------------------------------------- */

void dither_study_display_init(dither_study_display *display, bool json)
{
    display->json = json;
    dither_terminal_init(&display->terminal, stdout);
}

static void print_event_json(const dither_study_event *e)
{
    printf("{\"event\":\"progress\",\"cells\":%zu,\"done\":%zu,\"fraction\":", e->cells, e->done);
    dither_output_json_number(stdout, e->fraction);
    printf(",\"seconds\":");
    dither_output_json_number(stdout, e->seconds);
    printf(",\"left\":");
    if (e->left >= 0)
        dither_output_json_number(stdout, e->left);
    else
        printf("null");
    printf("}\n");
    fflush(stdout);
}

void dither_study_display_event(void *context, const dither_study_event *e)
{
    enum { WHOLE = 10000 };
    dither_study_display *const display = context;
    if (!dither_terminal_due(&display->terminal, (uint64_t)(e->fraction * WHOLE), WHOLE))
        return;
    if (display->json) {
        print_event_json(e);
        return;
    }
    char cells[64], percent[32], spent[32], left[40], duration[16];
    (void)snprintf(cells, sizeof cells, "%zu of %zu runs", e->done, e->cells);
    (void)snprintf(percent, sizeof percent, "%.1f %%", 100 * e->fraction);
    dither_terminal_duration(e->seconds, duration);
    (void)snprintf(spent, sizeof spent, "after %s", duration);
    (void)snprintf(left, sizeof left, "time left unknown");
    if (e->left >= 0) {
        dither_terminal_duration(e->left, duration);
        (void)snprintf(left, sizeof left, "about %s left", duration);
    }
    const char *const fields[] = {cells, percent, left, spent};
    dither_terminal_progress(&display->terminal, fields, sizeof fields / sizeof fields[0]);
}

static void print_json(const char *key, const char *text)
{
    printf(",\"%s\":", key);
    dither_output_json_text(stdout, text, strlen(text));
}

static void print_end(dither_study_display *display, const dither_claims *claims, const char *out)
{
    dither_terminal_clear(&display->terminal);
    for (size_t i = 0; i < claims->count; i++) {
        const dither_claim *const c = &claims->claim[i];
        if (display->json) {
            printf("{\"event\":\"claim\"");
            print_json("claim", c->claim);
            print_json("paper", c->paper);
            print_json("measured", c->measured);
            print_json("verdict", c->verdict);
            printf("}\n");
        } else {
            printf("claim       %s\n  paper     %s\n  measured  %s\n  verdict   %s\n", c->claim, c->paper, c->measured,
                   c->verdict);
        }
    }
    if (display->json) {
        printf("{\"event\":\"end\",\"plots\":%s", claims->plotted ? "true" : "false");
        print_json("out", out);
        printf("}\n");
        return;
    }
    if (!claims->plotted)
        printf("no plots    gnuplot did not draw them (package gnuplot-nox): the page has tables alone; the same "
               "command makes it anew\n");
    printf("saved in    %s: results.csv, results.json, report.html\n", out);
}

int dither_study_display_end(dither_study_display *display, dither_status status, const dither_claims *claims,
                             const char *out, sig_atomic_t signal, const dither_error *error)
{
    if (!status) {
        print_end(display, claims, out);
        return EXIT_SUCCESS;
    }
    dither_terminal_clear(&display->terminal);
    return status == DITHER_E_STOPPED ? EXIT_SIGNAL + (signal ? signal : SIGINT) : dither_output_error(error);
}

char *dither_study_command_line(int count, char **words)
{
    char *text = NULL;
    size_t size = 0;
    FILE *const line = open_memstream(&text, &size);
    if (!line)
        return NULL;
    fputs("dither study", line);
    for (int i = 0; i < count; i++) {
        fputc(' ', line);
        dither_output_shell_word(line, words[i]);
    }
    if (fclose(line)) {
        free(text);
        return NULL;
    }
    return text;
}
