// Package lab makes real TCP traffic whose truth is known: each story runs in
// fresh network namespaces of its own and reports, for every connection, the
// addresses, the socket cookies and the exact states that both ends went
// through. Tests hold a tracer against it; demonstrations and benchmarks use
// it as a source of pathologies.
//
// Nothing is simulated. The sockets are the kernel's own on either side; where
// a story needs a segment late, lost, crossed or repeated, the two namespaces
// are joined by a wire (two TUN devices and a relay in this process) that
// does just that to the kernel's own packets.
//
// Stories need root: CAP_SYS_ADMIN for the namespaces and CAP_NET_ADMIN within
// them. The package builds on Linux only.
package lab
