// Package metrics turns changes into Prometheus metrics that stay within a
// budget of series.
//
// Who a series is about is a [subject]: the role, the service's port, and whose
// it is. A subject's series are made as something happens to it. Those for which
// the budget has no room are counted together, as the one subject whose every
// label says "other": so a sum over all labels is always exact.
//
// One goroutine feeds it, the one that reads events. Any number may gather.
package metrics
