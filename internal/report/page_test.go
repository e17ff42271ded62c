package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

var (
	update = flag.Bool("update", false, "write the golden files")
	shots  = flag.String("shots", "", "leave the screenshots in this `DIR`")
)

// Pages that several tests look at.
var (
	smallPage = sync.OnceValue(func() []byte { return mustWrite(collect(incident(300), 36*s).Page(facts)) })
	largePage = sync.OnceValue(func() []byte { return mustWrite(collect(incident(10_000), 36*s).Page(facts)) })
)

func mustWrite(pages ...*Page) []byte {
	b, err := write(pages...)
	if err != nil {
		panic(err)
	}
	return b
}

func parse(t *testing.T, b []byte) *html.Node {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func elements(n *html.Node, name string) (all []*html.Node) {
	for c := range n.Descendants() {
		if c.Type == html.ElementNode && c.Data == name {
			all = append(all, c)
		}
	}
	return all
}

func byID(n *html.Node, id string) *html.Node {
	for c := range n.Descendants() {
		if c.Type == html.ElementNode && attr(c, "id") == id {
			return c
		}
	}
	return nil
}

func within(n *html.Node, name string) bool {
	for a := range n.Ancestors() {
		if a.Data == name {
			return true
		}
	}
	return false
}

// outline is the structure of a page: its parts, headings, and of each table the
// columns, the number of rows, and the first.
func outline(doc *html.Node) string {
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "section", "article", "main", "nav", "footer":
			fmt.Fprintf(&b, "%s#%s\n", n.Data, attr(n, "id"))
		case "h1", "h2", "h3", "figcaption", "p":
			fmt.Fprintf(&b, "  %s %s\n", n.Data, textOf(n))
		case "dt", "dd":
			if elements(n, "dl") == nil && !within(n, "article") { // the rules' words are theirs
				fmt.Fprintf(&b, "    %s %s\n", n.Data, textOf(n))
			}
		case "ul":
			items := elements(n, "li")
			fmt.Fprintf(&b, "  ul.%s of %d: %s\n", attr(n, "class"), len(items), textOf(items[0]))
		case "table":
			fmt.Fprintf(&b, "  table of %d rows\n", len(elements(elements(n, "tbody")[0], "tr")))
			for i, tr := range elements(n, "tr") {
				var cells []string
				for c := range tr.ChildNodes() {
					cells = append(cells, textOf(c))
				}
				if i < 2 {
					fmt.Fprintf(&b, "    %s\n", strings.Join(cells, " | "))
				}
			}
		}
	}
	return b.String()
}

