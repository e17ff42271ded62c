package screen

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

// Each list, and what Enter shows of each, in the sizes that there are.
func TestPictures(t *testing.T) {
	for name, keys := range map[string]string{
		"findings": "1", "connections": "2", "processes": "3", "peers": "4", "resets": "5", "retransmits": "6", "listeners": "7",
		"finding": "1 enter", "finding-connection": "1 enter enter", "connection": "2 s s s enter", "timeline": "3 enter",
		"process-connections": "3 enter enter", "peer": "4 enter", "reset": "5 enter", "retransmit": "6 enter", "listener": "7 enter",
		"help": "?",
	} {
		t.Run(name, func(t *testing.T) {
			h := busy(t, 80, 24)
			h.key(strings.Fields(keys)...)
			golden(t, name+"-80x24", h.text())
		})
	}
	for size, at := range map[string][2]int{"40x12": {40, 12}, "300x60": {300, 60}} {
		t.Run(size, func(t *testing.T) {
			h := busy(t, at[0], at[1])
			var all strings.Builder
			for _, keys := range []string{"1", "2", "3", "5", "7", "1 enter", "3 enter", "2 enter"} {
				h.key(strings.Fields(keys)...)
				all.WriteString("--- " + keys + "\n" + h.text())
			}
			golden(t, "all-"+size, all.String())
		})
	}
}
