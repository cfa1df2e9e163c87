#include "study/page.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "dither/cpu.h"

/* Tables and wide drawings scroll inside themselves; the page never does sideways. */
static const char style[] =
    "body{font:16px/1.5 system-ui,'Helvetica Neue',Helvetica,Arial,sans-serif;color:#1a1a1a;background:#fff;"
    "max-width:1040px;margin:0 auto;padding:16px 20px 48px}"
    "h1{font-size:1.6em;line-height:1.25;margin:.6em 0 .2em}h2{font-size:1.2em;margin:2em 0 .5em}"
    ".scroll{overflow-x:auto;margin:0 0 1em}table{border-collapse:collapse;font-size:.92em;min-width:60%}"
    ".caption{color:#555;margin:0 0 .4em}"
    "th,td{text-align:left;vertical-align:top;padding:.3em .9em .3em 0;border-bottom:1px solid #ddd}"
    "th{border-bottom:2px solid #888}td{font-variant-numeric:tabular-nums}"
    ".numbers td,.numbers th{white-space:nowrap}.claims td{min-width:6.5em}.claims td:first-child{min-width:11em}"
    "code{font:.9em ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}"
    "figure{margin:0 0 1.5em}svg{width:100%;height:auto;display:block}.narrow{display:none}"
    ".notice{background:#fff4d6;padding:.6em .9em;border-left:4px solid #e0a800}.lead{color:#444;margin-top:0}"
    "@media(max-width:640px){body{padding:10px 12px 32px}.wide{display:none}.narrow{display:block}"
    ".claims tr:first-child{display:none}.claims tr,.claims td{display:block;border:0;padding:0}"
    ".claims tr{border-bottom:1px solid #ddd;padding:.5em 0}.claims td:first-child{font-weight:600}"
    ".claims td+td::before{content:attr(title) \": \";color:#555}}"
    "@media print{body{max-width:none;padding:0;font-size:11pt}.scroll{overflow:visible}"
    ".wide{display:block}.narrow{display:none}figure,tr{break-inside:avoid}h2{break-after:avoid}}";

static void put(dither_page *page, const char *text)
{
    dither_json_writer_text(&page->file, text);
}