func TestPage_Structure(t *testing.T) {
	got := outline(parse(t, smallPage()))
	const path = "testdata/outline.txt"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// Every element that is opened is closed, in order, and every id is there once
// and every link within the page leads somewhere.
func TestPage_WellFormed(t *testing.T) {
	void := []string{"meta", "br", "hr", "img", "input", "link"}
	ids, links := map[string]int{}, map[string]bool{}
	var open []string
	for z := html.NewTokenizer(bytes.NewReader(smallPage())); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			if !errors.Is(z.Err(), io.EOF) {
				t.Fatal(z.Err())
			}
			break
		}
		token := z.Token()
		for _, a := range token.Attr {
			if a.Key == "id" {
				ids[a.Val]++
			}
			if a.Key == "href" {
				links[a.Val] = true
			}
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has the attribute %s, which the policy forbids", token.Data, a.Key)
			}
		}
		switch kind {
		case html.StartTagToken:
			if !slices.Contains(void, token.Data) {
				open = append(open, token.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("</%s> within %v", token.Data, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("not closed: %v", open)
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("the id %s is there %d times", id, n)
		}
	}
	for to := range links {
		if !strings.HasPrefix(to, "#") || ids[to[1:]] == 0 {
			t.Errorf("a link to %s leads nowhere", to)
		}
	}
}

func TestPage_PolicyAllowsWhatIsThereAndNothingElse(t *testing.T) {
	doc := parse(t, smallPage())
	var policy string
	for _, m := range elements(doc, "meta") {
		if attr(m, "http-equiv") == "Content-Security-Policy" {
			policy = attr(m, "content")
		}
	}
	hash := func(n *html.Node) string {
		sum := sha256.Sum256([]byte(n.FirstChild.Data))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	var scripts, styles []string
	for _, n := range elements(doc, "script") {
		if attr(n, "type") != "application/json" {
			scripts = append(scripts, hash(n))
		}
	}
	for _, n := range elements(doc, "style") {
		styles = append(styles, hash(n))
	}
	want := "default-src 'none'; script-src " + strings.Join(scripts, " ") + "; style-src " + strings.Join(styles, " ") + "; base-uri 'none'; form-action 'none'"
	if diff := cmp.Diff(want, policy); diff != "" || len(scripts) != 1 || len(styles) != 1 {
		t.Errorf("%d scripts, %d styles; -want +got\n%s", len(scripts), len(styles), diff)
	}
}

func TestPage_HostileNamesAreText(t *testing.T) {
	hostile := facts
	hostile.Host, hostile.Kernel, hostile.Command = "</title><script>alert(3)</script>", "{{.}}<!--", "tcptrace report \x1b[2J'\"><b>"
	hostile.Notes = []string{"</script><script>alert(4)</script>"}
	b := mustWrite(collect(incident(300), 36*s).Page(hostile))
	plain := parse(t, mustWrite(collect(incident(300), 36*s).Page(facts)))
	doc := parse(t, b)
	for _, name := range []string{"script", "img", "svg", "b", "i", "meta", "style"} {
		if got, want := len(elements(doc, name)), len(elements(plain, name)); got != want {
			t.Errorf("%d elements %s, %d without the hostile names", got, name, want)
		}
	}
	for _, bad := range []string{"\u202e", "\x1b", "alert(1)>", "<svg onload"} {
		if bytes.Contains(b, []byte(bad)) {
			t.Errorf("%q is in the page as it is", bad)
		}
	}
	text := textOf(byID(doc, "processes"))
	for _, want := range []string{evilComm + "/66", `<i> <b>\u202e\x1b[`} {
		if !strings.Contains(text, want) {
			t.Errorf("the table of processes does not spell %s", want)
		}
	}
	if got := textOf(elements(doc, "title")[0]); !strings.HasPrefix(got, hostile.Host) {
		t.Errorf("title %q", got)
	}
}

func TestPage_TenThousandConnectionsInLessThanTwoMegabytes(t *testing.T) {
	if testing.Short() {
		t.Skip("it follows many connections")
	}
	b := largePage()
	if len(b) >= 2_000_000 {
		t.Errorf("%d bytes", len(b))
	}
	doc := parse(t, b)
	if n := len(elements(elements(byID(doc, "connections"), "tbody")[0], "tr")); n != 2000 {
		t.Errorf("%d rows of connections", n)
	}
	const left = "The table of connections and the timelines show 2,000 of 10,000 connections."
	if text := textOf(byID(doc, "unseen")); !strings.Contains(text, left) {
		t.Errorf("it does not say that connections are left out: %s", text)
	}
	if text := textOf(byID(doc, "summary")); !strings.Contains(text, "10,000 connections of 4 processes were seen") {
		t.Errorf("the summary does not count all: %s", text)
	}
}

// However long names and addresses are, and however much happens to each
// connection, the page stays as small.
func TestPage_WorstConnectionsInLessThanTwoMegabytes(t *testing.T) {
	if testing.Short() {
		t.Skip("it follows many connections")
	}
	var events []event.Event
	for i := range 2100 {
		at := time.Duration(i)*ms + ms/2
		c := story.NewSocket(uint64(0xfffffffffff00000)+uint64(i), fmt.Sprintf("[2001:db8:85a3:8d3:1319:8a2e:1370:7348]:%d", 20000+i%45000), "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535")
		by := labeled(story.Task(uint32(4190000+i%4000), "<&<&<&<&<&<&<&<&"), event.Label{Unit: strings.Repeat("<", 300), Container: strings.Repeat("&", 64)})
		events = append(events, c.Connect(at, 123*ms, by)...)
		for k := range 26 {
			events = append(events, c.Retransmit(at+time.Duration(200+50*k)*ms, tcp.Established, event.Retransmission{Seq: uint32(k), Bytes: 1448, Segments: 1, RTOms: 204, Cwnd: 1}))
		}
		events = append(events, story.By(by, c.State(at+1600*ms, tcp.Established, tcp.FinWait1)), c.State(at+1700*ms, tcp.FinWait1, tcp.Closing),
			c.State(at+1900*ms, tcp.Closing, tcp.Close), c.ResetReceived(at+1901*ms, tcp.Close))
	}
	slices.SortStableFunc(events, func(a, b event.Event) int { return int(a.Time - b.Time) })
	b := mustWrite(collect(events, 20*s).Page(facts))
	t.Logf("%d bytes", len(b))
	if len(b) >= 2_000_000 {
		t.Errorf("%d bytes", len(b))
	}
}

func TestPage_NothingSeen(t *testing.T) {
	c := collect(nil, 5*s)
	doc := parse(t, mustWrite(c.Page(Facts{Clock: story.Clock})))
	text := textOf(byID(doc, "main"))
	for _, want := range []string{"Nothing wrong seen", "In 5.00s, 0 connections were seen.", "No event was lost.", "No connection was seen.", "No RST was sent or received.", "Nothing was sent again."} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in: %s", want, text)
		}
	}
	if byID(doc, "lives") != nil || byID(doc, "states") != nil {
		t.Error("it draws what is not there")
	}
}

