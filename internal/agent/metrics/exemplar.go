package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tcptrace/tcptrace/internal/conn"
)

// exemplarEvery is the least time between two exemplars of one bucket: making
// one costs more than counting.
const exemplarEvery = time.Second

// tells reports whether the bucket is to get an exemplar: c has a connection, and
// the last one was not a moment ago.
func (x *child) tells(bucket int, c *conn.Change) bool {
	if c.Conn == nil || c.Conn.ID.Cookie == 0 {
		return false
	}
	if last := x.told[bucket]; last != 0 && c.Time.Sub(last) < exemplarEvery {
		return false
	}
	x.told[bucket] = c.Time
	return true
}

// exemplarLabels name the connection of c, as "ss -e" does behind sk:.
func exemplarLabels(c *conn.Change) prometheus.Labels {
	return prometheus.Labels{
		"conn":  strconv.FormatUint(c.Conn.ID.Cookie, 16),
		"netns": strconv.FormatUint(uint64(c.Conn.ID.NetNS), 10),
	}
}
