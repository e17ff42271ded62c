package member

import (
	"encoding/json"
	"testing"
)

// FuzzAppendString holds AppendString against encoding/json: a decoder sees
// the same text, and no byte of it can be taken for a control character.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{
		"", "nginx", `a"b\c`, "\x1b[31mx", "\x00\x7f\x80", "\u2028\u2029\u202e", "\xff\xfe", "日本語", "\U0001f600\U000e0001", "\u009b31m",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		ours := AppendString(nil, string(s))
		theirs, err := json.Marshal(string(s))
		if err != nil {
			t.Fatal(err)
		}
		var got, want string
		if err := json.Unmarshal(ours, &got); err != nil {
			t.Fatalf("%q: %v", ours, err)
		}
		if err := json.Unmarshal(theirs, &want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", ours, got, want)
		}
		for _, r := range string(ours) {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e {
				t.Errorf("%q holds the control character %U", ours, r)
			}
		}
	})
}
