// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The table of contents: each program and the function that does its work.
// User space loads only those that this kernel has; see internal/probe.
#include "accept.h"
#include "congestion.h"
#include "drop.h"
#include "failed.h"
#include "minisock.h"
#include "reset.h"
#include "retransmit.h"
#include "state.h"
#include "trampoline.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tt_set_state, const struct sock *sk, int old, int new)
{
	return changed_by_call(ctx, sk, old, new);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tt_set_state_bh, const struct sock *sk, int old, int new)
{
	return changed_by_packet(sk, old, new);
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tt_retrans, const struct sock *sk, const struct sk_buff *skb)
{
	return retransmitted(sk, skb, config.has_retransmit_err ? (int)ctx[2] : 0);
}

SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(tt_synack, const struct sock *sk, const struct request_sock *req)
{
	return synack_retransmitted(req);
}

SEC("tp_btf/tcp_cong_state_set")
int BPF_PROG(tt_cong_state, struct sock *sk, const __u8 ca_state)
{
	return congestion_set(sk, ca_state);
}

SEC("tp_btf/tcp_send_reset")
int BPF_PROG(tt_send_reset, const struct sock *sk, const struct sk_buff *skb)
{
	return reset_sent(sk, skb, config.has_reset_reason ? (int)ctx[2] : 0);
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(tt_recv_reset, struct sock *sk)
{
	return reset_received(sk);
}

SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(tt_read, struct sock *sk)
{
	return socket_read(ctx, sk);
}

SEC("fexit/inet_csk_accept")
int BPF_PROG(tt_f_accept)
{
	return socket_accepted(ctx, accept_result(ctx));
}

SEC("tracepoint/syscalls/sys_exit_accept")
int tt_accept(struct trace_event_raw_sys_exit *ctx)
{
	accept_returned(ctx, ctx->ret);
	return config.sees_calls ? call_returns(ctx->ret) : 0;
}

SEC("tracepoint/syscalls/sys_exit_accept4")
int tt_accept4(struct trace_event_raw_sys_exit *ctx)
{
	accept_returned(ctx, ctx->ret);
	return config.sees_calls ? call_returns(ctx->ret) : 0;
}

SEC("tracepoint/syscalls/sys_enter_accept")
int tt_accepting(struct trace_event_raw_sys_enter *ctx)
{
	return accept_begins(ctx->args[0]);
}

SEC("tracepoint/syscalls/sys_enter_accept4")
int tt_accepting4(struct trace_event_raw_sys_enter *ctx)
{
	return accept_begins(ctx->args[0]);
}

SEC("tracepoint/syscalls/sys_enter_connect")
int tt_connecting(struct trace_event_raw_sys_enter *ctx)
{
	return connect_begins(ctx->args[0], (const struct tt_sockaddr *)ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_exit_connect")
int tt_connect(struct trace_event_raw_sys_exit *ctx)
{
	return call_returns(ctx->ret);
}

SEC("tp_btf/timer_start")
int BPF_PROG(tt_timer_start, struct timer_list *timer)
{
	return timer_started(timer);
}

SEC("tp_btf/timer_cancel")
int BPF_PROG(tt_timer_cancel, struct timer_list *timer)
{
	return timer_detached(timer, ctx);
}

SEC("tp_btf/timer_expire_entry")
int BPF_PROG(tt_timer_expire, struct timer_list *timer)
{
	return timer_expires(timer);
}

SEC("tp_btf/timer_expire_exit")
int BPF_PROG(tt_timer_done, struct timer_list *timer)
{
	return timer_expired(timer);
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(tt_kfree_skb, const struct sk_buff *skb, void *location)
{
	__u32 reason = config.has_drop_reason ? (__u32)ctx[2] : 0;
	const struct sock *receiver = config.has_drop_receiver ? (const struct sock *)ctx[3] : NULL;

	return packet_freed(skb, (__u64)location, reason, receiver);
}

SEC("fentry/tcp_connect")
int BPF_PROG(tt_f_connect, struct sock *sk)
{
	return connect_bound(sk);
}

SEC("fexit/inet_csk_reqsk_queue_hash_add")
int BPF_PROG(tt_f_req_add, struct sock *listener, struct request_sock *req)
{
	return request_added(req, ctx);
}

SEC("fentry/inet_csk_complete_hashdance")
int BPF_PROG(tt_f_req_child, struct sock *listener, struct sock *child)
{
	return request_completed(child);
}

SEC("fentry/inet_csk_reqsk_queue_drop")
int BPF_PROG(tt_f_req_drop, struct sock *listener, struct request_sock *req)
{
	return request_drop(req, ctx);
}

SEC("fentry/inet_csk_reqsk_queue_drop_and_put")
int BPF_PROG(tt_f_req_put, struct sock *listener, struct request_sock *req)
{
	return request_drop_begins(req, ctx);
}

SEC("fexit/inet_csk_reqsk_queue_drop_and_put")
int BPF_PROG(tt_f_req_putx, struct sock *listener, struct request_sock *req)
{
	return request_drop_ends();
}

SEC("fentry/reqsk_timer_handler")
int BPF_PROG(tt_f_req_timer, struct timer_list *timer)
{
	return request_expires(owner_of(timer, struct request_sock, rsk_timer), timer);
}

SEC("fexit/reqsk_timer_handler")
int BPF_PROG(tt_f_req_timerx, struct timer_list *timer)
{
	return request_expired(timer);
}

SEC("fexit/inet_twsk_alloc")
int BPF_PROG(tt_f_tw_made, struct sock *sk, void *death_row, int state,
	     struct inet_timewait_sock *tw)
{
	return timewait_made(sk, state, tw);
}

SEC("fexit/tcp_timewait_state_process")
int BPF_PROG(tt_f_tw_packet, struct inet_timewait_sock *tw)
{
	return timewait_received(tw);
}

SEC("fentry/tw_timer_handler")
int BPF_PROG(tt_f_tw_timer, struct timer_list *timer)
{
	return timewait_expires(timer);
}

SEC("fentry/inet_twsk_kill")
int BPF_PROG(tt_f_tw_kill, struct inet_timewait_sock *tw)
{
	return timewait_killed(tw, ctx);
}

// Run by user space, now and then.
SEC("iter/bpf_map_elem")
int tt_listeners(struct bpf_iter__bpf_map_elem *ctx)
{
	return look_at(ctx);
}

SEC("iter/bpf_map_elem")
int tt_storms(struct bpf_iter__bpf_map_elem *ctx)
{
	return look_at_storm(ctx);
}

// Gives a request socket its cookie, which its child and that child's timewait
// socket inherit. The child of a SYN cookie has none to inherit: it gets one
// here, where the tracing programs cannot make it. This changes nothing else.
SEC("sockops")
int tt_sockops(struct bpf_sock_ops *ops)
{
	if (ops->op == BPF_SOCK_OPS_TIMEOUT_INIT ||
	    (!config.has_cookie_helper && ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB))
		bpf_get_socket_cookie(ops);
	return 1;
}

// Gives every new socket its cookie, on kernels where tracing programs cannot.
SEC("cgroup/sock_create")
int tt_sock(struct bpf_sock *sk)
{
	bpf_get_socket_cookie(sk);
	return 1;
}
