package hubbub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hubbub/internal/poller"
)

// call is a kind of system call.
type call int

const (
	callRead call = iota
	callWrite
	callAccept
	callShutdown
	callClose
	callAdd
	callMod
	callDel
	numCalls
)

func (k call) String() string {
	return [numCalls]string{"Read", "Write", "Accept", "ShutdownWrite", "Close", "Add", "Mod", "Del"}[k]
}

// failures are the errors that a call can end with. EAGAIN isn't one.
var failures = [numCalls][]unix.Errno{
	callRead: {unix.ECONNRESET, unix.ETIMEDOUT},
	// A TCP socket has EAGAIN for want of memory; a Unix socket has ENOBUFS,
	// which may have passed at the next call.
	callWrite:    {unix.EPIPE, unix.ECONNRESET, unix.ENOBUFS, unix.ENOMEM},
	callAccept:   {unix.ECONNABORTED, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM},
	callShutdown: {unix.ENOTCONN},
	callClose:    {unix.EINTR, unix.EIO}, // which close the descriptor
	callAdd:      {unix.ENOMEM, unix.ENOSPC},
	callMod:      {unix.ENOMEM, unix.ENOSPC},
	callDel:      {unix.ENOENT},
}

// weather is what a chaos does to the calls of each kind.
type weather struct {
	mild   [numCalls]float64 // the part that does less than it was asked, or later: EAGAIN, a short count
	hard   [numCalls]float64 // the part that fails
	nth    [numCalls]int     // fails in any case; 0 for none
	spared int               // calls of Add at first that don't fail: the loops' own
}

// newWeather draws anything from calm to brutal.
func newWeather(die *rand.Rand) (w weather) {
	mild := []float64{0, 0.1, 0.4, 0.9}[die.IntN(4)]
	for _, k := range []call{callRead, callWrite, callAccept} {
		w.mild[k] = mild * die.Float64()
	}
	switch die.IntN(4) {
	case 0: // nothing breaks
	case 1: // one call
		w.nth[die.IntN(int(numCalls))] = 1 + die.IntN(2<<die.IntN(8))
	case 2: // now and then
		for k := range w.hard {
			w.hard[k] = 0.03 * die.Float64()
		}
	case 3: // calls of some kinds often, or always
		for k := range w.hard {
			switch call(k) {
			case callShutdown, callClose, callDel:
				w.hard[k] = float64(die.IntN(2))
			default:
				w.hard[k] = max(0, die.Float64()-0.6)
			}
		}
	}
	return w
}

// breaks reports whether anything fails.
func (w *weather) breaks() bool {
	return w.hard != [numCalls]float64{} || w.nth != [numCalls]int{}
}

func (w *weather) String() string {
	s := fmt.Sprintf("%d spared", w.spared)
	for k := range numCalls {
		if w.mild[k]+w.hard[k] > 0 || w.nth[k] > 0 {
			s += fmt.Sprintf(", %v %.2f %.2f %d", k, w.mild[k], w.hard[k], w.nth[k])
		}
	}
	return s
}

// descriptor is one that was accepted and isn't closed.
type descriptor struct {
	epoll    poller.Epoll  // nil as long as it isn't watched
	events   poller.Events // it is watched for
	broken   bool          // a call on it has failed
	deleted  bool          // from its epoll
	undone   bool          // its Add has failed, and Del is to come for that
	finished bool          // FIN was sent
	full     bool          // it takes nothing, and isn't reported to be writable
	stalled  bool          // it has been full: closing may have timed out
}

// chaos is a kernel that fails as its weather has it. It also sees to it that a
// server uses no descriptor but its own.
type chaos struct {
	poller.OS
	weather weather
	seed    uint64
	problem func(format string, args ...any)

	mu       sync.Mutex
	over     bool
	relented bool
	calls    [numCalls]uint64
	accepted int // of which the server may have been told nothing
	shorts   int // Accepts that have failed for want of something
	fds      map[int]*descriptor
}

