package rules

// The binding compiles, loads and sets variables. The scan itself goes past it,
// for two reasons. It drops libyara's message that a string matched too often
// and that the rest of its matches were not looked at, so that an object that was
// not wholly matched would pass for clean. And it enters Go for every message of
// a scan, and reads the matching rule's tags and metas there each time. The few C
// functions below collect indexes of rules in memory of their own instead; what
// is known of a rule was read when the set was loaded.

// #cgo !yara_no_pkg_config,!yara_static pkg-config: yara
// #cgo !yara_no_pkg_config,yara_static  pkg-config: --static yara
// #cgo yara_no_pkg_config               LDFLAGS:    -lyara -lm
/*
#include <stdlib.h>
#include <string.h>
#include <yara.h>

// hits is what one scan finds. Memory of C, so that no Go pointer is kept there.
typedef struct {
	const char *refused;  // a forbidden module that was imported, or NULL
	uint32_t n, cap;
	uint32_t too_many;    // how many strings matched too often
	uint32_t too_many_in; // the rule of the first of them
	uint32_t rules[];     // indexes of the rules that matched
} hits;

static hits *hits_new(uint32_t cap) {
	hits *h = calloc(1, sizeof(hits) + (size_t)cap * sizeof(uint32_t));
	if (h != NULL)
		h->cap = cap;
	return h;
}

// forbidden are the modules that rules may not import: console writes to the log
// of whoever runs the scan, cuckoo waits for a report that mail never has, and
// magic opens its database, which a worker's walls forbid.
static const char *const forbidden[] = {"console", "cuckoo", "magic", NULL};

static const char *find_forbidden(const char *name) {
	const char *const *f = forbidden;
	while (*f != NULL && strcmp(*f, name) != 0)
		f++;
	return *f;
}

static int on_message(YR_SCAN_CONTEXT *context, int message, void *data, void *user) {
	hits *h = user;
	switch (message) {
	case CALLBACK_MSG_RULE_MATCHING:
		if (h->n == h->cap)
			return CALLBACK_ERROR; // each rule is told once: cannot happen, must not overrun
		h->rules[h->n++] = (uint32_t)((YR_RULE *)data - context->rules->rules_table);
		break;
	case CALLBACK_MSG_TOO_MANY_MATCHES:
		if (h->too_many++ == 0)
			h->too_many_in = ((YR_STRING *)data)->rule_idx;
		break;
	case CALLBACK_MSG_IMPORT_MODULE:
		if (h->refused == NULL)
			h->refused = find_forbidden(((YR_MODULE_IMPORT *)data)->module_name);
		break;
	}
	return CALLBACK_CONTINUE;
}

// scan matches buf. Without NO_TRYCATCH libyara swaps the process's handlers of
// SIGSEGV and SIGBUS around each scan, and concurrent scans put them back in the
// wrong order: then a nil dereference in Go hangs instead of panicking.
static int scan(void *scanner, const uint8_t *buf, size_t size, hits *h) {
	h->refused = NULL;
	h->n = h->too_many = 0;
	yr_scanner_set_callback(scanner, on_message, h);
	yr_scanner_set_flags(scanner, SCAN_FLAGS_FAST_MODE | SCAN_FLAGS_NO_TRYCATCH | SCAN_FLAGS_REPORT_RULES_MATCHING);
	return yr_scanner_scan_mem(scanner, buf, size);
}

// rule_disabled reports libyara's own switch on rule i.
static int rule_disabled(void *rules, uint32_t i) {
	return RULE_IS_DISABLED(&((YR_RULES *)rules)->rules_table[i]) != 0;
}

// rule_chained gives a string of rule i that libyara keeps as a chain of pieces,
// as it does where a hex string jumps further than YR_STRING_CHAINING_THRESHOLD.
static const char *rule_chained(void *rules, uint32_t i) {
	YR_RULE *rule = &((YR_RULES *)rules)->rules_table[i];
	YR_STRING *string;
	yr_rule_strings_foreach(rule, string) {
		if (STRING_IS_CHAIN_PART(string) && !STRING_IS_CHAIN_TAIL(string))
			return string->identifier;
	}
	return NULL;
}

static const char *yara_version(void) { return YR_VERSION; }
*/
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"unsafe"

	"github.com/hillu/go-yara/v4"
)

// chainJump is the length of a jump in a hex string from which libyara keeps the
// string as a chain (YR_STRING_CHAINING_THRESHOLD).
const chainJump = C.YR_STRING_CHAINING_THRESHOLD

// LibyaraVersion names the library that this program was built against.
func LibyaraVersion() string { return C.GoString(C.yara_version()) }

// cptr takes the C pointer out of a *yara.Scanner or *yara.Rules, which keep it to
// themselves. The caller keeps x alive while it uses the pointer.
func cptr(x any) unsafe.Pointer {
	return reflect.ValueOf(x).Elem().FieldByName("cptr").UnsafePointer()
}

// hits is the memory in which a scan collects what matched.
type hits struct{ c *C.hits }

// newHits makes room for each of n rules to match.
func newHits(n int) (hits, error) {
	h := C.hits_new(C.uint32_t(n))
	if h == nil {
		return hits{}, errors.New("libyara: no memory for matches")
	}
	return hits{h}, nil
}

func (h hits) free() { C.free(unsafe.Pointer(h.c)) }

// rules gives the indexes of the rules that matched in the last scan. They are
// valid until the next one.
func (h hits) rules() []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Add(unsafe.Pointer(h.c), C.sizeof_hits)), int(h.c.n))
}

// tooMany reports that some string matched too often in the last scan, and the
// rule that it belongs to.
func (h hits) tooMany() (rule int, yes bool) { return int(h.c.too_many_in), h.c.too_many > 0 }

// refused names the module that a rule imported though it may not, or "".
func (h hits) refused() string { return C.GoString(h.c.refused) }

// scan matches data, which may be empty, and collects in h.
func scan(s *yara.Scanner, data []byte, h hits) error {
	code := C.scan(cptr(s), (*C.uint8_t)(unsafe.SliceData(data)), C.size_t(len(data)), h.c)
	runtime.KeepAlive(s)
	switch code {
	case C.ERROR_SUCCESS:
		return nil
	case C.ERROR_SCAN_TIMEOUT:
		return ErrTimeout
	}
	return fmt.Errorf("libyara: %w", yara.Error(code))
}

// disabled reports whether rule i of r is switched off.
func disabled(r *yara.Rules, i int) bool {
	defer runtime.KeepAlive(r)
	return C.rule_disabled(cptr(r), C.uint32_t(i)) != 0
}

// chained names a string of rule i that is kept as a chain, or "".
func chained(r *yara.Rules, i int) string {
	defer runtime.KeepAlive(r)
	return C.GoString(C.rule_chained(cptr(r), C.uint32_t(i)))
}
