//go:build linux

package endtoend

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// pageOf reads a page: the text of its summary, the headings of its findings, and
// the rows of a table by what the columns say.
type pageOf struct{ doc *html.Node }

func (p pageOf) section(id string) *html.Node {
	for n := range p.doc.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "id" && a.Val == id {
				return n
			}
		}
	}
	return p.doc
}

func texts(within *html.Node, name string) (all []string) {
	for n := range within.Descendants() {
		if n.Type != html.ElementNode || n.Data != name {
			continue
		}
		var text strings.Builder
		for c := range n.Descendants() {
			if c.Type == html.TextNode {
				text.WriteString(c.Data + " ")
			}
		}
		all = append(all, strings.Join(strings.Fields(text.String()), " "))
	}
	return all
}

// A page of a story has every connection of it, every RST with its cause, and
// the finding; and what this kernel allows to see, and its sysctls.
func TestReport_ResetUnread(t *testing.T) {
	truth, tr := playWhole(t, "reset-unread", lab.Params{}, "report", "-")
	doc, err := html.Parse(bytes.NewReader(tr.stdout.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	page := pageOf{doc}
	if got := strings.Join(texts(page.section("summary"), "p"), " "); !strings.Contains(got, "46 connections of 1 process were seen.") ||
		!strings.Contains(got, "23 were reset by this host and 23 were reset by the peer.") || !strings.Contains(got, "No event was lost.") {
		t.Errorf("the summary: %s", got)
	}
	if got := strings.Join(texts(page.section("findings"), "h3"), "; "); !strings.HasPrefix(got, "warning reset-unread-data ") ||
		!strings.Contains(got, fmt.Sprintf("/%d; ", truth.Conns[0].ClientPID)) {
		t.Errorf("the findings: %s", got)
	}
	got := map[string]int{}
	for _, row := range texts(page.section("resets"), "tr") {
		for _, direction := range []string{" sent reset-unread-data", " received reset-unread-data"} {
			if strings.Contains(row, direction) {
				got[direction]++
			}
		}
	}
	if diff := cmp.Diff(map[string]int{" sent reset-unread-data": n, " received reset-unread-data": n}, got); diff != "" {
		t.Errorf("resets (-want +got):\n%s", diff)
	}
	rows := strings.Join(texts(page.section("connections"), "tr"), "\n")
	for _, c := range truth.Conns {
		if !strings.Contains(rows, " "+c.ClientCookie.String()+"\n") && !strings.HasSuffix(rows, " "+c.ClientCookie.String()) {
			t.Errorf("the connection %s is not listed", c.ClientCookie)
		}
	}
	host := strings.Join(texts(page.section("host"), "tr"), "\n")
	for _, want := range []string{"net.ipv4.tcp_fin_timeout 60", "transitions exact tp_btf/inet_sock_set_state"} {
		if !strings.Contains(host, want) {
			t.Errorf("%q is missing in:\n%s", want, host)
		}
	}
}
