package render_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/audit"
	"github.com/tcptrace/tcptrace/internal/render"
)

func TestAppendAudit(t *testing.T) {
	report := &audit.Report{Spaces: []audit.Space{
		{
			Reading: audit.Reading{NetNS: 4026531840, Name: "host"},
			Lines: []audit.Line{
				{Counter: audit.ActiveOpens, Tcptrace: 211, Kernel: 211},
				{Counter: audit.CurrEstab, Tcptrace: -3, Kernel: -1, Less: 1, More: 2, Why: []string{"it happened as the kernel's figures were read"}},
				{Counter: audit.OutRsts, Tcptrace: 1000, Kernel: 990},
			},
		},
		{Reading: audit.Reading{NetNS: 4026532177}, Lines: []audit.Line{{Counter: audit.ActiveOpens}}},
		{
			Reading: audit.Reading{NetNS: 4026532178, Name: "\x1b[2J"}, New: true,
			Lines: []audit.Line{{Counter: audit.TW, Tcptrace: 1, Kernel: 1}},
		},
	}}
	const want = `NETNS 4026531840 host
COUNTER       TCPTRACE       KERNEL
ActiveOpens        211 =        211
CurrEstab           -3 ~         -1  +2: it happened as the kernel's figures were read
OutRsts           1000 !        990  -10
NETNS 4026532178 \x1b[2J (found only at the end: its figures are taken to have begun at 0)
COUNTER   TCPTRACE       KERNEL
TW               1 =          1
1 more network namespace: nothing counted by either
`
	if diff := cmp.Diff(want, string(render.AppendAudit(nil, report, false))); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
