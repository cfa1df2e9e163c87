/*
 * Schemes: which numbers a linear layer computes with.
 *
 * A scheme is a text that gives each of six roles a quantizer; a preset is a name for such a text. The same text is
 * used in code, on the command line, in configurations and in reports; print(parse(text)) is its canonical form.
 */
#include <dither/dither.h>
#include <stdio.h>

/* One line a role: the bits of a code and the quantizer. */
static void show(const char *text)
{
    dither_scheme scheme;
    dither_error error;
    char canonical[DITHER_SCHEME_TEXT];
    if (dither_scheme_parse(text, &scheme, &error) != DITHER_OK) {
        printf("%s\n  refused: %s\n", text, error.text);
        return;
    }
    dither_scheme_print(&scheme, canonical);
    printf("%s\n  = %s\n", text, canonical);
    for (int role = 0; role < DITHER_ROLES; role++) {
        char quantizer[DITHER_QUANTIZER_TEXT];
        dither_quantizer_print(&scheme.role[role], quantizer);
        printf("  %-8s %2d bits  %s\n", dither_role_name((dither_role)role), scheme.role[role].format.bits, quantizer);
    }
}

int main(void)
{
    puts("presets");
    for (size_t i = 0; dither_preset_name(i) != NULL; i++)
        printf("  %s\n", dither_preset_name(i));

    show("paper-int8"); /* the default of `dither train` */
    show("weight=s8/row:rne,goact=e2m1/g16e4m3:sr,goweight=int4/g32:sr8"); /* roles left out stay f32 */
    show("act=int9"); /* a slip of the pen */
    return 0;
}
