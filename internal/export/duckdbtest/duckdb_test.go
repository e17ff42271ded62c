// Package duckdbtest reads the Parquet files of package export with DuckDB, as
// users do.
package duckdbtest

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the driver "duckdb"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/export"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// written makes a file of the events of a story.
func written(t testing.TB, name string, table func(*bytes.Buffer) *export.Parquet, events []event.Event) string {
	t.Helper()
	var out bytes.Buffer
	p := table(&out)
	origin := export.Origin{Host: "web-1", Clock: story.Clock}
	story.Tell(events, 1000*time.Second, func(c *conn.Change) {
		if _, err := p.Add(c, origin); err != nil {
			t.Fatal(err)
		}
	})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func connections(out *bytes.Buffer) *export.Parquet { return export.NewConnections(out, "test") }
func eventTable(out *bytes.Buffer) *export.Parquet  { return export.NewEvents(out, "test") }

// query returns the rows, each as fmt prints its values.
func query(t testing.TB, text string) (rows []string) {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := db.Query(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for found.Next() {
		values := make([]any, len(columns))
		to := make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := found.Scan(to...); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, strings.TrimSuffix(fmt.Sprintln(values...), "\n"))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// A whole life is there to the nanosecond.
func TestConnections_Plain(t *testing.T) {
	path := written(t, "conns.parquet", connections, story.Plain())
	from := " from '" + path + "'"
	want(t, query(t, "select role, comm, pid, local_address, local_port, remote_address, remote_port, family, conn, netns, host"+from+" order by role"),
		"client curl 4242 10.0.0.1 40000 10.9.8.7 443 ipv4 1a5cd 4026531840 web-1",
		"server nginx 1234 10.9.8.7 443 10.0.0.1 40000 ipv4 1a5ce 4026531840 web-1")
	want(t, query(t, "select syn_sent_ns, established_ns, fin_wait1_ns, fin_wait2_ns, time_wait_ns, close_wait_ns, lifetime_ns, \"end\""+from+" order by role"),
		"400000 1999600000 20000 12344985000 60999995000 <nil> 75345000000 fin",
		"<nil> 1999560000 <nil> <nil> <nil> 12344990000 14344909000 fin")
	want(t, query(t, "select bytes_sent, bytes_acked, bytes_received, segs_out, srtt_us"+from+" order by role"),
		"<nil> <nil> <nil> <nil> <nil>", "70000 70000 80 52 412")
	// Begin and end are times, in UTC, to the nanosecond.
	want(t, query(t, "select epoch_ns(opened) - begin_mono_ns, epoch_ns(closed) - epoch_ns(opened) = lifetime_ns"+from),
		fmt.Sprint(story.Clock.Boot.UnixNano(), " true"), fmt.Sprint(story.Clock.Boot.UnixNano(), " true"))
	want(t, query(t, "select s.state, s.ns, epoch_ns(s.\"begin\") - epoch_ns(opened), s.bound from (select opened, unnest(states) s"+from+" where role = 'server')"),
		"SYN_RECV 350000 0 <nil>", "ESTABLISHED 1999560000 350000 <nil>", "CLOSE_WAIT 12344990000 1999910000 <nil>", "LAST_ACK 9000 14344900000 <nil>")
}

// The question of a night: which process holds connections in CLOSE_WAIT, and for
// how long.
func TestConnections_CloseWait(t *testing.T) {
	var all []event.Event
	for i := range 503 {
		server := story.NewSocket(uint64(1000+i), "10.9.8.7:443", fmt.Sprintf("10.0.0.1:%d", 20000+i))
		at := time.Duration(i) * time.Millisecond
		who := story.Task(uint32(100+i%2), []string{"leaky", "tidy"}[i%2])
		stay := time.Duration(i+1) * []time.Duration{time.Second, time.Millisecond}[i%2]
		all = append(all, story.Join(
			server.Accept(at, time.Microsecond),
			server.State(at+2*time.Microsecond, tcp.Established, tcp.CloseWait),
			story.By(who, server.State(at+2*time.Microsecond+stay, tcp.CloseWait, tcp.LastAck)),
			server.State(at+3*time.Microsecond+stay, tcp.LastAck, tcp.Close),
		)...)
	}
	path := written(t, "conns.parquet", connections, all)
	want(t, query(t, `select comm, count(*), quantile_disc(close_wait_ns, 0.99) / 1e9 as p99, max(close_wait_ns) / 1e9
		from '`+path+`' group by comm order by p99 desc`),
		"leaky 252 499 503", "tidy 251 0.498 0.502")
}

// What is not known is null, and what is only bounded says so.
func TestConnections_Older(t *testing.T) {
	path := written(t, "conns.parquet", connections, append(story.Killed(), story.Hostile()...))
	want(t, query(t, `select opened is null, lifetime_ns, lifetime_bound, "end", error, complete, open, closer_comm from '`+path+`' order by lifetime_ns`),
		"true 2000000000 at_least aborted ECONNABORTED false false sshd",
		"false 999000000000 <nil> <nil> <nil> true true <nil>")
	want(t, query(t, `select comm = chr(27) || '[31m"' || chr(10) || chr(8238) || chr(65533) from '`+path+`' where open`), "true")
}

func TestEvents(t *testing.T) {
	path := written(t, "events.parquet", eventTable, append(story.Plain(), story.Lossy()...))
	want(t, query(t, `select type, count(*) from '`+path+`' group by type order by type`),
		"lost 1", "reset 1", "retransmit 3", "state 14")
	want(t, query(t, `select class, seq, bytes, rto_ms, srtt_us, cwnd, ca_state, comm from '`+path+`' where type = 'retransmit' order by mono_ns`),
		"syn 7 0 1000 <nil> 1 Loss nginx", "tlp 1000 1448 204 31000 10 Open nginx", "rto 1000 1448 408 31000 1 Loss nginx")
	want(t, query(t, `select old, new, in_state_ns, actor_comm from '`+path+`' where new = 'LAST_ACK'`), "CLOSE_WAIT LAST_ACK 12344990000 <nil>")
	want(t, query(t, `select direction, reason, cause from '`+path+`' where type = 'reset'`), "sent TCP_ABORT_ON_CLOSE reset-unread-data")
	want(t, query(t, `select count from '`+path+`' where type = 'lost'`), "17")
}

// The names and types are a contract: none changes, new ones come behind.
func TestColumns(t *testing.T) {
	for name, table := range map[string]func(*bytes.Buffer) *export.Parquet{"connections": connections, "events": eventTable} {
		path := written(t, name+".parquet", table, story.Plain())
		var got bytes.Buffer
		for _, row := range query(t, "select column_name, column_type from (describe select * from '"+path+"')") {
			fmt.Fprintln(&got, row)
		}
		golden := filepath.Join("testdata", name+".columns")
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		wanted, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), wanted) {
			t.Errorf("%s: the columns are\n%s", name, got.Bytes())
		}
		want(t, query(t, "select distinct compression from parquet_metadata('"+path+"')"), "ZSTD")
		want(t, query(t, "select decode(value) from parquet_kv_metadata('"+path+"')"), export.Version)
	}
}
