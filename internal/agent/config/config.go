// Package config sets flags from the environment and from a file, so that the
// command line, the environment and the file know the same names and the same
// values.
package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/tcptrace/tcptrace/internal/suggest"
)

// Prefix begins the name of a variable of the environment.
const Prefix = "TCPTRACE_"

// Layers are where a flag's value can come from: the first that has one counts.
type Layers struct {
	fs   *pflag.FlagSet
	done map[string]bool // flags that an earlier layer has set
}

// New returns layers over flags, of which those that the command line has set
// stay as they are: set has their names.
func New(fs *pflag.FlagSet, set []string) *Layers {
	l := &Layers{fs: fs, done: map[string]bool{}}
	for _, name := range set {
		l.done[name] = true
	}
	return l
}

// Variable returns the name of a flag's variable: TCPTRACE_MAX_SERIES for
// max-series.
func Variable(flag string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Environment sets the flags that no earlier layer has set from the variables
// that lookup knows. A variable that is empty is as one that is not set.
func (l *Layers) Environment(lookup func(string) (string, bool)) error {
	var errs []error
	l.fs.VisitAll(func(f *pflag.Flag) {
		value, ok := lookup(Variable(f.Name))
		if !ok || value == "" || l.done[f.Name] || isServiceLink(value) {
			return
		}
		l.done[f.Name] = true
		if err := l.fs.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", Variable(f.Name), cause(err)))
		}
	})
	return errors.Join(errs...)
}

// isServiceLink reports whether Kubernetes has made the variable, which it does
// for each service of the namespace: TCPTRACE_PORT for one called tcptrace.
func isServiceLink(value string) bool { return strings.HasPrefix(value, "tcp://") }

// File sets the flags that no earlier layer has set from a YAML file: a mapping
// whose keys are the flags' names. A list, and a mapping, stand for what the
// flag takes with commas between.
func (l *Layers) File(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(root.Content) == 0 { // empty, or comments alone
		return nil
	}
	top := root.Content[0]
	if top.Tag == "!!null" {
		return nil
	}
	if top.Kind != yaml.MappingNode {
		return fmt.Errorf("%s: line %d: write a line for each flag, such as \"max-series: 2000\"", name, top.Line)
	}
	var errs []error
	seen := map[string]bool{}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key := top.Content[i]
		switch {
		case seen[key.Value]:
			err = errors.New("it is here twice")
		default:
			err = l.set(key.Value, top.Content[i+1])
		}
		seen[key.Value] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: line %d: %s: %w", name, key.Line, key.Value, err))
		}
	}
	return errors.Join(errs...)
}

func (l *Layers) set(key string, node *yaml.Node) error {
	if l.fs.Lookup(key) == nil {
		var names []string
		l.fs.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if meant := suggest.Closest(key, names); meant != "" {
			return fmt.Errorf("no such setting; did you mean %s?", meant)
		}
		return errors.New("no such setting; the names are those of the flags")
	}
	value, err := flatten(node)
	if err != nil || l.done[key] {
		return err
	}
	l.done[key] = true
	return cause(l.fs.Set(key, value))
}

// flatten spells a value as its flag takes it.
func flatten(node *yaml.Node) (string, error) {
	switch node.Kind {
	case yaml.AliasNode:
		return flatten(node.Alias)
	case yaml.ScalarNode:
		return node.Value, nil
	case yaml.SequenceNode:
		var parts []string
		for _, n := range node.Content {
			if n.Kind != yaml.ScalarNode {
				return "", errors.New("write a list of plain values")
			}
			parts = append(parts, n.Value)
		}
		return strings.Join(parts, ","), nil
	case yaml.MappingNode:
		var parts []string
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i+1].Kind != yaml.ScalarNode {
				return "", errors.New("write plain values")
			}
			parts = append(parts, node.Content[i].Value+"="+node.Content[i+1].Value)
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("write a plain value, or a list")
}

// cause leaves out what pflag says of the command line.
func cause(err error) error {
	if invalid := new(pflag.InvalidValueError); errors.As(err, &invalid) {
		return invalid.Unwrap()
	}
	return err
}
