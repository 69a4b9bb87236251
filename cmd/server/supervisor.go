package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/internal/bus"
	"hubbub/internal/neighbours"
	"hubbub/internal/poller"
	"hubbub/internal/timerslack"
)

// supervisor keeps the workers running. They share its listening socket and the
// bus; it serves no connection itself.
type supervisor struct {
	// Static after construction.
	o        *options
	log      *slog.Logger
	public   []int    // descriptors of the sockets the workers accept from
	lifeline *os.File // read end of a pipe whose write end only we have
	role     role     // what the workers are told, but for their index and id
	bus      *bus.NATS
	workers  []*child
	board    *neighbours.Board
	shared   *os.File // the board's

	wg sync.WaitGroup // one for each worker's keeper

	starting sync.Mutex // held while a worker is started, with public among its files
}

// child is a worker as its supervisor sees it.
type child struct {
	index  int
	admin  *os.File // the listening Unix socket that it answers on
	client *http.Client
	ready  atomic.Pointer[string] // its id on the bus, if it has answered and hasn't ended since
}

// Back-off of a worker that dies: from the first to the last wait, doubled each
// time, and from the start again once it has run for steady.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 10 * time.Second
	steady    = 30 * time.Second
)

// workerSlack is how late a worker's threads may wake up from short sleeps. With
// the kernel's own 50 µs the Go runtime's monitors, and switching to them, halve
// what fifty workers get done (bench/NOTES.md). Nothing that a message waits for is such a sleep.
const workerSlack = 4 * time.Millisecond

// runSupervisor starts the workers that p plans and keeps them running until a
// signal comes.
func runSupervisor(o *options, p processes, log *slog.Logger) error {
	limitMemory(p.workers+1, log)
	if _, err := tlsConfig(o, log); err != nil {
		return err // once, rather than from every worker
	}
	if err := checkVerifier(o, log); err != nil {
		return err
	}
	ls, err := openListeners(o)
	if err != nil {
		return err
	}
	defer ls.close()
	s := &supervisor{o: o, log: log, role: role{
		Conns: p.perConns, Handshakes: (o.maxHandshakes + p.workers - 1) / p.workers,
		Of: p.workers, Bus: o.nats, Prefix: o.natsPrefix,
	}}
	for _, ln := range ls.public {
		fd, err := poller.ListenerFD(ln)
		if err != nil {
			return err
		}
		if tcp, ok := ln.(*net.TCPListener); ok {
			tcp.Close() // the duplicates keep the socket open
		}
		s.public = append(s.public, fd)
	}
	hub, err := openBus(o, p.workers, "hubbub supervisor", log)
	if err != nil {
		return err
	}
	defer hub.close()
	s.bus = hub.nats
	if o.nats == "" {
		s.role.Bus = hub.embedded.URL()
	}
	var held *os.File
	if s.lifeline, held, err = os.Pipe(); err != nil {
		return fmt.Errorf("making the workers' lifeline: %w", err)
	}
	defer s.lifeline.Close()
	defer held.Close()
	if s.board, s.shared, err = neighbours.Make(p.workers); err != nil {
		return err
	}
	defer s.shared.Close()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	started := make(chan error, p.workers)
	for i := range p.workers {
		c, err := newChild(i)
		if err != nil {
			return err
		}
		defer c.admin.Close()
		s.workers = append(s.workers, c)
	}
	if ls.admin != nil {
		defer serveAdmin(ls.admin, s.adminMux(), log)()
	}
	if ls.redirect != nil {
		stop, err := serveRedirect(ls.redirect, securePort(ls.public), o, log)
		if err != nil {
			return err
		}
		defer stop()
	}
	hub.nats.Vouch(s.alive)
	for _, c := range s.workers {
		s.wg.Go(func() { s.keep(ctx, c, started) })
	}
	for range s.workers {
		select {
		case err := <-started:
			if err != nil {
				cancel()
				s.wg.Wait()
				return err
			}
			continue
		case <-ctx.Done():
		}
		break
	}
	if ctx.Err() == nil {
		ls.say(log, "workers", p.workers)
		forgetStartup()
	}
	<-ctx.Done()
	cancel() // a second signal ends the process, and with it the workers
	log.Info("shutting down", "drain", o.drain)
	// Who comes now is refused as soon as the workers don't accept any more,
	// rather than left waiting until they have ended.
	s.starting.Lock()
	for i, fd := range s.public {
		unix.Close(fd)
		ls.public[i].Close()
	}
	s.starting.Unlock()
	s.wg.Wait()
	return nil
}

// alive returns the ids of the workers that serve.
func (s *supervisor) alive() (ids []string) {
	for _, c := range s.workers {
		if id := c.ready.Load(); id != nil {
			ids = append(ids, *id)
		}
	}
	return ids
}

