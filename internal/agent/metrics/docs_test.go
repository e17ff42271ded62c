package metrics

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/tcptrace/tcptrace/internal/conn"
)

// docs/agent.md names each metric and what is kept free of the budget.
func TestManual_NamesEachMetric(t *testing.T) {
	text, err := os.ReadFile("../../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(text)
	m := newMetrics(t, options())
	var names []string
	for i := range m.families {
		names = append(names, m.families[i].name)
	}
	m.Census(func(func(*conn.Connection) bool) {}, 1, Health{Runs: 1, Load: Load{Limit: 1}})
	all, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if !strings.HasPrefix(f.GetName(), "tcptrace_process_") {
			names = append(names, f.GetName())
		}
	}
	for _, name := range append(names, "tcptrace_findings") {
		if !strings.Contains(manual, "`"+name+"`") {
			t.Errorf("it does not name %s", name)
		}
	}
	for h, words := range map[Histograms]string{Both: "Of these %d are kept free", Native: "`--histograms native` %d)"} {
		want := strings.ReplaceAll(words, "%d", strconv.Itoa(reserve(&m.families, h)))
		if !strings.Contains(manual, want) {
			t.Errorf("it does not say %q", want)
		}
	}
}
