package diagnose_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/diagnose"
)

var update = flag.Bool("update", false, "write docs/findings.md again")

const docs = "../../docs/findings.md"

const docsHead = `# Findings

<!-- Made of the rules in internal/diagnose by "go generate ./internal/diagnose": change them there. -->

` + "`tcptrace why`" + ` prints findings. A finding is a diagnosis: whose connections, what is wrong with them, why, on which evidence,
what to do about it and what that costs. There is one for each cause, which is told again when its figures have changed,
and it is silent where all is well. ` + "`critical`" + `: connections fail, or soon will. ` + "`warning`" + `: somebody should act.
` + "`info`" + `: worth knowing; text shows it at the end only.

Each rule goes by what the kernel did, not by samples, and by the time of the events: a recording gives the same
findings as the live trace. The sysctls that evidence quotes are those in force in the network namespace concerned. In
JSON the evidence is an object with the names below; those that end in ` + "`_ns`" + ` are nanoseconds.

A finding names the process that the connections belong to; where that is not known, as of a server's connection that
nobody has accepted, the process that listens. Where the other end is on the same host, it names that one's process too.
Of sockets that a process holds it lists the descriptors and, with ` + "`--stacks`" + `, where in its code the process called connect()
or accept() for most of them: the member ` + "`stack`" + ` with ` + "`call`, `functions`" + ` (the innermost first), and ` + "`count`" + ` of ` + "`of`" + ` that were
looked at. Both are asked for as the finding is told; a trace that was read from a recording has no stacks.

`

// The page is what the rules say.
func TestDocs(t *testing.T) {
	var b strings.Builder
	b.WriteString(docsHead + "| rule | when |\n| --- | --- |\n")
	for _, r := range diagnose.Rules() {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", r.Name, r.Name, r.Short)
	}
	b.WriteString("\n")
	for _, r := range diagnose.Rules() {
		fmt.Fprintf(&b, "## %s\n\n", r.Name)
		paragraph(&b, upper(r.Short)+". "+r.Meaning)
		paragraph(&b, "**When.** "+r.When)
		b.WriteString("| evidence | |\n| --- | --- |\n")
		for _, term := range r.Evidence {
			fmt.Fprintf(&b, "| `%s` | %s |\n", term.Name, term.Meaning)
		}
		b.WriteString("\n")
		paragraph(&b, "**Do.** "+r.Advice)
		if r.Cost != "" {
			paragraph(&b, "**Cost.** "+r.Cost)
		}
		paragraph(&b, "**More.** `"+r.More+"`")
		if r.Limits != "" {
			paragraph(&b, "**Limits.** "+r.Limits)
		}
	}
	got := strings.TrimRight(b.String(), "\n") + "\n"
	if *update {
		if err := os.WriteFile(docs, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("docs/findings.md is not what the rules say; remedy: go generate ./internal/diagnose (-page +rules):\n%s", diff)
	}
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// paragraph writes text in lines of at most 120 characters, and an empty one.
func paragraph(b *strings.Builder, text string) {
	used := 0
	for _, word := range strings.Fields(text) {
		switch {
		case used == 0:
		case used+1+len(word) > 120:
			b.WriteString("\n")
			used = 0
		default:
			b.WriteString(" ")
			used++
		}
		b.WriteString(word)
		used += len(word)
	}
	b.WriteString("\n\n")
}
