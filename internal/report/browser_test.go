package report

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// A browser runs Chromium without a window, if there is one.
type browser struct {
	t    *testing.T
	path string
	home string
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes some seconds")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return &browser{t, path, t.TempDir()}
		}
	}
	t.Skip("there is no chromium here (apt-get install chromium)")
	return nil
}

var consoleLine = regexp.MustCompile(`:CONSOLE[:(].*`)

// run returns what Chromium prints, and fails if the page says anything on the
// console: errors, or what the policy has blocked.
func (b *browser) run(args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.path, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--enable-logging=stderr", "--user-data-dir=" + b.home,
	}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		b.t.Fatalf("chromium: %v\n%.2000s", err, stderr.String())
	}
	if said := consoleLine.FindAllString(stderr.String(), -1); len(said) > 0 {
		b.t.Errorf("on the console: %s", strings.Join(said, "\n"))
	}
	return stdout.String()
}

// harness is a page that has the report in a frame, does with it what a user
// would, and writes down what is to be seen then.
const harness = `<!DOCTYPE html><meta charset="utf-8"><pre id="result"></pre><iframe id="f" width="WIDTH" height="900"></iframe><script>
const frame = document.getElementById("f");
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
frame.onload = async () => {
  let result = {};
  try {
    const w = frame.contentWindow, d = w.document;
    const $ = (s) => d.querySelector(s), $$ = (s) => Array.from(d.querySelectorAll(s));
    const shown = (s) => $$(s).filter((e) => e.getClientRects().length).length;
    w.requestAnimationFrame = (draw) => w.setTimeout(draw, 1); // nobody looks, so no frame is drawn
    const frames = () => wait(50);
    const key = (e, key) => e.dispatchEvent(new w.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    const point = (e, type, x, y, more) => e.dispatchEvent(new w.PointerEvent(type, { clientX: x, clientY: y, bubbles: true, cancelable: true, pointerId: 1, button: 0, ...more }));
    const column = (table, i, n) => Array.from($("#" + table + " tbody").rows).slice(0, n).map((r) => r.cells[i].textContent);
    await wait(100);
    result = await (async () => { DEEDS })();
  } catch (e) { result = { failed: String(e && e.stack || e) }; }
  document.getElementById("result").textContent = JSON.stringify(result);
};
frame.src = "/report.html";
</script>`

