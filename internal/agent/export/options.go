package export

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The protocols.
const (
	HTTP = "http" // protobuf in POST requests
	GRPC = "grpc"
)

// What can be sent.
const (
	Connections = "connections" // a log record for each connection that ended
	Findings    = "findings"    // an event for each finding, as it arises and as its figures change
	Metrics     = "metrics"     // what /metrics has
)

// Signals lists what can be sent.
func Signals() []string { return []string{Connections, Findings, Metrics} }

// Options say where records go.
type Options struct {
	Endpoint string // URL; "" for nowhere. http is without TLS, https with
	Protocol string // HTTP or GRPC
	Headers  map[string]string
	CAFile   string   // certificates that sign the collector's; "" for the system's
	Send     []string // some of Signals()

	// Queue bounds the records that wait, Patience how long one batch is tried
	// while the collector does not answer.
	Queue    int
	Patience time.Duration

	// Every is the time between two sendings of all metrics.
	Every time.Duration

	Version string // of tcptrace
	Host    string // name of the host
	HostID  string // machine-id(5); "" where there is none
}

const (
	// DefaultQueue is the default of Options.Queue.
	DefaultQueue = 8192
	// DefaultPatience is the default of Options.Patience.
	DefaultPatience = 5 * time.Minute
	// DefaultEvery is the default of Options.Every.
	DefaultEvery = time.Minute

	batchSize   = 512
	batchAge    = time.Second      // the longest that a record waits for others
	sendTimeout = 10 * time.Second // of one request
)

func (o *Options) sends(signal string) bool { return slices.Contains(o.Send, signal) }

// Check says what is wrong with the options, if anything.
func (o *Options) Check() error {
	if o.Endpoint == "" {
		return nil
	}
	at, err := url.Parse(o.Endpoint)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return fmt.Errorf("%q is no endpoint; write a URL such as http://collector:4318, or https:// for TLS", o.Endpoint)
	}
	if o.Protocol != HTTP && o.Protocol != GRPC {
		return fmt.Errorf("protocol %q is not known; write http or grpc", o.Protocol)
	}
	return nil
}

// secure says whether the collector is spoken to by TLS.
func (o *Options) secure() bool { return strings.HasPrefix(o.Endpoint, "https://") }

// address returns the host and port, with OTLP's own port where there is none.
func (o *Options) address() string {
	at, err := url.Parse(o.Endpoint) // Check has
	if err != nil {
		return ""
	}
	if at.Port() != "" {
		return at.Host
	}
	if o.Protocol == GRPC {
		return at.Host + ":4317"
	}
	return at.Host + ":4318"
}

// url returns where one signal goes, by HTTP: the endpoint is the common part,
// as of OTEL_EXPORTER_OTLP_ENDPOINT.
func (o *Options) url(signal string) string {
	at, err := url.Parse(o.Endpoint)
	if err != nil {
		return ""
	}
	at.Host = o.address()
	return at.JoinPath("v1", signal).String()
}
