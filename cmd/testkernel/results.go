package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Verdicts on a test, as go test spells them.
const (
	pass = "PASS"
	fail = "FAIL"
	skip = "SKIP"
)

// A mode is a way of seeing minisockets: see tcptrace's --hooks.
type mode string

var modes = []mode{"fentry", "timers"}

// A capability is a line of "tcptrace doctor".
type capability struct {
	Type, Name, Grade, Lost string
}

// A test is what became of one, by its full name.
type test struct {
	verdict string
	why     string // the last thing that it said
}

// Results are what one kernel showed.
type results struct {
	name    string // of the kernel
	release string // as uname says
	tests   map[mode]map[string]*test
	doctor  map[mode][]capability
	// verified counts the instructions that the verifier walked, by program.
	verified map[string]int
	cost     map[mode][]float64 // ns that the programs take for a connection, in turn
	absent   map[mode]bool      // ways that this kernel does not have
	broken   []string           // suites that ended badly or not at all
	suites   []timed            // in their order
	twice    []string           // tests that failed once, and are run once more
	took     time.Duration      // by this host's clock, the boot included

	suite suite
	begun float64
	test  string              // that speaks
	again string              // the test that is run once more
	logs  map[string][]string // of the suite, by test; "" is none
	fails []string            // what failed tests printed
}

// A suite is a run of one program for one mode.
type suite struct {
	name string
	mode mode
}

// A timed suite has run.
type timed struct {
	suite
	seconds float64 // by the guest's clock
}

// spent says which suites took long.
func (r *results) spent() string {
	const long = 10
	var words []string
	for _, s := range r.suites {
		if s.seconds >= long {
			words = append(words, fmt.Sprintf("%v %.0f s", s.suite, s.seconds))
		}
	}
	return strings.Join(words, ", ")
}

// thisHost is the name of the kernel that was not booted.
const thisHost = "this host"

// label is the kernel's name in the table: of this host's, the version alone.
func (r *results) label() string {
	if r.name != thisHost {
		return r.name
	}
	version, _, _ := strings.Cut(r.release, "-")
	if parts := strings.SplitN(version, ".", 3); len(parts) == 3 {
		version = parts[0] + "." + parts[1]
	}
	return version + " (native)"
}

func newResults(name string) *results {
	r := &results{
		name: name, tests: map[mode]map[string]*test{}, doctor: map[mode][]capability{},
		verified: map[string]int{}, cost: map[mode][]float64{}, absent: map[mode]bool{}, logs: map[string][]string{},
	}
	for _, m := range modes {
		r.tests[m] = map[string]*test{}
	}
	return r
}

var (
	verdictLine  = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+) \(`)
	verifiedLine = regexp.MustCompile(`verified (tt_\w+): (\d+) instructions`)
	costLine     = regexp.MustCompile(`([0-9.e+]+) BPF-ns/conn`)
	sourceLine   = regexp.MustCompile(`^\s+\w+\.go:\d+: `)
)

// add takes a line of a guest's.
func (r *results) add(line string) {
	if strings.HasPrefix(line, "@") {
		r.control(strings.Fields(line))
		return
	}
	if r.suite.name == "doctor" {
		var c capability
		if json.Unmarshal([]byte(line), &c) == nil && c.Type == "capability" {
			r.doctor[r.suite.mode] = append(r.doctor[r.suite.mode], c)
			return
		}
	}
	if m := costLine.FindStringSubmatch(line); m != nil {
		ns, _ := strconv.ParseFloat(m[1], 64)
		r.cost[r.suite.mode] = append(r.cost[r.suite.mode], ns)
	}
	if m := verifiedLine.FindStringSubmatch(line); m != nil {
		r.verified[m[1]], _ = strconv.Atoi(m[2]) // digits only
	}
	switch m := verdictLine.FindStringSubmatch(line); {
	case m != nil:
		r.judged(m[1], m[2])
	case strings.HasPrefix(line, "=== "):
		if words := strings.Fields(line); len(words) == 3 { // RUN, PAUSE, CONT or NAME, and whose lines follow
			r.test = words[2]
		}
	default:
		r.logs[r.test] = append(r.logs[r.test], line)
	}
}

// maxFails bounds what is printed of failed tests.
const maxFails = 200

// judged takes note of a test's end. With -test.v its log comes before, and its
// verdict behind that of the test which it is part of.
func (r *results) judged(verdict, name string) {
	t := &test{verdict: verdict}
	tests := r.tests[r.suite.mode]
	if tests == nil { // of a host that allows less
		tests = map[string]*test{}
		r.tests[r.suite.mode] = tests
	}
	for _, line := range r.logs[name] {
		if place := sourceLine.FindString(line); place != "" {
			t.why = strings.TrimPrefix(line, place)
		}
	}
	if verdict == fail && len(r.fails) < maxFails {
		r.fails = append(append(r.fails, r.suite.String()+" "+name), r.logs[name]...)
	}
	if before := tests[name]; before == nil || before.verdict == skip || r.isAgain(name) {
		tests[name] = t
	}
}

// isAgain says whether the test, or one that it holds, is run once more.
func (r *results) isAgain(name string) bool {
	return r.again == name || strings.HasPrefix(r.again, name+"/")
}

// control takes a line of the script's own.
func (r *results) control(words []string) {
	if len(words) < 2 {
		return
	}
	switch words[0] {
	case "@kernel":
		r.release = words[1]
	case "@absent":
		r.absent[mode(words[1])] = true
	case "@again":
		r.again = words[1]
		r.twice = append(r.twice, r.suite.String()+" "+r.again)
	case "@begin":
		r.again = ""
		name, m, _ := strings.Cut(words[1], "/")
		r.suite, r.test, r.logs = suite{name, mode(m)}, "", map[string][]string{}
		r.begun, _ = strconv.ParseFloat(words[2], 64) // of /proc/uptime
	case "@end":
		if words[2] != "0" {
			r.broken = append(r.broken, words[1])
			if r.test == "" && len(r.fails) < maxFails { // no test failed but the program did
				r.fails = append(append(r.fails, r.suite.String()), r.logs[""]...)
			}
		}
		end, _ := strconv.ParseFloat(words[3], 64)
		r.suites = append(r.suites, timed{r.suite, end - r.begun})
		r.suite = suite{}
	}
}

func (s suite) String() string { return s.name + "/" + string(s.mode) }

// count returns how many tests, not those that hold others, had the verdict.
func (r *results) count(m mode, verdict string) (n int) {
	for name, t := range r.tests[m] {
		if t.verdict == verdict && !r.holds(m, name) {
			n++
		}
	}
	return n
}

// holds says whether a test has others in it.
func (r *results) holds(m mode, name string) bool {
	for other := range r.tests[m] {
		if strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}
