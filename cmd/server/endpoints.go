package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"
	"unicode/utf8"
	"unique"

	"github.com/klauspost/compress/gzhttp"

	"hubbub"
	"hubbub/internal/api"
	"hubbub/internal/rooms"
	"hubbub/internal/tokens"
	"hubbub/web"
)

const (
	defaultTopic = "lobby"
	maxTopic     = 255 // bytes
)

// topicOf returns the topic that a request names, or the default one.
func topicOf(topic string) (string, error) {
	if topic == "" {
		return defaultTopic, nil
	}
	if len(topic) > maxTopic || !utf8.ValidString(topic) {
		return "", hubbub.Refuse(http.StatusBadRequest, fmt.Sprintf("a topic is UTF-8 of at most %d bytes", maxTopic))
	}
	return topic, nil
}

// relay is the endpoint /ws: every message goes to everyone on the topic, as it
// is, the sender included. The session is the topic; equal names share their
// memory.
func relay(o *options) hubbub.Endpoint {
	publish := func(t hubbub.MessageType) func(*hubbub.Conn, []byte) {
		return func(c *hubbub.Conn, p []byte) {
			c.Publish(c.Session().(unique.Handle[string]).Value(), t, p)
		}
	}
	return hubbub.Endpoint{
		OnOpen: func(c *hubbub.Conn, r *hubbub.Request) error {
			topic, err := topicOf(r.Param("topic"))
			if err != nil {
				return err
			}
			c.SetSession(unique.Make(topic))
			c.Subscribe(topic)
			return nil
		},
		OnText:     publish(hubbub.Text),
		OnBinary:   publish(hubbub.Binary),
		Keepalive:  o.keepalive,
		SlowPolicy: o.slowPolicy(),
	}
}

// echo is the endpoint /echo: every message goes back to its sender.
func echo(o *options) hubbub.Endpoint {
	send := func(t hubbub.MessageType) func(*hubbub.Conn, []byte) {
		return func(c *hubbub.Conn, p []byte) { c.Send(t, p) }
	}
	return hubbub.Endpoint{OnText: send(hubbub.Text), OnBinary: send(hubbub.Binary), Keepalive: o.keepalive}
}

// roomsPath is where clients of the Centrifuge protocol look for a server.
const roomsPath = "/connection/websocket"

// joint joins processes: their topics and their channels.
type joint interface {
	hubbub.Bus
	rooms.Peers
	// Join announces the process, when all that others may ask it stands.
	Join() error
}

// share is what one process of a server has to do, and with what.
type share struct {
	conns, handshakes int
	joined            joint                // nil if there is no other process
	neighbours        hubbub.Neighbours    // nil if there is none on this machine
	logs              map[string]rooms.Log // of the namespaces with history
	verifier          *tokens.Verifier     // nil if there is no key
}

// newServer makes the server of one process, whose channels have metrics of their own.
func newServer(o *options, with share, log *slog.Logger) (*hubbub.Server, *rooms.Rooms, error) {
	proxies, err := o.proxies()
	if err != nil {
		return nil, nil, err
	}
	var srv *hubbub.Server
	mux := http.NewServeMux()
	page := web.Handler()
	mux.Handle("/", page)
	mux.Handle("/assets/", gzhttp.GzipHandler(page)) // their names change with their content: nobody asks whether they have changed
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /subscribers", func(w http.ResponseWriter, r *http.Request) {
		countSubscribers(srv, w, r)
	})
	cfg := rooms.Config{
		Rules: o.namespaces.Rules, Anonymous: o.anonymous, Version: version, Name: processName(), Peers: with.joined, Logs: with.logs, Logger: log,
	}
	if with.verifier != nil {
		cfg.Verifier = with.verifier
	}
	channels := rooms.New(cfg)
	if o.apiKey != "" {
		mux.Handle(api.Path, api.Handler(channels, o.apiKey))
	}
	srv, err = hubbub.New(hubbub.Config{
		Endpoints: map[string]hubbub.Endpoint{
			"/ws":     relay(o),
			"/echo":   echo(o),
			"/chat":   chat(cmp.Or(o.keepalive, chatKeepalive)),
			roomsPath: channels.Endpoint(),
		},
		HTTP:             mux,
		TrustedProxies:   proxies,
		ProxyProtocol:    o.proxyProtocol,
		MaxConns:         with.conns,
		MaxConnsPerIP:    o.maxConnsPerIP,
		MaxHandshakes:    with.handshakes,
		MessageRate:      o.rateLimit,
		ByteRate:         o.rateLimitBytes,
		RateBurst:        o.rateBurst,
		Compress:         o.compress,
		CompressMin:      o.compressMin,
		Origins:          o.origins,
		MaxMessage:       o.maxMessage,
		KeepMessages:     chatLast,
		MaxBacklog:       o.maxBacklog,
		HandshakeTimeout: o.handshake,
		Loops:            o.loops,
		Workers:          o.broadcastWorkers,
		OnWorkerThread:   o.onWorkerThread(log),
		Neighbours:       with.neighbours,
		Bus:              with.joined,
		Logger:           log,
	})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	err = channels.Attach(ctx, srv, roomsPath)
	if err == nil && with.joined != nil {
		err = with.joined.Join()
	}
	if err != nil {
		return nil, nil, errors.Join(err, srv.Shutdown(context.Background()))
	}
	return srv, channels, nil
}

// processName is what backends are told of this process: the machine, and the process on it.
func processName() string {
	host, _ := os.Hostname() // the number will do
	return fmt.Sprintf("%s_%d", host, os.Getpid())
}

// countTimeout is how long the workers have to say how many subscribers they
// have.
const countTimeout = time.Second

// countSubscribers answers with the number of subscribers of a topic in all
// processes, or with 503 if it can't be known.
func countSubscribers(srv *hubbub.Server, w http.ResponseWriter, r *http.Request) {
	topic, err := topicOf(r.URL.Query().Get("topic"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), countTimeout)
	defer cancel()
	n, err := srv.Subscribers(ctx, topic)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]int{"subscribers": n}) // fails where the reader is gone
}
