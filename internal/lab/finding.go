//go:build linux

package lab

import (
	"os"
	"slices"
)

// findingStories are about what "tcptrace why" finds, as far as it is not told
// by the others.
func findingStories() []Story {
	return slices.Concat(leakStories(), stuckStories(), portStories(), queueStories(),
		floodStories(), peerStories(), healthyStories(), firewallStories())
}

// found, ours and theirs do nothing in a story without a rule.

// found notes that a process, by its PID, is the one that the story's rule is
// about, count times. Ours is 0.
func (st *stage) found(pid int, comm string, count int) error {
	if pid == 0 {
		pid = os.Getpid()
		var err error
		if comm, err = ownComm(); err != nil {
			return err
		}
	}
	if st.story.Rule == "" {
		return nil
	}
	st.truth.Finding = &Finding{Rule: st.story.Rule, PID: pid, Comm: comm, Count: count}
	return nil
}

// ours notes that the story's rule is about this process.
func (st *stage) ours(count int) error { return st.found(0, "", count) }

// theirs notes that the story's rule is about the only actor.
func (st *stage) theirs(count int) error {
	p := st.processes[0]
	return st.found(p.pid(), actorComm(p.part), count)
}

// failed notes that a system call failed so many times.
func (st *stage) failed(f Failure) error {
	if f.PID == 0 {
		f.PID = os.Getpid()
		var err error
		if f.Comm, err = ownComm(); err != nil {
			return err
		}
	}
	st.truth.Failures = append(st.truth.Failures, f)
	return nil
}
