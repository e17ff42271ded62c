package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	"google.golang.org/grpc/credentials"

	"github.com/tcptrace/tcptrace/internal/event"
)

// An Exporter sends what it is given. One goroutine gives.
type Exporter struct {
	options  Options
	clock    event.Clock
	queue    *queue
	provider *sdklog.LoggerProvider
	logger   otellog.Logger
	meters   *sdkmetric.MeterProvider // nil: no metrics are sent

	log      *slog.Logger
	mu       sync.Mutex
	silenced time.Time // of failures: when one was logged last; zero while all is well

	attributes []attribute.KeyValue // reused
}

// New returns an Exporter. What it sends as metrics it gathers; a collector that
// does not answer is no error, now or later.
func New(o Options, metrics prometheus.Gatherer, counters *Counters, log *slog.Logger) (*Exporter, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	x := &Exporter{options: o, log: log}
	about := resource.NewSchemaless(x.about()...)
	exporter, link, err := o.logExporter()
	if err != nil {
		return nil, fmt.Errorf("prepare the export of logs: %w", err)
	}
	x.queue = &queue{
		limit: o.Queue, patience: o.Patience, exporter: exporter, link: link, counters: counters, report: x.report,
	}
	x.provider = sdklog.NewLoggerProvider(sdklog.WithResource(about), sdklog.WithProcessor(x.queue), sdklog.WithAllowKeyDuplication())
	x.logger = x.provider.Logger("tcptrace", otellog.WithInstrumentationVersion(o.Version))
	if o.sends(Metrics) {
		if x.meters, err = o.meterProvider(about, metrics, counters); err != nil {
			return nil, fmt.Errorf("prepare the export of metrics: %w", err)
		}
	}
	x.queue.start()
	return x, nil
}

// Clock ties the times of what comes to the wall clock. It comes before
// anything else.
func (x *Exporter) Clock(c event.Clock) { x.clock = c }

// Close sends what is queued, and the metrics a last time, for so long at most.
func (x *Exporter) Close(wait time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if x.meters != nil {
		_ = x.meters.Shutdown(ctx) // what could not be sent is counted
	}
	x.queue.close(wait)
	_ = errors.Join(x.provider.Shutdown(ctx), x.queue.exporter.Shutdown(ctx)) // nothing is left in them
}

// about says who sends.
func (x *Exporter) about() []attribute.KeyValue {
	about := []attribute.KeyValue{
		attribute.String("service.name", "tcptrace"),
		attribute.String("service.version", x.options.Version),
		attribute.String("host.name", x.options.Host),
	}
	if x.options.HostID != "" {
		about = append(about, attribute.String("host.id", x.options.HostID), attribute.String("service.instance.id", x.options.HostID))
	}
	return about
}

// reportEvery is the least time between two log lines that say the same.
const reportEvery = time.Minute

// report logs the first of many failures, and the success that ends them.
func (x *Exporter) report(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err == nil && !x.silenced.IsZero():
		x.silenced = time.Time{}
		x.log.Info("the collector takes records again", "endpoint", x.options.Endpoint)
	case err != nil && time.Since(x.silenced) >= reportEvery:
		x.silenced = time.Now()
		x.log.Warn("the collector takes no records; they wait, and what has no room is counted in tcptrace_export_records_dropped_total",
			"endpoint", x.options.Endpoint, "error", err)
	}
}

// logExporter returns the SDK's exporter, without its own way to try again.
func (o *Options) logExporter() (sdklog.Exporter, *link, error) {
	config, err := o.tlsConfig()
	if err != nil {
		return nil, nil, err
	}
	l := &link{}
	if o.Protocol == GRPC {
		options := []otlploggrpc.Option{
			otlploggrpc.WithEndpoint(o.address()), otlploggrpc.WithCompressor("gzip"),
			otlploggrpc.WithRetry(otlploggrpc.RetryConfig{}), otlploggrpc.WithTimeout(sendTimeout),
		}
		if len(o.Headers) > 0 {
			options = append(options, otlploggrpc.WithHeaders(o.Headers))
		}
		switch {
		case !o.secure():
			options = append(options, otlploggrpc.WithInsecure())
		case config != nil:
			options = append(options, otlploggrpc.WithTLSCredentials(credentials.NewTLS(config)))
		}
		x, err := otlploggrpc.New(context.Background(), options...)
		return x, l, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	l.next = transport
	options := []otlploghttp.Option{
		otlploghttp.WithEndpointURL(o.url("logs")), otlploghttp.WithCompression(otlploghttp.GzipCompression),
		otlploghttp.WithRetry(otlploghttp.RetryConfig{}), otlploghttp.WithHTTPClient(&http.Client{Transport: l, Timeout: sendTimeout}),
	}
	if len(o.Headers) > 0 {
		options = append(options, otlploghttp.WithHeaders(o.Headers))
	}
	x, err := otlploghttp.New(context.Background(), options...)
	return x, l, err
}

// meterProvider sends what is gathered, every so often.
func (o *Options) meterProvider(about *resource.Resource, from prometheus.Gatherer, counters *Counters) (*sdkmetric.MeterProvider, error) {
	exporter, err := o.metricExporter()
	if err != nil {
		return nil, err
	}
	reader := sdkmetric.NewPeriodicReader(&counted{exporter, counters}, sdkmetric.WithInterval(o.Every), sdkmetric.WithTimeout(sendTimeout),
		sdkmetric.WithProducer(bridge.NewMetricProducer(bridge.WithGatherer(from))))
	return sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(reader)), nil
}

func (o *Options) metricExporter() (sdkmetric.Exporter, error) {
	config, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	if o.Protocol == GRPC {
		options := []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpoint(o.address()), otlpmetricgrpc.WithCompressor("gzip")}
		if len(o.Headers) > 0 {
			options = append(options, otlpmetricgrpc.WithHeaders(o.Headers))
		}
		switch {
		case !o.secure():
			options = append(options, otlpmetricgrpc.WithInsecure())
		case config != nil:
			options = append(options, otlpmetricgrpc.WithTLSCredentials(credentials.NewTLS(config)))
		}
		return otlpmetricgrpc.New(context.Background(), options...)
	}
	options := []otlpmetrichttp.Option{
		otlpmetrichttp.WithEndpointURL(o.url("metrics")), otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression),
	}
	if len(o.Headers) > 0 {
		options = append(options, otlpmetrichttp.WithHeaders(o.Headers))
	}
	if config != nil {
		options = append(options, otlpmetrichttp.WithTLSClientConfig(config))
	}
	return otlpmetrichttp.New(context.Background(), options...)
}

// counted counts what becomes of the metrics that are sent.
type counted struct {
	sdkmetric.Exporter
	counters *Counters
}

// Export sends all metrics.
func (c *counted) Export(ctx context.Context, all *metricdata.ResourceMetrics) error {
	err := c.Exporter.Export(ctx, all)
	result := "ok"
	if err != nil {
		result = "failed"
	}
	c.counters.pushes.WithLabelValues(result).Inc()
	return err
}
