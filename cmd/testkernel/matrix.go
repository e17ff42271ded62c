package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A matrix is a run over several kernels.
type matrix struct {
	options  *options
	programs []string
	images   []*image
	missed   []string // kernels that could not be fetched
	ports    []*port  // of arm64
	began    time.Time
	results  []*results // in the order of images, then this host's
	mu       sync.Mutex // for output
}

func (m *matrix) logf(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Printf("%s "+format+"\n", append([]any{time.Now().UTC().Format("15:04:05")}, args...)...)
}

// fetch brings the kernels. Where one cannot be had today, the one of an
// earlier run is as good; without either the kernel is left out, loudly. It
// returns an error if none is left.
func (m *matrix) fetch(ctx context.Context, wanted []kernel) error {
	images, errs := make([]*image, len(wanted)), make([]error, len(wanted))
	var wg sync.WaitGroup
	for i, k := range wanted {
		wg.Go(func() { images[i], errs[i] = fetch(ctx, k, m.options.cache) })
	}
	wg.Wait()
	for i, k := range wanted {
		img, err := images[i], errs[i]
		if err != nil && img == nil {
			if img = cached(k, m.options.cache); img != nil {
				m.logf("!!! KERNEL %s: not fetched, the one of an earlier run is used: %v", k.name, err)
			}
		}
		if img == nil {
			m.missed = append(m.missed, k.name)
			m.logf("!!! KERNEL %s WAS NOT FETCHED, AND IS NOT TESTED: %v", k.name, err)
			continue
		}
		m.images = append(m.images, img)
	}
	if len(m.images) == 0 {
		return errors.New("no kernel could be fetched")
	}
	return nil
}

// run boots the kernels, so many at a time, and then runs the same on this host.
func (m *matrix) run(ctx context.Context) {
	m.results = make([]*results, len(m.images))
	free := make(chan struct{}, max(1, m.options.jobs))
	var wg sync.WaitGroup
	if m.options.run == "" {
		wg.Go(func() { m.port(ctx) })
	}
	for i, img := range m.images {
		m.results[i] = newResults(img.kernel.name)
		free <- struct{}{} // here, so that they begin in their order
		wg.Go(func() {
			defer func() { <-free }()
			m.one(m.results[i], func() error { return m.boot(ctx, img, m.results[i]) })
		})
	}
	wg.Wait()
	if m.options.native {
		r := newResults(thisHost)
		m.results = append(m.results, r)
		m.one(r, func() error { return m.native(ctx, r) })
	}
}

// one runs a kernel's script and says how it went.
func (m *matrix) one(r *results, run func() error) {
	began := time.Now()
	m.logf("%s: begins", r.name)
	if err := run(); err != nil {
		r.broken = append(r.broken, err.Error())
		m.logf("%s: %v", r.name, err)
	}
	for _, which := range modes {
		if r.absent[which] {
			m.logf("%s (%s): has no %s", r.name, r.release, which)
			continue
		}
		m.logf("%s (%s) by %s: %d passed, %d failed, %d skipped", r.name, r.release, which,
			r.count(which, pass), r.count(which, fail), r.count(which, skip))
	}
	for _, name := range r.twice {
		m.logf("%s: failed once and was run again: %s", r.name, name)
	}
	r.took = time.Since(began)
	m.logf("%s: %.0f s, of them %s", r.name, r.took.Seconds(), r.spent())
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, line := range r.fails {
		fmt.Printf("    %s: %s\n", r.name, line)
	}
}

func (m *matrix) boot(ctx context.Context, img *image, r *results) error {
	g := &guest{
		image: img, programs: m.programs, script: script(m.options), dir: m.options.cache, limit: m.options.limit,
		log: func(format string, args ...any) { m.logf(r.name+": "+format, args...) },
	}
	return g.run(ctx, r.add)
}

// native runs the script on this host.
func (m *matrix) native(ctx context.Context, r *results) error {
	ctx, cancel := context.WithTimeout(ctx, busy*m.options.limit)
	defer cancel()
	_, functions, _ := strings.Cut(string(initScript), "# --- the script's own ---\n")
	functions, _, _ = strings.Cut(functions, "# --- of a guest ---\n")
	cmd := exec.CommandContext(ctx, "sh", "-c", "results=/dev/stdout\n"+functions+script(m.options)+"\necho @done\n")
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(m.programs[0])+":"+os.Getenv("PATH"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for scan := bufio.NewScanner(out); scan.Scan(); {
		r.add(scan.Text())
	}
	return cmd.Wait()
}

// judge says what is wrong with the results: whole says that all kernels were
// asked for.
func (m *matrix) judge(whole bool) error {
	var problems []string
	problems = append(problems, m.misfits()...)
	for _, r := range m.results {
		for _, which := range modes {
			if n := r.count(which, fail); n > 0 {
				problems = append(problems, fmt.Sprintf("%s by %s: %d tests failed", r.name, which, n))
			}
			if missing := m.unplayed(r, which); len(missing) > 0 && !r.absent[which] {
				problems = append(problems, fmt.Sprintf("%s by %s: did not begin: %s", r.name, which, strings.Join(missing, ", ")))
			}
			if r.absent[which] && r.name != thisHost {
				problems = append(problems, fmt.Sprintf("%s: doctor finds no %s, which this kernel has", r.name, which))
			}
		}
		for _, host := range []mode{hiddenTimers, unprivileged} {
			if missing := m.unplayed(r, host); len(missing) > 0 {
				problems = append(problems, fmt.Sprintf("%s, %s: did not begin: %s", r.name, host, strings.Join(missing, ", ")))
			}
		}
		for _, what := range r.broken {
			problems = append(problems, r.name+": "+what)
		}
	}
	if whole && len(m.missed) == 0 {
		problems = append(problems, m.ranNowhere()...)
	}
	over, err := m.overBudget()
	if err != nil {
		return err
	}
	switch {
	case m.options.write == "":
	case len(problems) > 0 || len(m.missed) > 0:
		m.logf("%s is left as it is: it is written of one run in which all passed", m.options.write)
	default:
		if err := m.write(); err != nil {
			return err
		}
	}
	problems = append(problems, over...)
	for _, name := range m.missed {
		m.logf("!!! KERNEL %s WAS NOT TESTED", name)
	}
	for _, p := range problems {
		m.logf("FAIL %s", p)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%d problems", len(problems))
	}
	return nil
}

// unplayed names the tests that a kernel should have begun and did not.
func (m *matrix) unplayed(r *results, which mode) (missing []string) {
	for _, name := range m.options.planned(which) {
		if r.tests[which][name] == nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// ranNowhere names the tests that every kernel skipped in every way.
func (m *matrix) ranNowhere() []string {
	ran, skipped := map[string]bool{}, map[string]string{}
	for _, r := range m.results {
		for _, tests := range r.tests {
			for name, t := range tests {
				ran[name] = ran[name] || t.verdict != skip
				if t.verdict == skip {
					skipped[name] = t.why
				}
			}
		}
	}
	var problems []string
	for name, why := range skipped {
		if !ran[name] {
			problems = append(problems, fmt.Sprintf("%s ran nowhere: %s", name, why))
		}
	}
	return problems
}
