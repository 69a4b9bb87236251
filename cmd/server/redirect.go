package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"hubbub"
)

// maxRedirects is the number of connections that may wait to be sent elsewhere.
const maxRedirects = 1000

// serveRedirect sends who asks for a page on ln to the same page by https on
// port, until the returned function is called.
func serveRedirect(ln net.Listener, port string, log *slog.Logger) (stop func(), err error) {
	srv, err := hubbub.New(hubbub.Config{
		HTTP:     redirectTo(port),
		MaxConns: maxRedirects,
		Loops:    1,
		Workers:  1,
		Logger:   log,
	})
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(ln); !errors.Is(err, hubbub.ErrServerClosed) {
			log.Error("-http-redirect is no longer served", "error", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx) // who still reads the answer is cut off
		<-done
	}, nil
}

func redirectTo(port string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if port != "443" {
			host = net.JoinHostPort(host, port)
		}
		http.Redirect(w, r, "https://"+host+r.URL.RequestURI(), http.StatusPermanentRedirect)
	})
}

// securePort returns the port of the first listener that is encrypted.
func securePort(public []net.Listener) string {
	for _, ln := range public {
		if a, ok := ln.Addr().(*net.TCPAddr); ok {
			_, port, _ := net.SplitHostPort(a.String())
			return port
		}
	}
	return ""
}
