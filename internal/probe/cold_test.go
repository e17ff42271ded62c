//go:build linux

package probe

import "testing"

// The compiler moves what it thinks unlikely out of a function, here of Linux
// 7.2's, and usually to a lower address. A timer's handler is the function
// itself; a return address may lie in either.
func TestSymbols_ColdPartIsNotTheFunction(t *testing.T) {
	s := parse(t, `ffffffff81293f6f t reqsk_timer_handler.cold
ffffffff81293f93 t inet_csk_reqsk_queue_hash_add.cold
ffffffff8204cda0 t reqsk_timer_handler
ffffffff8204d2f0 T inet_csk_reqsk_queue_hash_add
`)
	if got := s.address(requestHandler); got != 0xffffffff8204cda0 {
		t.Errorf("%s is at %#x, want ffffffff8204cda0", requestHandler, got)
	}
	for _, address := range []uint64{0xffffffff81293f70, 0xffffffff8204cda1} {
		if got := s.at(address); got != requestHandler {
			t.Errorf("%#x lies in %q, want %s", address, got, requestHandler)
		}
	}
}
