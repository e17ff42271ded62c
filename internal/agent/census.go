package agent

import (
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
)

// census counts the open sockets, if a scrape waits for that or it has not been
// done for long. However many scrape, it takes only so much of the time.
func (a *Agent) census(now event.Time) {
	if now < a.rest {
		return
	}
	a.mu.Lock()
	waiting := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	if len(waiting) == 0 && a.counted != 0 && now.Sub(a.counted) < censusEvery {
		return
	}
	a.metering.Findings(a.engine.Findings())
	health := a.watched.Health()
	a.governed.describe(&health.Load)
	a.metering.Census(a.watched.Open, now, health)
	ended := a.watched.Now()
	a.counted, a.rest = now, ended.Add(censusShare*ended.Sub(now))
	for _, w := range waiting {
		close(w)
	}
}

// gather waits for a census, but not for long.
func (a *Agent) gather() {
	w := make(chan struct{})
	a.mu.Lock()
	a.waiting = append(a.waiting, w)
	a.mu.Unlock()
	select {
	case <-w:
	case <-time.After(gatherWait):
		a.mu.Lock()
		defer a.mu.Unlock()
		for i := range a.waiting {
			if a.waiting[i] == w {
				a.waiting = append(a.waiting[:i], a.waiting[i+1:]...)
				return
			}
		}
	}
}