// maxShorts bounds how often accepting stops, which takes half a second.
const maxShorts = 2

// pass ends the storm.
func (c *chaos) pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.relentLocked()
}

// relent has every descriptor take something again, from now on: a server that
// closes connections waits for them.
func (c *chaos) relent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.relentLocked()
}

func (c *chaos) relentLocked() {
	c.relented = true
	for fd, d := range c.fds {
		c.drainLocked(fd, d)
	}
}

// drainLocked ends d's being full.
func (c *chaos) drainLocked(fd int, d *descriptor) {
	if d.full && !d.deleted && d.epoll != nil {
		d.epoll.Mod(fd, d.events)
	}
	d.full = false
}

// fillLocked has d take nothing for some milliseconds.
func (c *chaos) fillLocked(fd int, d *descriptor, ms uint64) {
	d.full, d.stalled = true, true
	if d.epoll != nil {
		d.epoll.Mod(fd, d.events&^poller.Writable)
	}
	time.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.drainLocked(fd, d)
	})
}

// roll decides about one call: what the n-th of a kind does depends on nothing
// but the seed.
func (c *chaos) roll(k call) (die uint64, mild bool, err error) {
	c.calls[k]++
	if c.over || k == callAdd && c.calls[k] <= uint64(c.weather.spared) {
		return 0, false, nil
	}
	var src rand.PCG
	src.Seed(c.seed+uint64(k), c.calls[k])
	die = src.Uint64()
	w := &c.weather
	switch p := float64(src.Uint64()>>11) / (1 << 53); {
	case c.calls[k] == uint64(w.nth[k]) || p < w.hard[k]:
		return die, false, failures[k][die%uint64(len(failures[k]))]
	case p < w.hard[k]+w.mild[k]:
		return die, true, nil
	}
	return die, false, nil
}

// rollFor is roll for a call on a connection's descriptor, which fails for good.
func (c *chaos) rollFor(k call, fd int) (die uint64, mild bool, err error) {
	d := c.fds[fd]
	if d == nil || d.deleted && k != callClose && !(d.finished && k == callRead) {
		c.problem("%v is called for descriptor %d, which isn't the server's", k, fd)
		return 0, false, unix.EBADF
	}
	die, mild, err = c.roll(k)
	if err != nil && k != callShutdown && k != callClose {
		d.broken = true
	}
	return die, mild, err
}

// part is how much of p a call is done for: anything from a byte to all of it,
// often little.
func part(p []byte, die uint64) []byte {
	return p[:min(len(p), 1+int(die>>8)&(1<<(die%17)-1))]
}

func (c *chaos) Read(fd int, p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	die, mild, err := c.rollFor(callRead, fd)
	if err != nil {
		return 0, err
	}
	if mild && die>>63 == 0 {
		return 0, unix.EAGAIN
	}
	if mild {
		p = part(p, die)
	}
	return c.OS.Read(fd, p)
}

func (c *chaos) Write(fd int, p []byte) (int, error) { return c.write(fd, p, c.OS.Write) }

func (c *chaos) WriteMore(fd int, p []byte) (int, error) { return c.write(fd, p, c.OS.WriteMore) }

func (c *chaos) write(fd int, p []byte, write func(int, []byte) (int, error)) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p) == 0 {
		c.problem("nothing is written")
	}
	die, mild, err := c.rollFor(callWrite, fd)
	if err != nil {
		return 0, err
	}
	d := c.fds[fd]
	if mild && die>>61 == 0 && !d.full && !c.relented {
		c.fillLocked(fd, d, die%8)
	}
	if d.full || mild && die>>63 == 0 {
		return 0, unix.EAGAIN
	}
	if mild {
		p = part(p, die)
	}
	return write(fd, p)
}

