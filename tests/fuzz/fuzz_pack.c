/* Rows of event_outbox: no bytes make the reader leave them, and what is sealed comes out. */
#include "fuzz.h"
#include "worker/pack.h"

static void touch(Buf *to, Str s)
{
    buf_add_str(to, s);
    buf_clear(to);
}

static void promise_readable(Str pack)
{
    cleanup(buf_free) Buf copy = {0};
    PackedEvent event;
    size_t at = 0;

    while (pack_next(pack, &at, &event) > 0) {
        PROMISE(at <= pack.len && event.n_headers <= ARRAY_SIZE(event.headers));
        touch(&copy, event.topic);
        touch(&copy, event.key);
        touch(&copy, event.value);
        for (size_t i = 0; i < event.n_headers; i++) {
            touch(&copy, event.headers[i].name);
            touch(&copy, event.headers[i].value);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(buf_free) Buf raw = {0}, sealed = {0}, back = {0};
    Str stored = fuzz_input(&block, data, size);

    promise_readable(stored);
    if (pack_unseal(&raw, stored) != 0)
        return 0;
    promise_readable(buf_str(&raw));
    if (raw.len >= 4 && memcmp(raw.data, "\xff\xff\xff\xff", 4) == 0) /* which no pack begins with */
        return 0;
    pack_seal(&sealed, buf_str(&raw));
    PROMISE(pack_unseal(&back, buf_str(&sealed)) == 0 && str_eq(buf_str(&back), buf_str(&raw)));
    return 0;
}
