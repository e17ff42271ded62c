package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
)

const (
	// maxScrapes bounds the scrapes at once, so that scrapers that hang hold
	// no more than so many copies of the metrics.
	maxScrapes = 4

	scrapeTimeout = 10 * time.Second
	serverTimeout = 20 * time.Second // for a whole request
)

// A Server answers /metrics, /healthz and /readyz.
type Server struct {
	listener net.Listener
	http     http.Server
	web      web.FlagConfig
	log      *slog.Logger
}

// NewServer listens at an address. webConfig is the name of a file of
// exporter-toolkit that asks for TLS or passwords, or "".
func NewServer(address, webConfig string, log *slog.Logger) (*Server, error) {
	if err := web.Validate(webConfig); err != nil {
		if unread := (*fs.PathError)(nil); errors.As(err, &unread) {
			err = unread.Err // which has the name already
		}
		return nil, fmt.Errorf("read the web configuration %s: %w", webConfig, err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for scrapers: %w", err)
	}
	systemd := false
	s := &Server{listener: l, log: log}
	s.web = web.FlagConfig{WebListenAddresses: &[]string{address}, WebSystemdSocket: &systemd, WebConfigFile: &webConfig}
	return s, nil
}

// Address returns where it listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Serve answers for the agent until ctx is done.
func (s *Server) Serve(ctx context.Context, a *Agent) error {
	s.http = http.Server{
		Handler: handler(a), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: serverTimeout,
		WriteTimeout: serverTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	err := web.Serve(s.listener, &s.http, &s.web, s.log)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve metrics: %w", err)
}

// Close stops listening, where Serve was not called.
func (s *Server) Close() error { return s.listener.Close() }

func handler(a *Agent) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.GathererFunc(a.Gather), promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := a.Ready(); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		say(w, http.StatusOK, "tracing")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusOK, "tcptrace agent: /metrics /healthz /readyz")
	})
	return mux
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // who asked may have gone
}
