package bus

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// maxPayload is the largest message the embedded server carries, in bytes: 64
// MiB and room for the topic.
const maxPayload = 64<<20 + 64<<10

// Embedded is a NATS server inside this process, for the processes of this
// machine. It listens on a loopback port of the kernel's choice and lets in who
// knows its token.
type Embedded struct {
	srv   *server.Server
	token string
}

// StartEmbedded starts a server. The caller has to Close it.
func StartEmbedded() (*Embedded, error) {
	e := &Embedded{token: rand.Text()}
	var err error
	e.srv, err = server.NewServer(&server.Options{
		ServerName:    "hubbub",
		Host:          "127.0.0.1",
		Port:          server.RANDOM_PORT,
		Authorization: e.token,
		MaxPayload:    maxPayload,
		MaxPending:    2 * pendingBytes,
		WriteDeadline: 30 * time.Second,
		NoLog:         true,
		NoSigs:        true,
	})
	if err != nil {
		return nil, fmt.Errorf("bus: embedded NATS server: %w", err)
	}
	e.srv.Start()
	if !e.srv.ReadyForConnections(10 * time.Second) {
		e.Close()
		return nil, errors.New("bus: the embedded NATS server did not start within 10 s")
	}
	return e, nil
}

// URL is how to connect. It holds the token.
func (e *Embedded) URL() string {
	u := url.URL{Scheme: "nats", User: url.User(e.token), Host: e.srv.Addr().String()}
	return u.String()
}

// Close ends the server.
func (e *Embedded) Close() {
	e.srv.Shutdown()
	e.srv.WaitForShutdown()
}
