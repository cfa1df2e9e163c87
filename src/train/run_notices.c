/* What a user should know of a run before its first step. */
#include <stdarg.h>
#include <stdio.h>

#include "train/run.h"

enum { TEXT = 1024 };

static dither_status notice(dither_run *run, dither_error *error, const char *format, ...) DITHER_PRINTF(3, 4);

static dither_status notice(dither_run *run, dither_error *error, const char *format, ...)
{
    char text[TEXT];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    const dither_event event = {
        .kind = DITHER_EVENT_NOTICE, .step = run->step, .steps = run->options.steps, .text = text};
    return dither_run_report(run, &event, error);
}

static const char *are(size_t count)
{
    return count == 1 ? "is" : "are";
}

/* ---- data -------------------------------------------------------------------------------------------------- */

static dither_status report_left_out(dither_run *run, dither_error *error)
{
    const dither_records_packed *p = &run->packing.packed;
    const size_t longer = p->cut + p->skipped;
    char text[256] = "", more[256] = "";
    if (longer + p->untrained == 0)
        return DITHER_OK;
    if (longer > 0)
        (void)snprintf(text, sizeof text, ", %zu longer than --seq %zu %s %s", longer, run->samples.seq, are(longer),
                       p->cut > 0 ? "cut" : "skipped");
    if (p->untrained > 0)
        (void)snprintf(more, sizeof more, ", %zu with nothing to train on %s left out", p->untrained,
                       are(p->untrained));
    return notice(run, error, "of %zu records%s%s", run->packing.count, text, more);
}

static dither_status report_unanswered(dither_run *run, dither_error *error)
{
    const size_t empty = dither_records_unanswered(run->records);
    if (empty == 0)
        return DITHER_OK;
    return notice(run, error, "of %zu records, %zu %s: of these the model learns only to end its turn",
                  dither_records_count(run->records), empty, empty == 1 ? "has an empty answer" : "have empty answers");
}

static dither_status report_held_out(dither_run *run, dither_error *error)
{
    const dither_train_options *o = &run->options;
    if (run->val_tokens > 0 || !(o->val_fraction > 0))
        return DITHER_OK;
    if (run->records && run->val_packing.count > 0)
        return notice(run, error, "nothing is held out: the last %zu records, by --val-fraction %g, have nothing to "
                                  "predict; name records for it with --val", run->val_packing.count,
                      o->val_fraction);
    if (run->records)
        return notice(run, error, "nothing is held out: --val-fraction %g of %s is less than one record; name records "
                                  "for it with --val, or give a larger fraction", o->val_fraction,
                      run->records->file_count > 1 ? "each file" : "them");
    return notice(run, error, "nothing is held out: --val-fraction %g of the data is less than two tokens; name a text "
                              "for it with --val, or give a larger fraction", o->val_fraction);
}

/* ---- chat formats ------------------------------------------------------------------------------------------ */

static dither_status report_markers(dither_run *run, const dither_chat_format *format, dither_error *error)
{
    char names[512];
    const size_t lacking = dither_chat_format_lacking(format, run->tokenizer, names, sizeof names);
    if (lacking == 0)
        return DITHER_OK;
    const char *advice = run->options.model ? "a format whose marks it has would fit better"
                                            : "`dither tokenizer train --special` makes such tokens";
    return notice(run, error, "the vocabulary has no single token%s for %s of the format %s, which %s ordinary text to "
                              "the model; %s", lacking == 1 ? "" : "s", names, dither_chat_format_name(format),
                  are(lacking), advice);
}

static dither_status report_template(dither_run *run, const dither_chat_format *format, dither_error *error)
{
    const char *text = dither_tokenizer_chat_template(run->tokenizer);
    const dither_chat_format *own = text ? dither_chat_format_find(text) : NULL;
    if (!text || own == format)
        return DITHER_OK;
    return notice(run, error, "what is trained gets the chat template of the format %s in place of the model's own%s%s",
                  dither_chat_format_name(format), own ? ", that of " : "", own ? dither_chat_format_name(own) : "");
}

dither_status dither_run_report_data(dither_run *run, dither_error *error)
{
    const dither_chat_format *format = dither_run_chat_format(run);
    dither_status status = run->records ? report_left_out(run, error) : DITHER_OK;
    if (!status && run->records)
        status = report_unanswered(run, error);
    if (!status)
        status = report_held_out(run, error);
    if (!status && format)
        status = report_markers(run, format, error);
    return !status && format ? report_template(run, format, error) : status;
}
