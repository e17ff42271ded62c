// Package export writes connections, or events, as Parquet: one row each, in
// columns whose names never change and whose units are in their names. What is
// not known is null, never zero or empty. docs/export.md lists the columns.
//
// Rows are compressed by zstd and written in groups as they come, so memory does
// not grow with the number of rows.
package export
