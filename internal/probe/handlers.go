//go:build linux

package probe

import "fmt"

// handlers are the addresses of the kernel functions that run when our timers run
// out (kernel/time/timer.c), by which the hooks of timers tell ours from those of
// others.
type handlers struct {
	timewait, request, write uint64
}

// timerHandlers finds out the addresses, or why they are not known: where kallsyms
// shows none, of sockets of our own, when it is first asked.
func (k *kernel) timerHandlers() (handlers, error) {
	if k.hidden == nil {
		return handlers{
			timewait: k.symbols.address(timewaitHandler),
			request:  k.symbols.address(requestHandler),
			write:    k.symbols.address(writeHandler),
		}, nil
	}
	if k.learnt == nil {
		k.learnt = &learnt{}
		if k.learnt.handlers, k.learnt.err = k.learn(); k.learnt.err != nil {
			k.learnt.err = fmt.Errorf("%w, and sockets of our own did not show them: %w", k.hidden, k.learnt.err)
		}
	}
	return k.learnt.handlers, k.learnt.err
}

// withTimers says whether our timers can be told from those of others.
func withTimers(k *kernel) error {
	_, err := k.timerHandlers()
	return err
}

// learnt is what became of learning the addresses.
type learnt struct {
	handlers
	err error
}

// learn reads the addresses of a connection of our own, in a network namespace
// made for it; where none can be made, on the loopback of ours.
func (k *kernel) learn() (handlers, error) {
	if k.untyped != nil {
		return handlers{}, k.untyped
	}
	var h handlers
	err := inEmptyNamespace(func() (err error) {
		h, err = k.learnHere()
		return err
	})
	if err == nil {
		return h, nil
	}
	return k.learnHere()
}
