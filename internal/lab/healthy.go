//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
)

func healthyStories() []Story {
	return []Story{{
		Name: "healthy",
		Doc: "a busy Go net/http server of which nothing bad can be said: half of the connections are kept alive for 3 requests, " +
			"half are closed by the client first",
		Client:   path(opened, closesSecond),
		Server:   path(accepted, closesFirst),
		Networks: []Network{Loopback, Veth},
		Count:    2003,
		cast:     true,
		sysctls:  [][2]string{unhurt},
		play:     playHealthy,
	}}
}

// A visit is one connection of a healthy client.
type visit struct {
	*pair
	requests    int
	clientFirst bool // to close
}

// playHealthy has a crowd of HTTP clients after the other, of all four kinds,
// whose requests mix.
func playHealthy(ctx context.Context, st *stage) error {
	if err := st.engage(ctx, 1, 1, duty{Part: "http"}); err != nil {
		return err
	}
	for made := 0; made < st.p.N; made += crowd {
		pairs, err := st.approach(ctx, min(crowd, st.p.N-made), "")
		if err != nil {
			return err
		}
		visits := make([]visit, len(pairs))
		for i, pr := range pairs {
			visits[i] = visit{pair: pr, requests: 1 + i%2*2, clientFirst: i/2%2 == 1}
		}
		if err := st.visit(ctx, visits); err != nil {
			return err
		}
	}
	return st.served(ctx)
}

func (st *stage) visit(ctx context.Context, visits []visit) error {
	for made := 0; made < 3; made++ {
		for _, v := range visits {
			if made >= v.requests {
				continue
			}
			keep := "keep-alive"
			if made == v.requests-1 && !v.clientFirst {
				keep = "close"
			}
			if err := v.client.write(fmt.Sprintf("GET / HTTP/1.1\r\nHost: %v\r\nConnection: %s\r\n\r\n", st.serverAddr(), keep)); err != nil {
				return err
			}
		}
		for _, v := range visits {
			if made >= v.requests {
				continue
			}
			if err := st.fetched(ctx, v.pair); err != nil {
				return err
			}
		}
	}
	var served []*pair
	for _, v := range visits {
		if !v.clientFirst {
			served = append(served, v.pair)
			continue
		}
		c := st.ended(v.pair, "fin", "fin")
		c.ClientStates, c.ServerStates = names(path(opened, closesFirst)), names(path(accepted, closesSecond))
		c.TimeWaitCause, c.ClientCloserPID = "netns_exit", os.Getpid()
		if err := v.client.close(); err != nil {
			return err
		}
	}
	return st.farewell(ctx, served)
}
