package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrUnanswered is what Append ends with where the store hasn't answered: what was to be appended may be
// in the log or not.
var ErrUnanswered = errors.New("bus: the store of publications doesn't answer")

// errManyAppends is what Append ends with while too many are under way.
var errManyAppends = errors.New("bus: the store of publications can't keep up")

const (
	ackTimeout = 5 * time.Second
	maxAcks    = 1 << 16 // that are waited for, in one process
)

// acks are the store's answers that are waited for. They come to one subject, with a number at its end, so
// that an append costs no goroutine and no subscription.
type acks struct {
	nc     *nats.Conn
	prefix string // of the subjects, with its dot

	mu      sync.Mutex // guards the rest
	last    uint64
	waiting map[uint64]ackWaiter
	timer   *time.Timer // nil while nothing is waited for
}

type ackWaiter struct {
	since time.Time
	done  func(offset uint64, err error)
}

func newAcks(nc *nats.Conn) (*acks, error) {
	a := &acks{nc: nc, prefix: nc.NewInbox() + ".", waiting: make(map[uint64]ackWaiter)}
	sub, err := nc.Subscribe(a.prefix+"*", a.arrived)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // maxAcks bounds them
	}
	return a, err
}

// send sends m to the store, and calls done when that has answered, or is too late.
func (a *acks) send(m *nats.Msg, done func(offset uint64, err error)) {
	a.mu.Lock()
	if len(a.waiting) >= maxAcks {
		a.mu.Unlock()
		done(0, errManyAppends)
		return
	}
	a.last++
	n := a.last
	a.waiting[n] = ackWaiter{time.Now(), done}
	if a.timer == nil {
		a.timer = time.AfterFunc(ackTimeout, a.late)
	}
	a.mu.Unlock()
	m.Reply = a.prefix + strconv.FormatUint(n, 36)
	if err := a.nc.PublishMsg(m); err != nil {
		a.answer(n, 0, fmt.Errorf("bus: appending %d bytes: %w", len(m.Data), err))
	}
}

// answer tells who waits for the n-th answer.
func (a *acks) answer(n, offset uint64, err error) {
	a.mu.Lock()
	w, ok := a.waiting[n]
	delete(a.waiting, n)
	a.mu.Unlock()
	if ok {
		w.done(offset, err)
	}
}

// late tells those who have waited for too long.
func (a *acks) late() {
	var late []uint64
	a.mu.Lock()
	for n, w := range a.waiting {
		if time.Since(w.since) >= ackTimeout {
			late = append(late, n)
		}
	}
	if len(a.waiting) > len(late) {
		a.timer.Reset(time.Second)
	} else {
		a.timer = nil
	}
	a.mu.Unlock()
	for _, n := range late {
		a.answer(n, 0, ErrUnanswered)
	}
}

func (a *acks) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
	clear(a.waiting)
}

// noResponders is the status of the answer where there is no store.
const noResponders = "503"

func (a *acks) arrived(m *nats.Msg) {
	n, err := strconv.ParseUint(m.Subject[len(a.prefix):], 36, 64)
	if err != nil {
		return // nobody has been told such a subject
	}
	var ack struct {
		Seq   uint64 `json:"seq"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &ack); {
	case m.Header.Get("Status") == noResponders:
		a.answer(n, 0, errors.New("bus: there is no store of publications, or it has no leader"))
	case err != nil:
		a.answer(n, 0, fmt.Errorf("bus: the store's answer can't be read: %w", err))
	case ack.Error != nil:
		a.answer(n, 0, fmt.Errorf("bus: the store of publications refuses: %s", ack.Error.Description))
	default:
		a.answer(n, ack.Seq, nil)
	}
}
