//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// A turn is one subject's, at one speed.
type turn struct {
	Churn churn         // zero where there was no traffic
	Cost  cost          // meanwhile
	Ready time.Duration // from its start until it traced
	Lost  int           // events, as it says
	Clock float64       // ns that the kernel's clock says of a call that does nothing
}

// clockTime is how much of the time of BPF programs is that of the clock itself.
func (t turn) clockTime() time.Duration { return time.Duration(t.Clock * float64(t.Cost.Calls)) }

// A series is the turns of all subjects at one speed, in the order of rounds.
type series map[string][]turn

// results are what was measured so far. They are kept in a file, so that a long
// measurement can be made in parts.
type results struct {
	Rounds int // played
	Series map[string]series
	Broken map[string]string // subjects that do not run here, and what they say

	before int // rounds played when the results were loaded
}

// load reads results, or begins them where there are none.
func load(file string) (results, error) {
	r := results{Series: map[string]series{}, Broken: map[string]string{}}
	if file == "" {
		return r, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read what was measured before: %w; remove %s to begin again", err, file)
	}
	r.before = r.Rounds
	return r, nil
}

func (r *results) save(file string) error {
	if file == "" {
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// add takes in a round: of each speed the turn of each subject.
func (r *results) add(played map[string]map[string]turn) {
	r.Rounds++
	for name, turns := range played {
		if r.Series[name] == nil {
			r.Series[name] = series{}
		}
		for subject, one := range turns {
			r.Series[name][subject] = append(r.Series[name][subject], one)
		}
	}
}
