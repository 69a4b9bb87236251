package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hubbub"
)

// runSingle serves in this process alone.
func runSingle(o *options, log *slog.Logger) error {
	limitMemory(1, log)
	o.shareOut(1)
	secure, err := tlsConfig(o, log)
	if err != nil {
		return err
	}
	ls, err := openListeners(o)
	if err != nil {
		return err
	}
	defer ls.close()
	hub, err := openBus(o, 1, "hubbub", log)
	if err != nil {
		return err
	}
	defer hub.close()
	var joined joint
	var more []prometheus.Collector
	check := func() error { return nil }
	if hub.nats != nil {
		check, more = hub.nats.Check, append(more, busLost(hub.nats))
	}
	if o.nats != "" {
		joined = hub.nats
	}
	serving, end := context.WithCancel(context.Background())
	defer end()
	verifier, err := newVerifier(serving, o, log)
	if err != nil {
		return err
	}
	srv, channels, err := newServer(o, share{o.maxConns, o.maxHandshakes, joined, nil, hub.logs, verifier}, log)
	if err != nil {
		return err
	}
	if ls.admin != nil {
		metrics := promhttp.HandlerFor(newRegistry(append(more, srv, channels)...), promhttp.HandlerOpts{})
		defer serveAdmin(ls.admin, adminMux(metrics, func() health { return healthOf(srv, check) }), log)()
	}
	if ls.redirect != nil {
		stop, err := serveRedirect(ls.redirect, securePort(ls.public), o, log)
		if err != nil {
			return err
		}
		defer stop()
	}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ls.say(log)
	return serveUntil(stop, cancel, srv, ls.public, secure, o, log)
}

func healthOf(srv *hubbub.Server, check func() error) health {
	h := health{Status: healthOK, Workers: 1, Ready: 1, Connections: srv.Connections()}
	if err := check(); err != nil {
		h.Status, h.Ready = err.Error(), 0
	}
	return h
}

// serveUntil serves until stop is done, and then lets the connections end
// within -drain. again restores the default action of the signals, so that a
// second one ends the process.
func serveUntil(stop context.Context, again func(), srv *hubbub.Server, public []net.Listener, secure *tls.Config, o *options, log *slog.Logger) error {
	served := make(chan error, len(public))
	for _, ln := range public {
		go func() { served <- serveOn(srv, ln, secure) }()
	}
	select {
	case err := <-served:
		return err
	case <-stop.Done():
	}
	again()
	log.Info("shutting down", "connections", srv.Connections(), "drain", o.drain)
	ctx, cancel := context.WithTimeout(context.Background(), o.drain)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		log.Warn("connections were cut off: they took longer than -drain to end", "drain", o.drain)
	}
	for range public {
		if err := <-served; !errors.Is(err, hubbub.ErrServerClosed) {
			return err
		}
	}
	return nil
}
