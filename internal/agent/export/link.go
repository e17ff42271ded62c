package export

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A link tells whether a request that failed is worth another try. The SDK's
// exporters say that of some failures; but a connection that is refused, as by
// a collector that starts again, counts as final there.
type link struct {
	next   http.RoundTripper
	status atomic.Int32 // of the last answer; 0 where there was none. Only by HTTP
}

// RoundTrip notes what the collector answers.
func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	l.status.Store(0)
	answer, err := l.next.RoundTrip(r)
	if err == nil {
		l.status.Store(int32(answer.StatusCode))
	}
	return answer, err
}

// refused reports whether the collector has answered that it will not take what
// was sent, now or later (OTLP 1.x, "Failures").
func (l *link) refused(err error) bool {
	switch code := int(l.status.Load()); code {
	case 0:
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	default:
		return code >= 400
	}
	var answered interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &answered) {
		return false
	}
	switch answered.GRPCStatus().Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss, codes.ResourceExhausted:
		return false
	}
	return true
}

// tlsConfig returns how to speak TLS with the collector; nil for the defaults.
func (o *Options) tlsConfig() (*tls.Config, error) {
	if o.CAFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the collector's certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in PEM form", o.CAFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
