#include "study/scheme_part.h"

#include "quant/spec.h"

bool dither_quantizer_plain(const dither_quantizer *quantizer)
{
    const dither_quantizer plain = dither_quantizer_f32();
    return dither_quantizer_equal(quantizer, &plain);
}

/* Whose codes a role has. */
static dither_role source_of(const dither_scheme *scheme, dither_role role)
{
    if (role == DITHER_ROLE_BACT && scheme->same_input)
        return DITHER_ROLE_ACT;
    if (role == DITHER_ROLE_BWEIGHT && scheme->same_weight)
        return DITHER_ROLE_WEIGHT;
    if (role == DITHER_ROLE_GOWEIGHT && scheme->same_grad)
        return DITHER_ROLE_GOACT;
    return role;
}

dither_scheme dither_scheme_part(const dither_scheme *scheme, size_t part)
{
    if (!part)
        return *scheme;
    const dither_role role = (dither_role)(part - 1);
    dither_scheme alone = {.rht = role == DITHER_ROLE_BACT || role == DITHER_ROLE_GOWEIGHT ? scheme->rht : 0};
    for (size_t i = 0; i < DITHER_ROLES; i++)
        alone.role[i] = alone.head[i] = dither_quantizer_f32();
    alone.role[role] = scheme->role[source_of(scheme, role)];
    alone.head[role] = scheme->head[source_of(scheme, role)];
    if (dither_quantizer_plain(&alone.role[role]) && dither_quantizer_plain(&alone.head[role]))
        alone.rht = 0;
    return alone;
}

bool dither_scheme_plain(const dither_scheme *scheme)
{
    for (size_t i = 0; i < DITHER_ROLES; i++)
        if (!dither_quantizer_plain(&scheme->role[i]) || !dither_quantizer_plain(&scheme->head[i]))
            return false;
    return scheme->rht == 0;
}

static bool rounds_at_random(const dither_quantizer *quantizer)
{
    return quantizer->rounding.mode == DITHER_ROUND_SR && !dither_quantizer_plain(quantizer);
}

bool dither_scheme_random(const dither_scheme *scheme)
{
    static const dither_role roles[] = {DITHER_ROLE_ACT, DITHER_ROLE_BACT, DITHER_ROLE_GOACT, DITHER_ROLE_GOWEIGHT};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (rounds_at_random(&scheme->role[roles[i]]) || rounds_at_random(&scheme->head[roles[i]]))
            return true;
    return scheme->rht > 0;
}
