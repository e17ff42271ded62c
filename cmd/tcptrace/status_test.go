//go:build unix

package main

import (
	"os"
	"testing"
)

// "tcptrace assert ... | head -1" may have nobody left to read its verdict, and
// a pipeline that looks at the status is told all the same.
func TestAssert_FailsWithoutAReader(t *testing.T) {
	const lab = "../../internal/recording/testdata/v1.ttr"
	for assertion, want := range map[string]int{"no resets": exitFailed, "connections >= 1": exitOK} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if got := run([]string{"assert", assertion, "--from", lab}, w, os.Stderr); got != want {
			t.Errorf("%s: exit status %d, want %d", assertion, got, want)
		}
		w.Close()
	}
}
