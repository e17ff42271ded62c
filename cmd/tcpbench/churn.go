//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// A churn is what the generator has made.
type churn struct {
	Count int
	Rate  float64 `json:"per_second"` // connections
}

// traffic makes connections at the rate, or as many as go where that is 0.
func (b *bench) traffic(ctx context.Context, rate int) (churn, error) {
	var c churn
	cmd := exec.CommandContext(ctx, b.tcplab, "run", "churn", "--duration", b.options.duration.String(), "--rate", strconv.Itoa(rate))
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	text, err := cmd.Output()
	if err != nil {
		return c, fmt.Errorf("tcplab run churn: %w", err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("tcplab run churn: %w", err)
	}
	if c.Count == 0 {
		return c, fmt.Errorf("tcplab run churn made no connection in %v", b.options.duration)
	}
	return c, nil
}

// settled is how long a tracer has before the traffic to end what it begins with:
// to read the sockets that are there, and to let go of what it needed to start.
const settled = time.Second

// drained is how long a tracer has after the traffic to take in what is left.
const drained = 300 * time.Millisecond
