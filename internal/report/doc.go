// Package report makes of a trace one HTML page, to be attached to an incident:
// a summary in words, the findings, the states over time, the lives of
// connections by process, tables, the host's settings, and what was not seen.
//
// The page is one file that loads nothing. It can be read without its script,
// which only adds: tables that sort, a filter, and a time axis that zooms. Its
// Content-Security-Policy allows that script and the page's style by their
// hashes, and nothing else; whatever a stranger may have chosen, such as the name
// of a process, is text in it.
//
// A Collector takes in changes, as any sink of a trace; Page lays out what it has
// and chooses what there is room for; Write writes it. Memory is bounded, and so
// is the page: see Limits.
package report
