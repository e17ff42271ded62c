package diagnose

import "github.com/tcptrace/tcptrace/internal/conn"

//go:generate go test -run=^TestDocs$ -update .

// A Rule is one kind of diagnosis, and its documentation.
type Rule struct {
	Name     string // as in the finding records; it never changes
	Short    string // one line
	Meaning  string // what it means
	When     string // the thresholds, why they are what they are, and the severities
	Evidence []Term
	Advice   string
	Cost     string // of the advice; "" where it has none
	More     string // the command that shows more; PID stands for the process
	Limits   string // what the rule cannot see

	begin func(e *Engine, r *Rule) watcher
}

// A Term explains a figure of the evidence.
type Term struct{ Name, Meaning string }

// A watcher is a rule at work in one engine.
type watcher interface {
	// wants says which changes it takes in. Most rules look at few of them.
	wants() wants
	// change takes in one change. It must not keep it, nor its connection. It may
	// be one that it did not ask for.
	change(c *conn.Change)
	// tick is called about every second of event time.
	tick()
}

// Rules lists all rules, in the order of the documentation.
func Rules() []*Rule {
	return []*Rule{
		&closeWaitLeak, &finWait2Stuck, &finWait1Stuck, &lastAckStuck, &closingStuck,
		&timeWaitPressure, &ephemeralPortExhaustion, &timeWaitOverflow,
		&fdExhaustion, &acceptQueueOverflow, &synFlood,
		&connectRefused, &connectTimeout, &connectScan, &deadPeer,
		&resetUnreadData, &resetLinger, &resetAfterClose, &resetAborted, &resetByPeer,
		&retransmitStorm, &simultaneousOpen, &simultaneousClose,
	}
}
