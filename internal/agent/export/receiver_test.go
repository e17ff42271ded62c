package export

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // that the exporter sends
	"google.golang.org/protobuf/proto"
)

// A receiver is an OTLP server, by HTTP or gRPC, that keeps what it gets.
type receiver struct {
	collogs.UnimplementedLogsServiceServer

	t       *testing.T
	address string
	stop    func()
	status  int // by HTTP: of each answer, if not 200

	mu      sync.Mutex
	changed sync.Cond
	logs    []*logs.LogRecord
	about   map[string]string // of the last sender
	metrics map[string]*metrics.Metric
	headers http.Header
}

// receive starts one at an address, of which the port may be 0.
func receive(t *testing.T, protocol, address string, status int) *receiver {
	t.Helper()
	r := &receiver{t: t, status: status, metrics: map[string]*metrics.Metric{}}
	r.changed.L = &r.mu
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r.address = l.Addr().String()
	if protocol == GRPC {
		s := grpc.NewServer()
		collogs.RegisterLogsServiceServer(s, r)
		colmetrics.RegisterMetricsServiceServer(s, meterService{r: r})
		go s.Serve(l)
		r.stop = s.Stop
	} else {
		s := &http.Server{Handler: r}
		go s.Serve(l)
		r.stop = func() { s.Close() }
	}
	t.Cleanup(r.stop)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if r.status != 0 {
		w.WriteHeader(r.status)
		return
	}
	body := io.Reader(q.Body)
	if q.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(q.Body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return // the sender has gone
	}
	r.mu.Lock()
	r.headers = q.Header
	r.mu.Unlock()
	var answer proto.Message
	switch q.URL.Path {
	case "/v1/logs":
		m := new(collogs.ExportLogsServiceRequest)
		if err := proto.Unmarshal(text, m); err != nil {
			r.t.Error(err)
		}
		answer, _ = r.Export(q.Context(), m)
	case "/v1/metrics":
		m := new(colmetrics.ExportMetricsServiceRequest)
		if err := proto.Unmarshal(text, m); err != nil {
			r.t.Error(err)
		}
		answer, _ = meterService{r: r}.Export(q.Context(), m)
	default:
		r.t.Errorf("sent to %s", q.URL.Path)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	reply, _ := proto.Marshal(answer)
	w.Write(reply)
}

// Export takes logs.
func (r *receiver) Export(_ context.Context, q *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range q.ResourceLogs {
		r.about = map[string]string{}
		for _, a := range resource.Resource.Attributes {
			r.about[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range resource.ScopeLogs {
			r.logs = append(r.logs, scope.LogRecords...)
		}
	}
	r.changed.Broadcast()
	return &collogs.ExportLogsServiceResponse{}, nil
}

// A meterService takes metrics.
type meterService struct {
	colmetrics.UnimplementedMetricsServiceServer
	r *receiver
}

func (s meterService) Export(_ context.Context, q *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range q.ResourceMetrics {
		for _, scope := range resource.ScopeMetrics {
			for _, m := range scope.Metrics {
				r.metrics[m.Name] = m
			}
		}
	}
	r.changed.Broadcast()
	return &colmetrics.ExportMetricsServiceResponse{}, nil
}

// wait returns once done says so.
func (r *receiver) wait(done func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !done() {
		r.changed.Wait()
	}
}

// attributes returns those of a record, as text.
func attributes(record *logs.LogRecord) map[string]string {
	all := map[string]string{}
	for _, a := range record.Attributes {
		text := a.Value.String()
		_, text, _ = strings.Cut(text, ":")
		all[a.Key] = strings.Trim(text, `"`)
	}
	return all
}
