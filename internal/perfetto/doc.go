// Package perfetto writes the lives of connections in Chrome's JSON trace event
// format, which ui.perfetto.dev loads, and speedscope and older Chromes'
// chrome://tracing: a group of tracks for each process, in which each connection
// is a slice and each of its states a slice within; instants for retransmits and
// resets; and a counter for each state.
//
// Times are microseconds of CLOCK_MONOTONIC, to the nanosecond, so that a trace
// of ftrace or perf with the same clock can be laid beside it. The object's
// member otherData says when, by the wall clock, that clock was zero.
//
// The format is that of the "Trace Event Format" document of the Chromium
// project: "X" is a complete slice, "i" an instant, "C" a counter, "M" the name
// of a process or track. Slices of one track must nest, so connections of one
// process that overlap lie in tracks of their own, which it reuses.
package perfetto
