package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// A list is a flag's value that adds up.
type list struct{ to *[]string }

func (l list) Set(s string) error {
	*l.to = append(*l.to, strings.Split(s, ",")...)
	return nil
}
func (l list) String() string { return "" }
func (l list) Type() string   { return "list" }

type settings struct {
	Listen  string
	Series  int
	Labels  []string
	Headers []string
}

func load(t *testing.T, set map[string]string, environment map[string]string, file string) (settings, error) {
	t.Helper()
	var s settings
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.StringVar(&s.Listen, "listen", "127.0.0.1:9435", "")
	fs.IntVar(&s.Series, "max-series", 2000, "")
	fs.Var(list{&s.Labels}, "labels", "")
	fs.Var(list{&s.Headers}, "otlp-headers", "")
	fs.String("port", "", "")
	var names []string
	for name, value := range set {
		names = append(names, name)
		if err := fs.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	l := New(fs, names)
	if err := l.Environment(func(name string) (string, bool) { v, ok := environment[name]; return v, ok }); err != nil {
		return s, err
	}
	name := filepath.Join(t.TempDir(), "agent.yml")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	err := l.File(name)
	if err != nil { // the directory has a new name each time
		return s, errorText(strings.ReplaceAll(err.Error(), name, "agent.yml"))
	}
	return s, nil
}

type errorText string

func (e errorText) Error() string { return string(e) }

const file = `# of every host
listen: ":9435"
max-series: 4000
labels: [role, port, container]
otlp-headers:
  authorization: Bearer abc
`

func TestLayers_CommandLineThenEnvironmentThenFile(t *testing.T) {
	got, err := load(t,
		map[string]string{"listen": "127.0.0.1:1"},
		map[string]string{"TCPTRACE_LISTEN": ":2", "TCPTRACE_MAX_SERIES": "3000", "TCPTRACE_LABELS": ""}, file)
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		Listen: "127.0.0.1:1", Series: 3000, Labels: []string{"role", "port", "container"},
		Headers: []string{"authorization=Bearer abc"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLayers_EmptyFile(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n"} {
		if _, err := load(t, nil, nil, text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Kubernetes makes TCPTRACE_PORT of a service called tcptrace.
func TestLayers_ServiceLinksAreNoSettings(t *testing.T) {
	if _, err := load(t, nil, map[string]string{"TCPTRACE_PORT": "tcp://10.0.0.1:9435", "TCPTRACE_MAX_SERIES": "tcp://10.0.0.1:1"}, ""); err != nil {
		t.Error(err)
	}
}

func TestLayers_Mistakes(t *testing.T) {
	for _, c := range []struct {
		environment map[string]string
		file, want  string
	}{
		{file: "max-serie: 1", want: "agent.yml: line 1: max-serie: no such setting; did you mean max-series?"},
		{file: "colour: 1", want: "agent.yml: line 1: colour: no such setting; the names are those of the flags"},
		{file: "listen: a\nmax-series: many", want: `agent.yml: line 2: max-series: strconv.ParseInt: parsing "many": invalid syntax`},
		{file: "listen: a\nlisten: b", want: "agent.yml: line 2: listen: it is here twice"},
		{file: "labels: [[role]]", want: "agent.yml: line 1: labels: write a list of plain values"},
		{file: "- listen", want: `agent.yml: line 1: write a line for each flag, such as "max-series: 2000"`},
		{file: "listen: [", want: "agent.yml: yaml: line 1: did not find expected node content"},
		{environment: map[string]string{"TCPTRACE_MAX_SERIES": "x"}, want: `TCPTRACE_MAX_SERIES: strconv.ParseInt: parsing "x": invalid syntax`},
	} {
		_, err := load(t, nil, c.environment, c.file)
		if err == nil || err.Error() != c.want {
			t.Errorf("%q: the error is %v, want %s", c.file, err, c.want)
		}
	}
}
