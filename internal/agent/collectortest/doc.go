// Package collectortest tests what the agent sends with the collector that it is
// sent to: OpenTelemetry's own, built of its modules and run as a process.
package collectortest
