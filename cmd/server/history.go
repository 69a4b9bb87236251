package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"hubbub/internal/bus"
	"hubbub/internal/rooms"
)

// The values of -fsync.
const (
	fsyncLazy   = "lazy"
	fsyncAlways = "always"
)

// busTimeout bounds what has to be asked of NATS before a server can start.
const busTimeout = 10 * time.Second

// hub is a process's end of NATS, and the embedded server if there is one.
type hub struct {
	nats     *bus.NATS            // nil where nothing needs it
	logs     map[string]rooms.Log // that it has made, by namespace
	embedded *bus.Embedded
	dir      *bus.DataDir
	stop     context.CancelFunc
	anchors  sync.WaitGroup
}

// openBus joins the NATS server that -nats names, or starts one in this process if workers or histories need it, and
// makes the logs for the histories.
func openBus(o *options, workers int, name string, log *slog.Logger) (h *hub, err error) {
	h = &hub{stop: func() {}, logs: make(map[string]rooms.Log)}
	defer func() {
		if err != nil {
			h.close()
			h = nil
		}
	}()
	if o.nats == "" {
		if err := h.embed(o, workers, log); err != nil || h.embedded == nil {
			return h, err
		}
	}
	h.nats, err = dialBus(o, bus.NATSConfig{URL: o.nats, In: h.embedded, Prefix: o.natsPrefix, Name: name}, log)
	if err != nil {
		return h, usageError{fmt.Errorf("-nats: %w", err)} // which doesn't repeat the URL: it may hold a password
	}
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	var anchored []*bus.Log
	for name, ns := range o.namespaces.kept() {
		l, err := h.nats.CreateLog(ctx, o.logConfig(name, ns), h.dir != nil && h.dir.Lost())
		if err != nil {
			return h, usageError{fmt.Errorf("the history of the namespace %q can't be kept: %w", name, err)}
		}
		h.logs[name] = l
		if ns.HistoryTTL > 0 {
			anchored = append(anchored, l)
		}
	}
	if h.dir != nil {
		if err := h.dir.Mourned(); err != nil {
			return h, err
		}
	}
	h.keepAnchored(anchored, log)
	return h, nil
}

// embed starts a NATS server in this process, if there is anything for it to do.
func (h *hub) embed(o *options, workers int, log *slog.Logger) (err error) {
	keep := o.namespaces.keepHistory()
	if keep {
		if h.dir, err = bus.OpenDataDir(o.dataDir); err != nil {
			return usageError{fmt.Errorf("-data-dir: %w", err)}
		}
	}
	if keep || workers > 1 {
		h.embedded, err = bus.StartEmbedded(bus.EmbeddedConfig{Dir: h.dir, SyncAlways: o.fsync == fsyncAlways, Logger: log})
	}
	return err
}

// keepAnchored anchors logs from time to time, until the hub is closed.
func (h *hub) keepAnchored(logs []*bus.Log, log *slog.Logger) {
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	for _, l := range logs {
		h.anchors.Go(func() {
			tick := time.NewTicker(l.MaxAge() / 8)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if err := l.Anchor(ctx); err != nil && ctx.Err() == nil {
					log.Warn("a history has no new anchor, so that clients which come back may be told without need that they have missed something", "error", err)
				}
			}
		})
	}
}

func (h *hub) close() {
	h.stop()
	h.anchors.Wait()
	if h.nats != nil {
		h.nats.Close()
	}
	if h.embedded != nil {
		h.embedded.Close()
	}
	if h.dir != nil {
		h.dir.Close()
	}
}

// dialBus connects to NATS.
func dialBus(o *options, cfg bus.NATSConfig, log *slog.Logger) (*bus.NATS, error) {
	cfg.OnError = func(err error) { log.Error("the bus has a problem", "error", err) }
	if o.nats == "" && o.namespaces.keepHistory() {
		cfg.Room = bus.Room(o.dataDir)
	}
	return bus.DialNATS(cfg)
}

// openLogs opens the logs that the supervisor has made.
func openLogs(o *options, b *bus.NATS) (map[string]rooms.Log, error) {
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	logs := make(map[string]rooms.Log)
	for name, ns := range o.namespaces.kept() {
		l, err := b.OpenLog(ctx, o.logConfig(name, ns))
		if err != nil {
			return nil, err
		}
		logs[name] = l
	}
	return logs, nil
}

const (
	defaultHistoryBytes = 1 << 30
	// evidence is for how much longer than history_ttl publications stay in the log: they tell those who come back whether
	// they have missed any.
	evidence = 24 * time.Hour
)

func (o *options) logConfig(name string, ns rooms.Namespace) bus.LogConfig {
	cfg := bus.LogConfig{Name: name, Keep: ns.HistorySize, MaxBytes: ns.HistoryBytes, Replicas: o.historyReplicas}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultHistoryBytes
	}
	if ns.HistoryTTL > 0 {
		cfg.MaxAge = time.Duration(ns.HistoryTTL) + evidence
	}
	return cfg
}

// kept returns the namespaces that have a history.
func (f *rulesFlag) kept() rooms.Rules {
	kept := make(rooms.Rules)
	for name, ns := range f.Rules {
		if ns.HistorySize > 0 {
			kept[name] = ns
		}
	}
	return kept
}

// keepHistory reports whether any namespace has a history.
func (f *rulesFlag) keepHistory() bool { return len(f.kept()) > 0 }