// do runs deeds, the body of a function that returns an object, in a page that
// shows the report at a width, and reads the object.
func (b *browser) do(report []byte, width, deeds string, result any) {
	b.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch r.URL.Path {
		case "/":
			_, _ = w.Write([]byte(strings.NewReplacer("WIDTH", width, "DEEDS", deeds).Replace(harness)))
		case "/report.html":
			_, _ = w.Write(report)
		default:
			if r.URL.Path != "/favicon.ico" {
				b.t.Errorf("the page asked for %s", r.URL)
			}
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	doc, err := html.Parse(strings.NewReader(b.run("--virtual-time-budget=20000", "--dump-dom", server.URL+"/")))
	if err != nil {
		b.t.Fatal(err)
	}
	text := textOf(byID(doc, "result"))
	var failed struct{ Failed string }
	if err := json.Unmarshal([]byte(text), &failed); err != nil || failed.Failed != "" {
		b.t.Fatalf("%v %s in %q", err, failed.Failed, text)
	}
	if err := json.Unmarshal([]byte(text), result); err != nil {
		b.t.Fatalf("%v in %s", err, text)
	}
}

func TestBrowser_TablesSortAndFilter(t *testing.T) {
	type result struct {
		Longest, Shortest, Usual []string
		Sorted                   string
		Rows, Groups             [2]int
		Status                   string
		AfterEscape              int
	}
	var got result
	openBrowser(t).do(smallPage(), "1280", `
		const life = $$("#connections thead th")[5], press = () => life.querySelector("button").click();
		const usual = column("connections", 5, 2);
		press(); const longest = column("connections", 5, 2), sorted = life.getAttribute("aria-sort");
		press(); const shortest = column("connections", 5, 2);
		press();
		const before = [shown("#connections tbody tr"), shown(".group")];
		const search = $("input[type=search]");
		key(d.body, "/");
		search.value = "nginx reset-by-peer"; search.dispatchEvent(new w.Event("input")); await wait(300);
		const after = [shown("#connections tbody tr"), shown(".group")], status = $("#connections .status").textContent;
		key(search, "Escape");
		return { longest, shortest, sorted, usual: [usual.join() === column("connections", 5, 2).join() ? "restored" : "not restored"],
			rows: [before[0], after[0]], groups: [before[1], after[1]], status, afterEscape: shown("#connections tbody tr") };
	`, &got)
	want := result{
		Longest: []string{"35.6s", "34.5s"}, Shortest: got.Shortest, Usual: []string{"restored"}, Sorted: "descending",
		Rows: [2]int{300, 10}, Groups: [2]int{4, 1}, Status: "10 of 300 rows have “nginx” and “reset-by-peer”", AfterEscape: 300,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if len(got.Shortest) == 0 || !strings.HasSuffix(got.Shortest[0], "us") {
		t.Errorf("the shortest lives are %v", got.Shortest)
	}
}

func TestBrowser_TimelinesZoomAndMove(t *testing.T) {
	type result struct {
		Whole, In, Later, Keys, All string
		Tip                         string
		Focus, Enter                string
		Panel                       string
		Ticks                       []string
	}
	var got result
	openBrowser(t).do(smallPage(), "1280", `
		const box = () => $(".b").getAttribute("viewBox").split(" ").map((x) => Math.round(Number(x))).join(" ");
		const button = (name) => $$(".zoom button").find((b) => b.title.startsWith(name));
		const whole = box();
		button("Zoom in").click(); await frames(); const zoomed = box();
		const ticks = Array.from($(".axis").querySelectorAll("text"), (e) => e.textContent);
		button("Later").click(); await frames(); const later = box();
		const first = $(".bars li a"); first.focus();
		key(first, "-"); key(first, "ArrowDown"); await frames(); const keys = box();
		const focus = String($$(".bars li a").indexOf(d.activeElement));
		key(d.activeElement, "0"); await frames(); const all = box();
		d.activeElement.click(); await frames();
		const enter = d.querySelector(w.location.hash).matches("#connections tbody tr") ? "row" : w.location.hash;
		const bar = $(".bars li .b"); bar.scrollIntoView();
		const r = bar.getBoundingClientRect();
		point(bar, "pointermove", r.left + r.width / 2, r.top + 8);
		const tip = $(".tip").hidden ? "" : $(".tip").textContent;
		const panel = $(".panel svg[data-state=CLOSE_WAIT]"); panel.scrollIntoView(); panel.focus();
		key(panel, "End");
		return { whole, in: zoomed, later, keys, all, tip, focus, enter, ticks, panel: panel.parentNode.querySelector(".read").textContent };
	`, &got)
	tip := got.Tip
	got.Tip = ""
	want := result{
		Whole: "0 0 36000 12", In: "9000 0 18000 12", Later: "18000 0 18000 12", Keys: "0 0 36000 12", All: "0 0 36000 12",
		Focus: "1", Enter: "row", Panel: "26 at 36s, 00:00:36.000 UTC", Ticks: []string{"10s", "15s", "20s", "25s"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for _, part := range []string{"at 18s, 00:00:18.000 UTC: TIME_WAIT for ", "java/4194304, client, life ", "SYN_SENT "} {
		if !strings.Contains(tip, part) {
			t.Errorf("the tip does not say %q: %s", part, tip)
		}
	}
}

// Nothing is wider than the window, but for tables in their own frames, and no
// letters of an axis touch.
func TestBrowser_FitsAPhone(t *testing.T) {
	type fit struct{ Scroll, Width, Axes, Touching int }
	var got struct{ Phone, Desk fit }
	openBrowser(t).do(severalHosts(), "390", `
		const fit = () => {
			let touching = 0, axes = 0;
			for (const svg of $$(".axis, .panel svg")) {
				axes++;
				const boxes = Array.from(svg.querySelectorAll("text"), (e) => e.getBoundingClientRect());
				for (const a of boxes) for (const b of boxes)
					if (a !== b && a.left < b.right && b.left < a.right && a.top < b.bottom - 1 && b.top < a.bottom - 1) touching++;
			}
			return { scroll: d.documentElement.scrollWidth, width: w.innerWidth, axes, touching };
		};
		const phone = fit();
		frame.width = 1280; await wait(100);
		return { phone, desk: fit() };
	`, &got)
	for width, fit := range map[int]fit{390: got.Phone, 1280: got.Desk} {
		if fit.Width != width || fit.Scroll > width || fit.Axes < 18 || fit.Touching > 0 {
			t.Errorf("at %d: %+v", width, fit)
		}
	}
}

func severalHosts() []byte {
	var pages []*Page
	for i, prefix := range []string{"h1-", "h2-"} {
		f := facts
		f.Prefix, f.Host, f.Limits.Share = prefix, []string{"web-1", "db-1.example.net"}[i], 2
		pages = append(pages, collect(incident(100*(i+1)), 36*s).Page(f))
	}
	return mustWrite(pages...)
}

// It prints. With a directory there are screenshots too, to be looked at: go
// test -run Browser_Prints -shots DIR.
func TestBrowser_Prints(t *testing.T) {
	b := openBrowser(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "report.html")
	if err := os.WriteFile(file, severalHosts(), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain.html") // as it is read without scripts
	if err := os.WriteFile(plain, regexp.MustCompile(`(?s)<script>.*?</script>`).ReplaceAll(smallPage(), nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if *shots != "" {
		dir = *shots
	}
	for name, args := range map[string][]string{
		"1280-light": {"--window-size=1280,3000", "--blink-settings=preferredColorScheme=1"},
		"1280-dark":  {"--window-size=1280,3000", "--blink-settings=preferredColorScheme=0"},
		"1280-plain": {"--window-size=1280,3000", "--blink-settings=preferredColorScheme=1", plain},
		"390-light":  {"--window-size=390,3000", "--blink-settings=preferredColorScheme=1"},
		"390-dark":   {"--window-size=390,3000", "--blink-settings=preferredColorScheme=0"},
	} {
		if *shots == "" {
			break
		}
		shot := filepath.Join(dir, name+".png")
		page := file
		if last := args[len(args)-1]; last == plain {
			args, page = args[:len(args)-1], plain
		}
		b.run(append(args, "--virtual-time-budget=2000", "--screenshot="+shot, "file://"+page)...)
		if found, err := os.Stat(shot); err != nil || found.Size() < 50_000 {
			t.Errorf("%s: %v", name, err)
		}
	}
	print := filepath.Join(dir, "report.pdf")
	b.run("--virtual-time-budget=2000", "--no-pdf-header-footer", "--print-to-pdf="+print, "file://"+file)
	if found, err := os.Stat(print); err != nil || found.Size() < 50_000 {
		t.Errorf("printed: %v", err)
	}
}
