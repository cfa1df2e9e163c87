#include "quant/pack.h"

#include <assert.h>
#include <string.h>

#include "base/arena.h"

enum { DIGITS = 5 }; /* ternary digits of a byte: 3^5 = 243 */

static bool is_ternary(const dither_format *format)
{
    return format->group_codes == DIGITS;
}

size_t dither_pack_bytes(const dither_format *format, size_t count)
{
    if (is_ternary(format)) {
        return count / DIGITS + (count % DIGITS != 0);
    }
    const size_t bits = dither_multiply(count, (size_t)format->bits);
    return bits == SIZE_MAX ? SIZE_MAX : bits / 8 + (bits % 8 != 0);
}

static void pack_ternary(const uint32_t *codes, size_t count, uint8_t *packed)
{
    for (size_t i = 0; i < count; i += DIGITS) {
        uint32_t byte = 0;
        for (size_t d = DIGITS; d-- > 0;) {
            const uint32_t digit = i + d < count ? (codes[i + d] + 1) & 3 : 1;
            assert(digit < 3);
            byte = 3 * byte + digit;
        }
        *packed++ = (uint8_t)byte;
    }
}

static void unpack_ternary(const uint8_t *packed, size_t count, uint32_t *codes)
{
    uint32_t byte = 0;
    for (size_t i = 0; i < count; i++) {
        byte = i % DIGITS == 0 ? *packed++ : byte / 3;
        codes[i] = (byte % 3 - 1) & 3;
    }
}

static void pack_stream(uint32_t bits, const uint32_t *codes, size_t count, uint8_t *packed)
{
    uint64_t held = 0;
    uint32_t width = 0;
    for (size_t i = 0; i < count; i++) {
        held |= (uint64_t)codes[i] << width;
        for (width += bits; width >= 8; width -= 8) {
            *packed++ = (uint8_t)held;
            held >>= 8;
        }
    }
    if (width > 0) {
        *packed = (uint8_t)held;
    }
}

static void unpack_stream(uint32_t bits, const uint8_t *packed, size_t count, uint32_t *codes)
{
    const uint32_t mask = (1u << bits) - 1;
    uint64_t held = 0;
    uint32_t width = 0;
    for (size_t i = 0; i < count; i++) {
        for (; width < bits; width += 8) {
            held |= (uint64_t)*packed++ << width;
        }
        codes[i] = (uint32_t)held & mask;
        held >>= bits;
        width -= bits;
    }
}

static void pack_nibbles(const uint32_t *codes, size_t count, uint8_t *packed)
{
    for (size_t i = 0; i < count / 2; i++) {
        packed[i] = (uint8_t)(codes[2 * i] | codes[2 * i + 1] << 4);
    }
    if (count % 2 != 0) {
        packed[count / 2] = (uint8_t)codes[count - 1];
    }
}

static void unpack_nibbles(const uint8_t *packed, size_t count, uint32_t *codes)
{
    for (size_t i = 0; i < count / 2; i++) {
        codes[2 * i] = packed[i] & 15;
        codes[2 * i + 1] = packed[i] >> 4;
    }
    if (count % 2 != 0) {
        codes[count - 1] = packed[count / 2] & 15;
    }
}

void dither_pack(const dither_format *format, const uint32_t *codes, size_t count, uint8_t *packed)
{
    if (is_ternary(format)) {
        pack_ternary(codes, count, packed);
    } else if (format->bits == 32) {
        memcpy(packed, codes, count * sizeof *codes);
    } else if (format->bits == 16) {
        for (size_t i = 0; i < count; i++) {
            const uint16_t code = (uint16_t)codes[i];
            memcpy(packed + 2 * i, &code, sizeof code);
        }
    } else if (format->bits == 8) {
        for (size_t i = 0; i < count; i++) {
            packed[i] = (uint8_t)codes[i];
        }
    } else if (format->bits == 4) {
        pack_nibbles(codes, count, packed);
    } else {
        pack_stream((uint32_t)format->bits, codes, count, packed);
    }
}

void dither_unpack(const dither_format *format, const uint8_t *packed, size_t first, size_t count, uint32_t *codes)
{
    assert(first % (size_t)format->group_codes == 0);
    packed += first / (size_t)format->group_codes * (size_t)format->group_bytes;
    if (is_ternary(format)) {
        unpack_ternary(packed, count, codes);
    } else if (format->bits == 32) {
        memcpy(codes, packed, count * sizeof *codes);
    } else if (format->bits == 16) {
        for (size_t i = 0; i < count; i++) {
            uint16_t code;
            memcpy(&code, packed + 2 * i, sizeof code);
            codes[i] = code;
        }
    } else if (format->bits == 8) {
        for (size_t i = 0; i < count; i++) {
            codes[i] = packed[i];
        }
    } else if (format->bits == 4) {
        unpack_nibbles(packed, count, codes);
    } else {
        unpack_stream((uint32_t)format->bits, packed, count, codes);
    }
}
