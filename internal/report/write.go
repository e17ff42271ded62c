package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // the parts of the page
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string

	page = template.Must(template.New("page").Parse(pageHTML))
)

// A view is one page, or several, with what is the same on all.
type view struct {
	Title  string
	Pages  []*Page
	Style  template.CSS
	Script template.JS
	Policy string
	Footer string
}

// policy allows the style and the script of the page by their hashes, and
// nothing else: no other script, no request, no form, no frame.
func policy() string {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; script-src " + hash(pageJS) + "; style-src " + hash(pageCSS) + "; base-uri 'none'; form-action 'none'"
}

// Write writes pages as one, which is UTF-8. Of several, each host's has the
// prefix that its Facts say.
func Write(out io.Writer, pages ...*Page) error {
	b := bufio.NewWriterSize(out, 64<<10)
	v := view{
		Title: pages[0].Title, Footer: pages[0].Footer, Pages: pages,
		Style: template.CSS(pageCSS), Script: template.JS(pageJS), Policy: policy(),
	}
	if n := len(pages); n > 1 {
		v.Title = "tcptrace report of " + countOf(uint64(n), "host")
	}
	if err := page.Execute(b, &v); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
