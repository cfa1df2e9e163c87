/*
 * A report as one self-contained HTML page: nothing is fetched, no script runs. Every text is escaped here. Written
 * aside and put in place by dither_page_commit(); the first failure is kept, and commit returns it.
 */
#ifndef DITHER_STUDY_PAGE_H
#define DITHER_STUDY_PAGE_H

#include "dither/study.h"
#include "file/json_write.h"
#include "study/plot.h"

typedef struct dither_page {
    dither_json_writer file;
    size_t plots;
    bool plotted;          /* no plot has failed so far */
    bool row;              /* a row of a table is open */
    bool head;             /* and is its head */
    size_t column;
} dither_page;

/** @param lead  a sentence under the title */
DITHER_MUST_USE dither_status dither_page_open(dither_page *page, const char *path, const char *title,
                                               const char *lead, dither_error *error);

void dither_page_heading(dither_page *page, const char *text);
void dither_page_paragraph(dither_page *page, const char *format, ...) DITHER_PRINTF(2, 3);

/** The table of claims: claim, paper, measured, verdict. */
void dither_page_claims(dither_page *page, const dither_claims *claims);

/**
 * A plot, once for wide and once for narrow windows. Where gnuplot does not draw it, a notice, once a page; `plotted`
 * then is false.
 */
void dither_page_plot(dither_page *page, const dither_plot *plot);

/** A table that scrolls sideways where it is too wide: begin, cells, next_row, end. The first row is its head. */
void dither_page_table(dither_page *page, const char *caption);
void dither_page_cell(dither_page *page, const char *format, ...) DITHER_PRINTF(2, 3);
void dither_page_next_row(dither_page *page);
void dither_page_table_end(dither_page *page);

/** Command, version and processor. @param seeds  what was random, in words */
void dither_page_origin(dither_page *page, const dither_study_origin *origin, const char *seeds, int threads,
                        double processor_seconds);

DITHER_MUST_USE dither_status dither_page_commit(dither_page *page);
void dither_page_abandon(dither_page *page);

/** "1.02 (0.98 to 1.06)" and the like, into text[64]; "not measured" for NaN. */
void dither_interval_print(const dither_interval *interval, char *text);

#endif
