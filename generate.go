// Package tcptrace is the module's root. It holds no code; it says what is
// generated, and from what.
package tcptrace

//go:generate go tool bpf2go -go-package bpf -output-dir internal/bpf -output-stem tcptrace -output-suffix= -target bpfel -type tt_kind -type tt_cause -type tt_flag -type tt_reset_fact -type tt_memory -type tt_head -type tt_task -type tt_transition -type tt_isn -type tt_handshake -type tt_request_end -type tt_timewait_begin -type tt_timewait_end -type tt_retransmit -type tt_reset -type tt_totals -type tt_closed -type tt_drop -type tt_queue -type tt_op -type tt_failed -type tt_counts -type tt_storm_told -type tt_storm_key -type tt_storm -type tt_stack Tcptrace bpf/tcptrace.bpf.c -- -O2 -g -mcpu=v3 -Wall -Werror -fdebug-prefix-map=${PWD}=.

//go:generate go tool bpf2go -go-package bpf -output-dir internal/bpf -output-stem snapshot -output-suffix= -target bpfel -type tt_object -type tt_timer -type tt_socket_flag -type tt_socket -type tt_holder Snapshot bpf/snapshot.bpf.c -- -O2 -g -mcpu=v3 -Wall -Werror -fdebug-prefix-map=${PWD}=.

//go:generate go tool bpf2go -go-package bpf -output-dir internal/bpf -output-stem handlers -output-suffix= -target bpfel Handlers bpf/handlers.bpf.c -- -O2 -g -mcpu=v3 -Wall -Werror -fdebug-prefix-map=${PWD}=.
