package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
	"unicode/utf8"
	"unique"

	"hubbub"
	"hubbub/internal/rooms"
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

// joint joins processes: their topics and their channels.
type joint interface {
	hubbub.Bus
	rooms.Peers
}

// newServer makes the server of one process; joined may be nil.
func newServer(o *options, maxConns, maxHandshakes int, joined joint, log *slog.Logger) (*hubbub.Server, error) {
	proxies, err := o.proxies()
	if err != nil {
		return nil, err
	}
	var srv *hubbub.Server
	mux := http.NewServeMux()
	mux.Handle("/", web.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /subscribers", func(w http.ResponseWriter, r *http.Request) {
		countSubscribers(srv, w, r)
	})
	channels := rooms.New(rooms.Config{
		Rules: o.namespaces.Rules, Anonymous: o.anonymous, Version: version, Peers: joined, Logger: log,
	})
	srv, err = hubbub.New(hubbub.Config{
		Endpoints:        map[string]hubbub.Endpoint{"/ws": relay(o), "/echo": echo(o), "/connection/websocket": channels.Endpoint()},
		HTTP:             mux,
		TrustedProxies:   proxies,
		ProxyProtocol:    o.proxyProtocol,
		MaxConns:         maxConns,
		MaxConnsPerIP:    o.maxConnsPerIP,
		MaxHandshakes:    maxHandshakes,
		MessageRate:      o.rateLimit,
		ByteRate:         o.rateLimitBytes,
		RateBurst:        o.rateBurst,
		Compress:         o.compress,
		CompressMin:      o.compressMin,
		Origins:          o.origins,
		MaxMessage:       o.maxMessage,
		MaxBacklog:       o.maxBacklog,
		HandshakeTimeout: o.handshake,
		Loops:            o.loops,
		Workers:          o.broadcastWorkers,
		Bus:              joined,
		Logger:           log,
	})
	if err != nil {
		return nil, err
	}
	if err := channels.Attach(srv); err != nil {
		return nil, errors.Join(err, srv.Shutdown(context.Background()))
	}
	return srv, nil
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
