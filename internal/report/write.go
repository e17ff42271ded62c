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

// A view is a Page with what is the same on all of them.
type view struct {
	*Page
	Style  template.CSS
	Script template.JS
	Policy string
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

// Write writes the page, which is UTF-8.
func (p *Page) Write(out io.Writer) error {
	b := bufio.NewWriterSize(out, 64<<10)
	v := view{Page: p, Style: template.CSS(pageCSS), Script: template.JS(pageJS), Policy: policy()}
	if err := page.Execute(b, &v); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
