package audit

// A Counter is one of the kernel's that tcptrace counts as well.
type Counter uint8

// In the order in which they are shown. The first seven are Tcp's, of
// /proc/net/snmp; the others TcpExt's, of /proc/net/netstat.
const (
	ActiveOpens Counter = iota
	PassiveOpens
	AttemptFails
	EstabResets
	CurrEstab // a gauge: its change is compared
	RetransSegs
	OutRsts

	TW
	TWRecycled
	TWKilled
	ListenOverflows
	ListenDrops
	TCPTimeouts
	TCPLossProbes
	TCPSynRetrans
	TCPAbortOnData
	TCPAbortOnClose
	TCPAbortOnTimeout
	TCPAbortOnLinger
	TCPAbortOnMemory
	TCPTimeWaitOverflow

	// NumCounters is one more than the largest Counter.
	NumCounters
)

// These are read only for what they tell of a difference.
const (
	retransFail Counter = NumCounters + iota // sends that failed: no event before Linux 6.18
	abortFailed                              // a RST counted, for which there was no memory
	numRead
)

var counterNames = [numRead]string{
	ActiveOpens: "ActiveOpens", PassiveOpens: "PassiveOpens", AttemptFails: "AttemptFails",
	EstabResets: "EstabResets", CurrEstab: "CurrEstab", RetransSegs: "RetransSegs", OutRsts: "OutRsts",
	TW: "TW", TWRecycled: "TWRecycled", TWKilled: "TWKilled",
	ListenOverflows: "ListenOverflows", ListenDrops: "ListenDrops",
	TCPTimeouts: "TCPTimeouts", TCPLossProbes: "TCPLossProbes", TCPSynRetrans: "TCPSynRetrans",
	TCPAbortOnData: "TCPAbortOnData", TCPAbortOnClose: "TCPAbortOnClose", TCPAbortOnTimeout: "TCPAbortOnTimeout",
	TCPAbortOnLinger: "TCPAbortOnLinger", TCPAbortOnMemory: "TCPAbortOnMemory",
	TCPTimeWaitOverflow: "TCPTimeWaitOverflow",

	retransFail: "TCPRetransFail", abortFailed: "TCPAbortFailed",
}

// String returns the counter's name as the kernel spells it.
func (c Counter) String() string { return counterNames[c] }

// Counters lists the counters in the order in which they are shown.
func Counters() []Counter {
	all := make([]Counter, NumCounters)
	for i := range all {
		all[i] = Counter(i)
	}
	return all
}
