package main

import (
	"context"
	"io"
	"maps"
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/proc"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/snapshot"
	"github.com/tcptrace/tcptrace/internal/sysctl"
)

const (
	// surveyEvery is how often namespaces are looked at again.
	surveyEvery = time.Minute
	// surveyFresh is how long sysctls are believed once somebody asks for them.
	surveyFresh = 10 * time.Second
	// surveyRetry is how often one that could not be found is looked for, and
	// surveyTries how many times: by itself, or when somebody asks for it, which
	// may be surveySoon.
	surveyRetry = time.Second
	surveySoon  = 100 * time.Millisecond
	surveyTries = 20
	// maxSurveyed bounds the namespaces that are looked at.
	maxSurveyed = 4096
)

// A survey finds out, for a recording, what no event tells: the names and
// sysctls of network namespaces, and the descriptors that a diagnosis asks for.
// What it answers is what is recorded.
type survey struct {
	recorder *recording.Recorder
	names    *proc.Resolver
	sysctls  *sysctl.Reader
	look     processes
	known    map[uint32]*surveyed
	last     uint32 // of the last event
	due      time.Time
}

type surveyed struct {
	recording.Namespace
	at     time.Time // when it was read
	missed int       // times that it was not found
}

func newSurvey(recorder *recording.Recorder) (*survey, error) {
	names, err := proc.NewResolver(proc.Options{})
	if err != nil {
		return nil, err
	}
	s := &survey{recorder: recorder, names: names, known: map[uint32]*surveyed{}}
	if s.sysctls, err = sysctl.NewReader(diagnose.Sysctls()); err != nil {
		_ = names.Close()
		return nil, err
	}
	return s, nil
}

// Close ends its use.
func (s *survey) Close() error {
	_ = s.look.Close()
	_ = s.sysctls.Close()
	return s.names.Close()
}

// begin looks at every socket that there is, and at the namespaces they are in.
func (s *survey) begin(ctx context.Context, only []uint32, label census.Labeler, stderr io.Writer) (
	spaces []recording.Namespace, people []recording.Process, all *census.Census, err error,
) {
	reader, err := snapshot.Open()
	if err != nil {
		return nil, nil, nil, err
	}
	defer reader.Close()
	if all, err = takeCensus(ctx, reader, s.names, only, stderr); err != nil {
		return nil, nil, nil, err
	}
	seen := map[uint32]bool{}
	for i := range all.Sockets {
		socket := &all.Sockets[i]
		if s.known[socket.ID.NetNS] == nil && len(s.known) < maxSurveyed {
			spaces = append(spaces, s.read(socket.ID.NetNS).Namespace)
		}
		holders := socket.Holders
		if len(holders) == 0 && socket.Owner.Known() {
			holders = []census.Holder{{PID: socket.Owner.PID, UID: socket.Owner.UID, Comm: socket.Owner.Comm}}
		}
		for _, h := range holders {
			if seen[h.PID] {
				continue
			}
			seen[h.PID] = true
			p := recording.Process{Task: event.Task{PID: h.PID, UID: h.UID, Comm: h.Comm}}
			p.Task.Label = label(&p.Task, socket.Time)
			if known, ok := s.names.Process(h.PID, time.Duration(socket.Time)); ok {
				p.Started = known.Start
			}
			people = append(people, p)
		}
	}
	return spaces, people, all, nil
}

// read reads what is known of a namespace now.
func (s *survey) read(netns uint32) *surveyed {
	n := s.known[netns]
	if n == nil {
		n = &surveyed{Namespace: recording.Namespace{NetNS: netns}}
		s.known[netns] = n
	}
	n.at = time.Now()
	found, ok := s.names.NetNS(netns)
	if !ok {
		n.missed++
		return n // what was read of one that is gone meanwhile stands
	}
	if found.Via != proc.NetNSProcess {
		n.Name = found.Name
	}
	s.sysctls.Forget(netns)
	values := map[string]string{}
	for _, name := range diagnose.Sysctls() {
		if value := s.sysctls.Sysctl(netns, name); value != "" {
			values[name] = value
		}
	}
	if len(values) == 0 {
		n.missed++ // who led to it has ended meanwhile
		return n
	}
	n.missed, n.Sysctls, n.Devices = 0, values, s.sysctls.Devices(netns)
	return n
}

// meet takes in that an event is of a namespace.
func (s *survey) meet(netns uint32) {
	if netns == s.last || netns == 0 {
		return
	}
	s.last = netns
	if s.known[netns] == nil && len(s.known) < maxSurveyed {
		s.recorder.Namespace(&s.read(netns).Namespace)
	}
}

// renew looks again, if it is time to.
func (s *survey) renew() {
	now := time.Now()
	if now.Before(s.due) {
		return
	}
	s.due = now.Add(surveyRetry)
	for _, n := range s.known {
		if n.missed > 0 && n.missed < surveyTries || now.Sub(n.at) >= surveyEvery && n.missed == 0 {
			s.reread(n)
		}
	}
}

func (s *survey) reread(n *surveyed) {
	name, sysctls, devices := n.Name, n.Sysctls, n.Devices
	s.read(n.NetNS)
	if n.Name != name || !maps.Equal(n.Sysctls, sysctls) || !maps.Equal(n.Devices, devices) {
		s.recorder.Namespace(&n.Namespace)
	}
}

// Sysctl makes a survey a diagnose.Settings.
func (s *survey) Sysctl(netns uint32, name string) string { return s.fresh(netns).Sysctls[name] }

// Device makes a survey a diagnose.Devices.
func (s *survey) Device(netns uint32, local netip.Addr) string { return s.fresh(netns).Devices[local] }

// fresh returns what is known of a namespace, and was read a moment ago.
func (s *survey) fresh(netns uint32) recording.Namespace {
	s.meet(netns)
	n := s.known[netns]
	if n == nil {
		return recording.Namespace{}
	}
	age := time.Since(n.at)
	if age >= surveyFresh || n.missed > 0 && n.missed < surveyTries && age >= surveySoon {
		s.reread(n)
	}
	return n.Namespace
}

// Forget has the sysctls of a namespace read again when somebody asks for them.
func (s *survey) Forget(netns uint32) {
	if n := s.known[netns]; n != nil {
		n.at = time.Time{}
	}
}

// Descriptors makes a survey a diagnose.Processes.
func (s *survey) Descriptors(pid uint32, each func(socket event.ID, fd uint32)) {
	found := recording.Descriptors{PID: pid}
	s.look.Descriptors(pid, func(socket event.ID, fd uint32) {
		found.Held = append(found.Held, recording.Descriptor{Socket: socket, FD: fd})
	})
	s.recorder.Descriptors(&found)
	for _, d := range found.Held {
		each(d.Socket, d.FD)
	}
}
