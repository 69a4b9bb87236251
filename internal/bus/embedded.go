package bus

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// maxPayload is the largest message the embedded server carries, in bytes: 64
// MiB and room for the topic.
const maxPayload = 64<<20 + 64<<10

// EmbeddedConfig describes an Embedded.
type EmbeddedConfig struct {
	Dir        *DataDir // where logs are kept; nil for a server without any
	SyncAlways bool     // entries are forced to disk before they are acknowledged, rather than every 2 minutes
	Logger     *slog.Logger
}

// Embedded is a NATS server inside this process, for the processes of this
// machine. It listens on a loopback port of the kernel's choice and lets in who
// knows its token.
type Embedded struct {
	srv   *server.Server
	token string
}

// StartEmbedded starts a server. The caller has to Close it.
func StartEmbedded(cfg EmbeddedConfig) (*Embedded, error) {
	e := &Embedded{token: rand.Text()}
	o := &server.Options{
		ServerName:    "hubbub",
		Host:          "127.0.0.1",
		Port:          server.RANDOM_PORT,
		Authorization: e.token,
		MaxPayload:    maxPayload,
		MaxPending:    2 * pendingBytes,
		WriteDeadline: 30 * time.Second,
		NoSigs:        true,
	}
	if cfg.Dir != nil {
		o.JetStream, o.StoreDir, o.SyncAlways = true, cfg.Dir.path, cfg.SyncAlways
		// What may be used is up to the logs' own limits, and to Room.
		o.JetStreamMaxStore, o.JetStreamMaxMemory = 1<<60, 1<<40
	}
	var err error
	if e.srv, err = server.NewServer(o); err != nil {
		return nil, fmt.Errorf("bus: embedded NATS server: %w", err)
	}
	e.srv.SetLoggerV2(natsLogger{cfg.Logger}, false, false, false)
	e.srv.Start()
	if !e.srv.ReadyForConnections(10 * time.Second) {
		e.Close()
		return nil, errors.New("bus: the embedded NATS server did not start within 10 s")
	}
	if cfg.Dir != nil && !e.srv.JetStreamEnabled() {
		e.Close()
		return nil, fmt.Errorf("bus: the embedded NATS server can't use the data directory %s", cfg.Dir.path)
	}
	return e, nil
}

// URL is how to connect. It holds the token.
func (e *Embedded) URL() string {
	u := url.URL{Scheme: "nats", User: url.User(e.token), Host: e.srv.Addr().String()}
	return u.String()
}

// Within is an option for connections from this very process: they don't cross a socket.
func (e *Embedded) within() nats.Option { return nats.InProcessServer(e.srv) }

// Close ends the server.
func (e *Embedded) Close() {
	e.srv.Shutdown()
	e.srv.WaitForShutdown()
}

// natsLogger passes on what goes wrong in a NATS server.
type natsLogger struct{ log *slog.Logger }

func (l natsLogger) Errorf(format string, v ...any) {
	l.log.Error("the embedded NATS server has a problem", "error", fmt.Sprintf(format, v...))
}
func (l natsLogger) Fatalf(format string, v ...any) { l.Errorf(format, v...) }

// The others tell what its clients notice too, or is nobody's concern.
func (natsLogger) Noticef(string, ...any) {}
func (natsLogger) Warnf(string, ...any)   {}
func (natsLogger) Debugf(string, ...any)  {}
func (natsLogger) Tracef(string, ...any)  {}
