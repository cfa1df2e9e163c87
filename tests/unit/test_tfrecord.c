/* CRC-32C against published values, and records against bytes put together here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "file/crc32c.h"
#include "file/tfrecord.h"

/* RFC 3720, appendix B.4, and the check value of every catalogue of CRCs. */
static void known_answers(void **state)
{
    (void)state;
    unsigned char bytes[32];
    assert_int_equal(dither_crc32c("123456789", 9), 0xe3069283u);
    assert_int_equal(dither_crc32c("", 0), 0);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(dither_crc32c(bytes, sizeof bytes), 0x8a9136aau);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(dither_crc32c(bytes, sizeof bytes), 0x62a8ab43u);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(dither_crc32c(bytes, sizeof bytes), 0x46dd794eu);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(31 - i);
    assert_int_equal(dither_crc32c(bytes, sizeof bytes), 0x113fdb5cu);
}

/* Bit by bit, as the polynomial says. */
static void by_bits(void **state)
{
    (void)state;
    unsigned char bytes[77];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 151 + 7);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        uint32_t crc = UINT32_MAX;
        for (size_t i = 0; i < 8 * size; i++) {
            const uint32_t bit = (crc ^ (uint32_t)bytes[i / 8] >> i % 8) & 1u;
            crc = crc >> 1 ^ (bit ? 0x82f63b78u : 0);
        }
        assert_int_equal(dither_crc32c(bytes, size), ~crc);
    }
}

static uint32_t word_at(const unsigned char *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Masking undone: what the readers do. */
static uint32_t unmasked(uint32_t masked)
{
    const uint32_t rotated = masked - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}

static void records(void **state)
{
    (void)state;
    static const char text[] = "an event of some bytes";
    for (size_t size = 0; size < sizeof text; size++) {
        unsigned char record[DITHER_TFRECORD_HEAD + sizeof text + DITHER_TFRECORD_TAIL + 1];
        memset(record, 0x5a, sizeof record);
        memcpy(record + DITHER_TFRECORD_HEAD, text, size);
        const size_t whole = dither_tfrecord_close(record, size);
        assert_int_equal(whole, 16 + size);
        assert_int_equal(record[whole], 0x5a);
        const unsigned char length[8] = {(unsigned char)size};
        assert_memory_equal(record, length, 8);
        assert_int_equal(unmasked(word_at(record + 8)), dither_crc32c(length, 8));
        assert_memory_equal(record + 12, text, size);
        assert_int_equal(unmasked(word_at(record + 12 + size)), dither_crc32c(text, size));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(by_bits),
        cmocka_unit_test(records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
