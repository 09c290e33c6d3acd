/* The interface of Perennial's native plugins, version 1. It is frozen: fields are only ever appended, and `size` tells
 * how many there are.
 *
 * - A plugin offers methods: `plugin/init`, `storage/put`, `runtime/plan`, `tools/call` and so on. Parameters and results
 *   are JSON.
 * - Bytes are borrowed. Whoever passes them keeps and frees them; nothing allocated on one side is freed on the other.
 * - A call is known by its id. `complete` is called once for each, on any thread, now or later; the bytes of a call stay
 *   valid until then, the struct that names them only until `call` returns. Whatever else is completed is counted and does
 *   no harm.
 * - Nothing unwinds or jumps across the boundary. A library is never unloaded. */
#ifndef PERENNIAL_H
#define PERENNIAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERENNIAL_MAGIC 0x504552454e4e0001ull
#define PERENNIAL_ABI_MAJOR 1u
#define PERENNIAL_ABI_MINOR 0u

/* What became of a call. */
enum {
  PERENNIAL_OK = 0,             /* `json` is the result */
  PERENNIAL_ERROR = 1,          /* `json` is {"code": …, "message": …, "hint"?, "retryable"?, "data"?} */
  PERENNIAL_PANIC = 2,          /* as an error; the instance is given up and a fresh one takes the next call */
  PERENNIAL_CANCELLED = 3,      /* it was given up because the host asked for that */
  PERENNIAL_UNKNOWN_METHOD = 4
};

/* What `emit` tells. */
enum {
  PERENNIAL_EMIT_LOG = 1,       /* {"level": "warn", "target"?, "message", …}; the call is 0 when it belongs to none */
  PERENNIAL_EMIT_PROGRESS = 2   /* {"done", "total"?, "message"} */
};

/* What a plugin promises. */
enum {
  PERENNIAL_FLAG_PROMPT = 1     /* `call` and `cancel` return at once and may run on several threads at a time. Without it
                                   the host makes them one after the other, on a thread that it keeps for this. */
};

typedef struct perennial_bytes {
  const uint8_t *ptr;
  size_t len;
} perennial_bytes;

/* The host, for as long as the process lives. `ctx` goes into every call of it. */
typedef struct perennial_host {
  uint32_t size, abi_minor;
  void *ctx;
  void (*complete)(void *ctx, uint64_t call, int32_t status, perennial_bytes json, perennial_bytes body);
  void (*emit)(void *ctx, uint64_t call, uint32_t kind, perennial_bytes json);
} perennial_host;

/* `body` is empty unless the manifest says "bodies": true. With a body, `json` is {"value": …, "body": [{"at": [key or
 * index, …], "len": n}, …]}: long texts were taken out of `value` and stand in `body`, one after the other. The same holds
 * for replies, which any plugin may give in this form. */
typedef struct perennial_call {
  uint32_t size, reserved;
  uint64_t id;
  uint64_t timeout_ms;          /* from now; 0 is none */
  perennial_bytes method, json, body;
} perennial_call;

typedef struct perennial_plugin {
  uint64_t magic;
  uint32_t abi_major, abi_minor, size, flags;
  perennial_bytes manifest;                             /* the JSON of the section, see below */
  void *(*create)(const perennial_host *host);          /* an instance; NULL is a failure. On any thread, while others are
                                                           called; it may block */
  void (*call)(void *self, const perennial_call *call);
  void (*cancel)(void *self, uint64_t call);            /* nobody waits any more; it must be completed all the same */
  void (*destroy)(void *self);                          /* once every call has completed, on a thread of its own; the
                                                           `complete` of the last one may not have returned yet */
} perennial_plugin;

#define PERENNIAL_STR(literal) { (const uint8_t *)(literal), sizeof(literal) - 1 }

/* The manifest, to be written once in a file: PERENNIAL_MANIFEST("{\"id\":\"hello\",\"version\":\"1.0.0\",\"provides\":
 * [\"tools\"]}"); It stands in a section of its own, which the host reads before it loads the library. Use
 * PERENNIAL_MANIFEST_BYTES for the descriptor. */
#define PERENNIAL_MANIFEST_HEAD "perennial/1 "
#if defined(__APPLE__)
#define PERENNIAL_SECTION __attribute__((used, section("__DATA,__perennial")))
#elif defined(_WIN32)
#define PERENNIAL_SECTION __attribute__((used, section(".prnnl")))
#else
#define PERENNIAL_SECTION __attribute__((used, section(".perennial")))
#endif
#define PERENNIAL_MANIFEST(json) \
  PERENNIAL_SECTION static const char perennial_manifest[] = PERENNIAL_MANIFEST_HEAD json "\n"
#define PERENNIAL_MANIFEST_BYTES                                                  \
  { (const uint8_t *)perennial_manifest + sizeof(PERENNIAL_MANIFEST_HEAD) - 1,    \
    sizeof(perennial_manifest) - sizeof(PERENNIAL_MANIFEST_HEAD) - 1 }

/* A library exports, for each plugin in it,
 *   const perennial_plugin *perennial_plugin_v1__ID(void);
 * where ID is the plugin's id with `_` for `-`. */
#if defined(_WIN32)
#define PERENNIAL_EXPORT __declspec(dllexport)
#else
#define PERENNIAL_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
}
#endif
#endif