func (c *chaos) Accept(fd int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, mild, failed := c.roll(callAccept)
	if mild {
		return -1, unix.EAGAIN
	}
	if failed != nil && !errors.Is(failed, unix.ECONNABORTED) && c.shorts < maxShorts {
		c.shorts++
		return -1, failed
	}
	conn, err := c.OS.Accept(fd)
	if err != nil {
		return -1, err
	}
	c.accepted++
	if errors.Is(failed, unix.ECONNABORTED) {
		unix.Close(conn)
		return -1, failed
	}
	if d := c.fds[conn]; d != nil && (!d.deleted || d.finished) { // else net/http has closed it
		c.problem("descriptor %d is accepted, which isn't closed", conn)
	}
	c.fds[conn] = &descriptor{}
	return conn, nil
}

func (c *chaos) ShutdownWrite(fd int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, err := c.rollFor(callShutdown, fd)
	if d := c.fds[fd]; d != nil {
		d.finished = true
	}
	c.OS.ShutdownWrite(fd)
	return err
}

func (c *chaos) Close(fd int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, err := c.rollFor(callClose, fd)
	if errors.Is(err, unix.EBADF) {
		return err
	}
	c.fds[fd].deleted = true
	delete(c.fds, fd)
	c.OS.Close(fd)
	return err
}

func (c *chaos) NewEpoll(onWaitError func(error)) (poller.Epoll, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.weather.spared == 0 {
		if _, _, err := c.roll(callAdd); err != nil {
			return nil, unix.EMFILE
		}
	}
	ep, err := c.OS.NewEpoll(onWaitError)
	return &chaosEpoll{ep, c}, err
}

// taken returns how many connections have left the kernel's queue.
func (c *chaos) taken() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted
}

// find returns what is known of a connection's descriptor.
func (c *chaos) find(fd int) *descriptor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fds[fd]
}

// isBroken reports whether a call for d has failed that ends its connection.
func (c *chaos) isBroken(d *descriptor) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return d != nil && d.broken
}

// hasStalled reports whether d has been full for some time.
func (c *chaos) hasStalled(d *descriptor) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return d != nil && d.stalled
}

// left returns the descriptors that aren't closed, but for those that net/http
// has got.
func (c *chaos) left() (fds []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for fd, d := range c.fds {
		if !d.deleted || d.finished {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	return fds
}

// chaosEpoll is the Epoll of a chaos.
type chaosEpoll struct {
	poller.Epoll
	chaos *chaos
}

// Add leaves a trace if it fails, as netpoll's does, and a deeper one.
func (e *chaosEpoll) Add(fd int, events poller.Events, fn func(poller.Events)) error {
	e.chaos.mu.Lock()
	defer e.chaos.mu.Unlock()
	_, _, failed := e.chaos.roll(callAdd)
	d := e.chaos.fds[fd]
	watched := events
	if d != nil && d.full {
		watched &^= poller.Writable
	}
	if err := e.Epoll.Add(fd, watched, fn); err != nil {
		return err
	}
	if d != nil {
		d.epoll, d.events, d.deleted = e.Epoll, events, false
		if failed != nil {
			d.epoll, d.broken, d.undone = nil, true, true
		}
	}
	return failed
}

func (e *chaosEpoll) Mod(fd int, events poller.Events) error {
	e.chaos.mu.Lock()
	defer e.chaos.mu.Unlock()
	if _, _, err := e.chaos.rollFor(callMod, fd); err != nil {
		return err
	}
	if d := e.chaos.fds[fd]; d != nil {
		d.events = events
		if d.full {
			events &^= poller.Writable
		}
	}
	return e.Epoll.Mod(fd, events)
}

func (e *chaosEpoll) Del(fd int) error {
	e.chaos.mu.Lock()
	defer e.chaos.mu.Unlock()
	if d := e.chaos.fds[fd]; d != nil {
		d.deleted = !d.undone // who undoes an Add still has the descriptor
		d.undone = false
	}
	_, _, failed := e.chaos.roll(callDel)
	if err := e.Epoll.Del(fd); err != nil {
		return err
	}
	return failed
}