func TestPage_LossIsTold(t *testing.T) {
	doc := parse(t, mustWrite(collect(story.Lossy(), 7*s).Page(facts)))
	if text := textOf(byID(doc, "summary")); !strings.Contains(text, "17 events could not be handed over by the kernel side, so counts may be too low") {
		t.Error(text)
	}
	if text := textOf(byID(doc, "unseen")); !strings.Contains(text, "state1700:00:05.00000:00:06.000") {
		t.Error(text)
	}
}

// The JSON within the page ends at no name, whatever it holds.
func TestPage_SeriesIsJSON(t *testing.T) {
	var series seriesData
	if err := json.Unmarshal([]byte(elements(byID(parse(t, smallPage()), "host-page"), "script")[0].FirstChild.Data), &series); err != nil {
		t.Fatal(err)
	}
	if len(series.Counts["CLOSE_WAIT"]) == 0 || series.Length != 36000 || series.Begin != "2026-05-17T00:00:00Z" {
		t.Errorf("%d counts, length %v, begin %s", len(series.Counts["CLOSE_WAIT"]), series.Length, series.Begin)
	}
}

func BenchmarkPage(b *testing.B) {
	c := collect(incident(10_000), 36*s)
	b.ReportAllocs()
	for b.Loop() {
		if err := Write(io.Discard, c.Page(facts)); err != nil {
			b.Fatal(err)
		}
	}
}

// luminance is that of WCAG 2, of a colour such as #1b1f24.
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	var rgb [3]int
	if _, err := fmt.Sscanf(color, "#%02x%02x%02x", &rgb[0], &rgb[1], &rgb[2]); err != nil {
		t.Fatalf("%s: %v", color, err)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v := float64(rgb[i]) / 255
		if v <= 0.03928 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

// Letters have a contrast of 4.5 at least, and the colours of states one of 3,
// with what is behind them, by day and by night (WCAG 2, 1.4.3 and 1.4.11).
func TestPage_Contrast(t *testing.T) {
	modes := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(pageCSS, 2)
	states := regexp.MustCompile(`--c: (#\w{6})`).FindAllStringSubmatch(pageCSS, -1)
	if len(modes) != 2 || len(states) != 10 {
		t.Fatalf("%d modes, %d states", len(modes), len(states))
	}
	for _, mode := range modes {
		colors := map[string]string{}
		for _, c := range regexp.MustCompile(`--([a-z-]+): (#\w{6})`).FindAllStringSubmatch(mode[1], -1) {
			colors[c[1]] = c[2]
		}
		check := func(a, b string, least float64) {
			low, high := luminance(t, a), luminance(t, b)
			if ratio := (max(low, high) + 0.05) / (min(low, high) + 0.05); ratio < least {
				t.Errorf("%s on %s has a contrast of %.2f, less than %v", a, b, ratio, least)
			}
		}
		for _, back := range []string{"bg", "card"} {
			for _, ink := range []string{"ink", "soft", "link", "critical", "warning"} {
				check(colors[ink], colors[back], 4.5)
			}
		}
		for _, level := range []string{"critical", "warning", "info", "ok"} {
			check(colors[level], colors[level+"-bg"], 4.5)
		}
		for _, s := range states {
			check(s[1], colors["bg"], 3)
		}
		check(colors["rst"], colors["bg"], 3)
	}
}
