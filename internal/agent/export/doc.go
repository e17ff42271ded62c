// Package export sends connections, findings and metrics to a collector, in
// OpenTelemetry's protocol (OTLP) over HTTP or gRPC, by the official SDK.
//
// Whoever hands over a record never waits: the queue is bounded, and what finds
// it full is counted and gone. A collector that is slow or away costs the queue's
// memory and no more; when it is back, what is queued is sent.
package export
