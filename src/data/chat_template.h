/*
 * The Jinja text that renders a chat as its format does. It is made of the format's row:
 *
 *     {%- set bos = "<s>" -%}       the front: marks, of which the body speaks by these names; none where it does not
 *     {%- set eos = "</s>" -%}
 *     ...                           the body: the same for a format whatever the marks, so that it is recognised by it
 */
#ifndef DITHER_DATA_CHAT_TEMPLATE_H
#define DITHER_DATA_CHAT_TEMPLATE_H

#include "dither/chat.h"

/** Whether a text is what dither_chat_format_template makes of the format, with any marks. */
bool dither_chat_template_is(const dither_chat_format *format, const char *text);

/** Those of `marks` that the front of such a text sets; the others stay. */
void dither_chat_template_marks(const char *text, dither_chat_marks *marks);

#endif
