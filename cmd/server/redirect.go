package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hubbub"
)

// maxRedirects is the number of connections that may wait to be sent elsewhere. They
// are among the descriptors that plan leaves over.
const maxRedirects = 256

// serveRedirect sends who asks for a page on ln to the same page by https on
// port, until the returned function is called.
func serveRedirect(ln net.Listener, port string, o *options, log *slog.Logger) (stop func(), err error) {
	proxies, err := o.proxies()
	if err != nil {
		return nil, err
	}
	srv, err := hubbub.New(hubbub.Config{
		HTTP:             redirectTo(port),
		TrustedProxies:   proxies,
		ProxyProtocol:    o.proxyProtocol,
		MaxConns:         maxRedirects,
		MaxHandshakes:    maxRedirects / 2, // who says nothing doesn't keep others out
		HandshakeTimeout: o.handshake,
		MemoryLimit:      math.MaxInt64, // the server itself looks after that
		Loops:            1,
		Workers:          1,
		Logger:           log,
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
		asked, err := url.Parse("https://" + r.Host)
		path := r.URL.RequestURI()
		if err != nil || asked.Hostname() == "" || !strings.HasPrefix(path, "/") {
			http.Error(w, "there is no host, or no path, to redirect to", http.StatusBadRequest)
			return
		}
		to := url.URL{Scheme: "https", Host: net.JoinHostPort(asked.Hostname(), port)}
		if port == "443" {
			to.Host = strings.TrimSuffix(to.Host, ":443")
		}
		http.Redirect(w, r, to.String()+path, http.StatusPermanentRedirect)
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
