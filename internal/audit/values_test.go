package audit_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/audit"
)

const snmp = `Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 1589 1372 16 517 3 49194 41155 8 0 418 0
`

const netstat = `TcpExt: SyncookiesSent TW TWRecycled TWKilled TCPTimeouts TCPLossProbes TCPSynRetrans
TcpExt: 0 1398 4 2 4 3 888
IpExt: InNoRoutes
IpExt: 0
`

func TestParse(t *testing.T) {
	v, err := audit.Parse(snmp, netstat)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, c := range audit.Counters() {
		if n, known := v.Value(c); known {
			got[c.String()] = n
		}
	}
	want := map[string]int64{
		"ActiveOpens": 1589, "PassiveOpens": 1372, "AttemptFails": 16, "EstabResets": 517, "CurrEstab": 3,
		"RetransSegs": 8, "OutRsts": 418, "TW": 1398, "TWRecycled": 4, "TWKilled": 2,
		"TCPTimeouts": 4, "TCPLossProbes": 3, "TCPSynRetrans": 888,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestParse_Errors(t *testing.T) {
	for _, tt := range []struct{ name, snmp, netstat, want string }{
		{"empty", "", netstat, "parse snmp: no values of Tcp:"},
		{"names alone", "Tcp: ActiveOpens\n", netstat, "parse snmp: no values of Tcp:"},
		{"values missing", "Tcp: ActiveOpens PassiveOpens\nTcp: 1\n", netstat, "parse snmp: 2 names and 1 values of Tcp:"},
		{"no number", snmp, "TcpExt: TW\nTcpExt: x\n", `parse netstat: value of TW: strconv.ParseUint: parsing "x": invalid syntax`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := audit.Parse(tt.snmp, tt.netstat)
			if err == nil || err.Error() != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}