static void put_escaped(dither_page *page, const char *text)
{
    for (char one[2] = ""; *text; text++) {
        switch (*text) {
        case '&': put(page, "&amp;"); break;
        case '<': put(page, "&lt;"); break;
        case '>': put(page, "&gt;"); break;
        case '"': put(page, "&quot;"); break;
        case '\'': put(page, "&#39;"); break;
        default:
            one[0] = (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text;
            put(page, one);
        }
    }
}

/* An element around a text that is escaped. */
static void put_element(dither_page *page, const char *open, const char *text, const char *close)
{
    put(page, open);
    put_escaped(page, text);
    put(page, close);
}

dither_status dither_page_open(dither_page *page, const char *path, const char *title, const char *lead,
                               dither_error *error)
{
    *page = (dither_page){.plotted = true};
    const dither_status status = dither_json_writer_open(&page->file, path, error);
    if (status)
        return status;
    put(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    put_element(page, "<title>", title, "</title>\n<style>");
    put(page, style);
    put_element(page, "</style>\n</head>\n<body>\n<h1>", title, "</h1>\n");
    put_element(page, "<p class=\"lead\">", lead, "</p>\n");
    return DITHER_OK;
}

void dither_page_heading(dither_page *page, const char *text)
{
    put_element(page, "<h2>", text, "</h2>\n");
}

enum { TEXT_MAX = 1024 };

#define PRINT_ARGUMENTS(text, format)                        \
    do {                                                     \
        va_list arguments;                                   \
        va_start(arguments, format);                         \
        (void)vsnprintf(text, sizeof text, format, arguments); \
        va_end(arguments);                                   \
    } while (0)

void dither_page_paragraph(dither_page *page, const char *format, ...)
{
    char text[TEXT_MAX];
    PRINT_ARGUMENTS(text, format);
    put_element(page, "<p>", text, "</p>\n");
}

void dither_page_claims(dither_page *page, const dither_claims *claims)
{
    put(page, "<div class=\"scroll\"><table class=\"claims\">\n<tr><th>claim</th><th>paper says</th><th>measured</th>"
              "<th>verdict</th></tr>\n");
    for (size_t i = 0; i < claims->count; i++) {
        const dither_claim *const claim = &claims->claim[i];
        put_element(page, "<tr><td>", claim->claim, "</td>");
        put_element(page, "<td title=\"paper says\">", claim->paper, "</td>");
        put_element(page, "<td title=\"measured\">", claim->measured, "</td>");
        put_element(page, "<td title=\"verdict\"><strong>", claim->verdict, "</strong></td></tr>\n");
    }
    put(page, "</table></div>\n");
}

/* ---- plots --------------------------------------------------------------------------------------------------- */

static bool put_drawing(dither_page *page, const dither_plot *plot, dither_plot_shape shape, dither_error *error)
{
    static const char *const classes[] = {"wide", "narrow"};
    char id[32];
    char *svg = NULL;
    (void)snprintf(id, sizeof id, "plot%zu%s", page->plots, classes[shape]);
    if (dither_plot_draw(plot, shape, id, &svg, error))
        return false;
    put(page, "<div class=\"");
    put(page, classes[shape]);
    put(page, "\">");
    put(page, svg);
    put(page, "</div>\n");
    free(svg);
    return true;
}

void dither_page_plot(dither_page *page, const dither_plot *plot)
{
    dither_error error = {.status = DITHER_OK};
    if (!page->plotted)
        return;
    page->plots++;
    put_element(page, "<figure aria-label=\"", plot->title, "\">\n");
    page->plotted = put_drawing(page, plot, DITHER_PLOT_WIDE, &error) &&
                    put_drawing(page, plot, DITHER_PLOT_NARROW, &error);
    put(page, "</figure>\n");
    if (!page->plotted) {
        put_element(page, "<p class=\"notice\">No plots here: gnuplot: ", error.text,
                    ". With the package gnuplot-nox the same command draws them; the tables below have the same "
                    "numbers.</p>\n");
    }
}

/* ---- tables -------------------------------------------------------------------------------------------------- */

void dither_page_table(dither_page *page, const char *caption)
{
    put_element(page, "<p class=\"caption\">", caption, "</p>\n");
    put(page, "<div class=\"scroll\"><table class=\"numbers\">\n");
    page->row = false;
    page->head = true;
}

void dither_page_cell(dither_page *page, const char *format, ...)
{
    char text[TEXT_MAX];
    PRINT_ARGUMENTS(text, format);
    if (!page->row)
        put(page, "<tr>");
    page->row = true;
    put_element(page, page->head ? "<th>" : "<td>", text, page->head ? "</th>" : "</td>");
}

void dither_page_next_row(dither_page *page)
{
    if (page->row)
        put(page, "</tr>\n");
    page->row = page->head = false;
}

void dither_page_table_end(dither_page *page)
{
    dither_page_next_row(page);
    put(page, "</table></div>\n");
}

/* ---- the end ------------------------------------------------------------------------------------------------- */

void dither_page_origin(dither_page *page, const dither_study_origin *origin, const char *seeds, int threads,
                        double processor_seconds)
{
    dither_page_heading(page, "How this was made");
    put_element(page, "<p><code>", origin->command ? origin->command : "dither as a library", "</code></p>\n");
    dither_page_paragraph(page, "dither %s, %s, %d thread%s; %.0f s of processor time. %s",
                          origin->version ? origin->version : "(version not given)", dither_cpu_active()->model,
                          threads, threads == 1 ? "" : "s", processor_seconds, seeds);
}

dither_status dither_page_commit(dither_page *page)
{
    put(page, "</body>\n</html>\n");
    return dither_json_writer_commit(&page->file);
}

void dither_page_abandon(dither_page *page)
{
    dither_json_writer_abandon(&page->file);
}

void dither_interval_print(const dither_interval *interval, char *text)
{
    enum { SIZE = 64, DIGITS = 3 };
    char value[32], low[32], high[32];
    if (isnan(interval->value)) {
        (void)snprintf(text, SIZE, "not measured");
        return;
    }
    dither_text_print_f64(interval->value, DIGITS, value, sizeof value);
    if (!isfinite(interval->low) || !isfinite(interval->high)) {
        (void)snprintf(text, SIZE, "%s (no interval)", value);
        return;
    }
    dither_text_print_f64(interval->low, DIGITS, low, sizeof low);
    dither_text_print_f64(interval->high, DIGITS, high, sizeof high);
    (void)snprintf(text, SIZE, "%.18s (%.18s to %.18s)", value, low, high);
}
