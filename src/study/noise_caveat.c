/* Where the theory of stochastic rounding does not hold for a scheme (Liu et al. 2025, arXiv 2511.00874). */
#include <stdio.h>

#include "dither/noise.h"
#include "study/scheme_part.h"

/* What each role does to the gradient where it is not f32: at random, and to nearest. */
static const struct {
    dither_role role;
    const char *random, *nearest; /* NULL: the theory holds */
} effects[] = {
    {DITHER_ROLE_ACT,
     "quantizes the forward pass: the gradient of another function, a bias that does not fall with the batch",
     "quantizes the forward pass: a bias that does not fall with the batch"},
    {DITHER_ROLE_WEIGHT, "is one draw for the whole batch: an error that only bits lower",
     "is the same for the whole batch: an error that only bits lower"},
    {DITHER_ROLE_BACT, NULL, "rounds to nearest in the backward pass: a bias that does not fall with the batch"},
    {DITHER_ROLE_BWEIGHT, "is one draw for the whole batch: an error that only bits lower",
     "is the same for the whole batch: an error that only bits lower"},
    {DITHER_ROLE_GOACT, NULL, "rounds to nearest in the backward pass: a bias that does not fall with the batch"},
    {DITHER_ROLE_GOWEIGHT, NULL, "rounds to nearest in the backward pass: a bias that does not fall with the batch"},
};

static bool holds(const dither_scheme *scheme, size_t effect, char *text)
{
    const dither_role role = effects[effect].role;
    if (role == DITHER_ROLE_BWEIGHT && scheme->same_weight) /* said of weight already */
        return true;
    const dither_scheme alone = dither_scheme_part(scheme, 1 + (size_t)role);
    if (dither_scheme_plain(&alone))
        return true;
    /* The head alone may be what is quantized. */
    const bool head = dither_quantizer_plain(&alone.role[role]);
    const dither_quantizer *const quantizer = head ? &alone.head[role] : &alone.role[role];
    const bool random = quantizer->rounding.mode == DITHER_ROUND_SR;
    const char *const what = random ? effects[effect].random : effects[effect].nearest;
    if (!what)
        return true;
    char printed[DITHER_QUANTIZER_TEXT];
    dither_quantizer_print(quantizer, printed);
    (void)snprintf(text, DITHER_NOISE_CAVEAT, "%s%s=%s %s", head ? "head." : "", dither_role_name(role), printed, what);
    return false;
}

bool dither_noise_caveat(const dither_scheme *scheme, size_t index, char *text)
{
    for (size_t effect = 0; effect < sizeof effects / sizeof effects[0]; effect++)
        if (!holds(scheme, effect, text) && index-- == 0)
            return true;
    return false;
}
