// Package names gives the numbers that events carry the names that the Linux
// kernel gives them. The numbers are Linux's on whatever system this runs: a
// recording is read on others, whose own tables differ.
package names

import "strings"

// caStates is enum tcp_ca_state (include/uapi/linux/tcp.h).
var caStates = [...]string{"Open", "Disorder", "CWR", "Recovery", "Loss"}

// CAState returns the name of a congestion avoidance state, or "".
func CAState(s uint8) string {
	if int(s) < len(caStates) {
		return caStates[s]
	}
	return ""
}

var tcpFlags = [...]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

// TCPFlags spells the flags of a TCP header as tools do: "SYN", "SYN,ACK"; ""
// where none is set.
func TCPFlags(flags uint8) string {
	var set []string
	for i, name := range tcpFlags {
		if flags>>i&1 != 0 {
			set = append(set, name)
		}
	}
	return strings.Join(set, ",")
}
