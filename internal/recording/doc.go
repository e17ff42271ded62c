// Package recording saves what a source of events hands over, and hands it over
// again: on any system, without privileges, in the same order, so that the same
// program shows the same bytes.
//
// # What is in a recording
//
// Events as they came, before the tracker, with all that is known of their
// processes; the moments at which the live source had nothing more to hand over
// (ticks), which are the clock of what waits for time to pass; network
// namespaces, their names and sysctls; the processes and the sockets of a
// moment. Info says which host, kernel and clock it is of.
//
// # The format
//
// A file is a list of zstd frames (RFC 8878), so that any zstd decompresses it.
// The first is a skippable frame that says what the file is, and its version.
// Behind it, one after the other, are blocks: a skippable frame with the
// block's place, size, span of time and checksums, and a frame with its rows.
// Blocks are independent of each other, and written whole: one a second, or
// more where there is much. The last one is marked. The first block has the
// Info; a block that cannot be read ends what can be trusted.
//
// A block's rows are held by column: what columns hold is in column.go, and
// tables.go says how a row names strings, addresses, processes and sockets that
// were there before. A column that a version does not know is passed over, and
// one that is not there is of zeros: so fields are added, and old recordings
// stay readable. What enumerations hold is written by its name. docs/recording.md
// says it in full.
//
// # Use
//
// A Writer takes rows and makes blocks of them; Create opens the file. A Reader
// yields the rows of one file. Open opens a Set: the recordings of one host, be
// they one file or those that one was rotated into, are a Host, which is a
// source as the live kernel is one; several Hosts are run in step with the wall
// clock.
package recording
