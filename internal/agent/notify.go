package agent

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A notifier tells the service manager how the agent is (sd_notify(3)). Without
// one, NOTIFY_SOCKET is not set and nothing is told.
type notifier struct{ conn net.Conn }

// newNotifier opens the manager's socket, which may be an abstract one.
func newNotifier() (*notifier, error) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return &notifier{}, nil
	}
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("open the service manager's socket: %w", err)
	}
	return &notifier{conn: conn}, nil
}

// tell sends assignments, a line each. That it cannot be sent is no reason to
// end: the manager then acts by itself.
func (n *notifier) tell(lines ...string) {
	if n.conn != nil {
		_, _ = n.conn.Write([]byte(strings.Join(lines, "\n")))
	}
}

// reloading says that a reload has begun; "READY=1" ends it.
func (n *notifier) reloading(now event.Time) {
	n.tell("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(int64(now)/1000, 10))
}

// watchdog returns how often the manager wants to hear of us, or 0.
func watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || us <= 0 {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}