func newChild(index int) (*child, error) {
	// An empty name has the kernel choose one, in no directory.
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("making a worker's admin socket: %w", err)
	}
	defer ln.Close()
	f, err := ln.File()
	if err != nil {
		return nil, fmt.Errorf("making a worker's admin socket: %w", err)
	}
	addr := ln.Addr().String()
	return &child{
		index: index,
		admin: f,
		client: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", addr)
			},
			IdleConnTimeout: 5 * time.Second,
		}},
	}, nil
}

// keep runs worker c until ctx is done, again and again if it dies. started is
// told once: when it serves, or when it has failed without ever serving.
func (s *supervisor) keep(ctx context.Context, c *child, started chan<- error) {
	wait := firstWait
	served := false
	for ctx.Err() == nil {
		begin := time.Now()
		err := s.run(ctx, c, func() {
			if !served {
				served = true
				started <- nil
			}
		})
		if ctx.Err() != nil {
			return
		}
		if !served {
			started <- fmt.Errorf("worker %d did not start: %w", c.index, err)
			return
		}
		if time.Since(begin) > steady {
			wait = firstWait
		}
		s.log.Error("a worker has ended; it is started again", "worker", c.index, "error", err, "after", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, lastWait)
	}
}

// run runs worker c once. up is called when it serves. When ctx is done, the
// worker is asked to end, and killed if it doesn't within -drain and a little.
func (s *supervisor) run(ctx context.Context, c *child, up func()) error {
	r := s.role
	r.Index, r.ID = c.index, bus.NewID()
	told, err := json.Marshal(r)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the server's own program: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Env = slices.Concat(os.Environ(), s.o.environment(), []string{roleEnv + "=" + string(told)})
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	s.starting.Lock()
	if err = ctx.Err(); err == nil {
		err = s.start(cmd, c)
	}
	s.starting.Unlock()
	if err != nil {
		return fmt.Errorf("starting the program again: %w", err)
	}
	defer c.ready.Store(nil)

	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // its admin socket listens already: this waits for an answer
		if c.answers(ctx, over) {
			c.ready.Store(&r.ID)
			up()
		}
	})
	wg.Go(func() {
		select {
		case <-over:
			return
		case <-ctx.Done():
		}
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-over:
		case <-time.After(s.o.drain + 2*time.Second):
			s.log.Warn("a worker is killed: it took too long to end", "worker", c.index)
			cmd.Process.Kill()
		}
	})
	err = cmd.Wait()
	s.bus.Gone(r.ID)
	s.board.SetBusy(c.index, false)
	close(over)
	wg.Wait()
	if err == nil {
		err = fmt.Errorf("it ended by itself")
	}
	return err
}

// start starts worker c with the files that it inherits. Those of the listening sockets
// are there for no longer than that takes: Go's own poller looks after a file that
// doesn't block, and would be woken by every connection.
func (s *supervisor) start(cmd *exec.Cmd, c *child) error {
	cmd.ExtraFiles = []*os.File{s.lifeline, c.admin, s.shared}
	for _, fd := range s.public {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("duplicating a listening socket: %w", err)
		}
		f := os.NewFile(uintptr(dup), "listener")
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return timerslack.Start(cmd, workerSlack)
}

// answers reports whether the worker answers: whether it is well is asked later,
// again and again. It gives up when ctx is done or over is closed.
func (c *child) answers(ctx context.Context, over <-chan struct{}) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-over:
			cancel()
		case <-ctx.Done():
		}
	}()
	resp, err := c.get(ctx, "/healthz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}

func (c *child) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://worker"+path, nil)
	if err != nil {
		return nil, err
	}
	return c.client.Do(req)
}

// adminMux serves the supervisor's own pages, all workers' metrics in one, and
// each worker's pages below /workers/N/.
func (s *supervisor) adminMux() http.Handler {
	mux := adminMux(metricsOf(s.workers, newRegistry(), s.log), s.health)
	for _, c := range s.workers {
		prefix := "/workers/" + strconv.Itoa(c.index)
		mux.Handle(prefix+"/", http.StripPrefix(prefix, &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.Out.URL.Scheme, r.Out.URL.Host = "http", "worker"
			},
			Transport: c.client.Transport,
		}))
	}
	return mux
}

// askTimeout bounds how long a worker may take to answer for /healthz or
// /metrics.
const askTimeout = 3 * time.Second

// health asks every worker.
func (s *supervisor) health() health {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	answers := make([]health, len(s.workers))
	var wg sync.WaitGroup
	for i, c := range s.workers {
		if c.ready.Load() == nil {
			continue
		}
		wg.Go(func() {
			resp, err := c.get(ctx, "/healthz")
			if err != nil {
				return
			}
			defer resp.Body.Close()
			_ = json.NewDecoder(resp.Body).Decode(&answers[i]) // an answer that is cut off counts as none
		})
	}
	wg.Wait()
	h := health{Status: healthOK, Workers: len(s.workers)}
	for _, a := range answers {
		h.Ready += a.Ready
		h.Connections += a.Connections
	}
	if h.Ready < h.Workers {
		h.Status = fmt.Sprintf("%d of %d workers are not ready", h.Workers-h.Ready, h.Workers)
	}
	return h
}
