package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// beatEvery is how often a server says that it is there. One that has died is given up after silentRounds and
	// up to one more: long enough for those whom a restart of NATS has cut off, who are back within 2.1 s of each other.
	beatEvery = 2 * time.Second
	// quiet is for how long nobody new has to be heard before a server believes that it knows all.
	quiet = 250 * time.Millisecond
)

// clock is what time is to a bus.
type clock struct {
	beats func() (ticks <-chan time.Time, stop func())
	quiet func() // waits for so long
}

var realClock = clock{
	beats: func() (<-chan time.Time, func()) {
		t := time.NewTicker(beatEvery)
		return t.C, t.Stop
	},
	quiet: func() { time.Sleep(quiet) },
}

// NewID returns an id for a server.
func NewID() string { return rand.Text() }

const idLen = 26 // of what NewID returns

// note is what servers tell each other of themselves.
type note struct {
	ID    string   `json:"id,omitempty"`
	Beat  uint64   `json:"beat,omitempty"` // zero for one that comes out of turn
	Bye   bool     `json:"bye,omitempty"`
	Alive []string `json:"alive,omitempty"` // others, for which the sender speaks
}

// Join announces the server: from now on it is one of those who are asked, and may ask. It is called when all that it
// Answers stands, and before it has anything to answer with.
func (b *NATS) Join() error {
	_, err := b.nc.Subscribe(b.subject(nameServers), b.onNote)
	b.own = b.nc.NewInbox()
	if err == nil {
		_, err = b.nc.Subscribe(b.own, b.onNote)
	}
	if err := b.attached(err); err != nil {
		return err
	}
	b.roster.hear(b.roster.id)
	b.joined.Store(true)
	b.announce(note{ID: b.roster.id})
	b.beating.Go(func() { b.again(b.beat) })
	// Whoever is there answers at once. Should one be held up for longer, it is heard by its next beat.
	for range beatEvery / quiet {
		before := len(b.roster.there())
		b.clock.quiet()
		if len(b.roster.there()) == before {
			break
		}
	}
	return nil
}

// Vouch announces other servers, again and again: those whose ids alive returns. That costs a fraction of what it
// costs if each speaks for itself, which they do only while nobody speaks for them.
func (b *NATS) Vouch(alive func() []string) {
	b.beating.Go(func() { b.again(func() { b.vouch(alive()) }) })
}

func (b *NATS) vouch(ids []string) {
	if len(ids) > 0 {
		b.announce(note{Alive: ids})
	}
}

// beat sends what has to come back for a round to be over: to all, unless another server has just spoken for this one.
func (b *NATS) beat() {
	beat, spoken := b.roster.beat()
	to := b.subject(nameServers)
	if spoken {
		to = b.own
	}
	b.tell(to, note{ID: b.roster.id, Beat: beat})
}

// again calls f again and again, until Close.
func (b *NATS) again(f func()) {
	ticks, stop := b.clock.beats()
	defer stop()
	for {
		select {
		case <-b.leaving:
			return
		case <-ticks:
			f()
		}
	}
}

// leave says goodbye, so that nobody waits until the silence is noticed.
func (b *NATS) leave() {
	close(b.leaving)
	b.beating.Wait()
	if b.joined.Load() {
		b.announce(note{ID: b.roster.id, Bye: true})
	}
}

// Gone says goodbye for a server that couldn't: who knows that it is dead spares the others finding out.
func (b *NATS) Gone(id string) { b.announce(note{ID: id, Bye: true}) }

// announce sends a note to all servers. All answer one that comes out of turn: its sender may not know them.
func (b *NATS) announce(n note) { b.tell(b.subject(nameServers), n) }

func (b *NATS) tell(subject string, n note) {
	data, err := json.Marshal(n)
	if err != nil {
		panic(err) // strings and numbers
	}
	_ = b.nc.PublishRequest(subject, b.answers+"0", data) // who isn't connected is told of that elsewhere
}

func (b *NATS) onNote(m *nats.Msg) {
	var n note
	err := json.Unmarshal(m.Data, &n)
	b.roster.vouched(n.Alive)
	switch own := n.ID == b.roster.id; {
	case len(n.Alive) > 0:
	case err != nil || len(n.ID) != idLen:
		b.cfg.OnError(errMalformed)
	case own && n.Beat > 0:
		b.roster.echo(n.Beat)
	case own:
	case n.Bye:
		b.roster.leave(n.ID)
	case b.roster.hear(n.ID), n.Beat == 0:
		b.respond(m, nil)
	}
}

// Answer has f answer what any of the servers asks by that name.
func (b *NATS) Answer(name string, f func(question []byte) []byte) error {
	_, err := b.nc.Subscribe(b.subject(name), func(m *nats.Msg) { b.respond(m, f(m.Data)) })
	return b.attached(err)
}

// respond answers m: with the server's id, and what there is to say. Whoever is heard is asked, and waited for: so
// nothing is said before all that may be asked stands, and nothing after a goodbye, which newcomers may not have heard.
func (b *NATS) respond(m *nats.Msg, data []byte) {
	select {
	case <-b.leaving:
		return
	default:
	}
	if !b.joined.Load() {
		return
	}
	_ = m.Respond(append([]byte(b.roster.id), data...)) // who asked notices that an answer is missing
}

// listenForAnswers has them come to one subject, with the question's number at its end, so that a question costs no
// goroutine and no subscription.
func (b *NATS) listenForAnswers() error {
	b.answers = b.nc.NewInbox() + "."
	sub, err := b.nc.Subscribe(b.answers+"*", b.onAnswer)
	if err == nil {
		err = sub.SetPendingLimits(-1, pendingBytes)
	}
	return err
}

// onAnswer gets the answers to what was asked, and to what was announced.
func (b *NATS) onAnswer(m *nats.Msg) {
	n, err := strconv.ParseUint(m.Subject[len(b.answers):], 10, 64)
	switch {
	case m.Header.Get("Status") == noResponders:
	case err != nil || len(m.Data) < idLen:
		b.cfg.OnError(errMalformed)
	default:
		b.roster.answer(n, string(m.Data[:idLen]), m.Data[idLen:])
	}
}

// Ask asks all servers and returns their answers. It waits for all that are known when it is called, but for those
// that leave or fall silent meanwhile; it is an error if one is missing when ctx ends, and the others' answers are
// returned with it. The server's own answer takes
// the same way, so that whoever is cut off from NATS gets an error.
func (b *NATS) Ask(ctx context.Context, name string, question []byte) ([][]byte, error) {
	if !b.joined.Load() {
		return nil, errors.New("bus: asking: the server has not joined the others")
	}
	n, q := b.roster.ask()
	err := b.nc.PublishRequest(b.subject(name), b.answers+strconv.FormatUint(n, 10), question)
	if err == nil {
		select {
		case <-q.done:
		case <-ctx.Done():
		}
	}
	answers, missing := b.roster.close(n)
	switch {
	case err != nil:
		return nil, fmt.Errorf("bus: asking: %w", err)
	case missing != nil:
		return answers, fmt.Errorf("bus: %w: %w", missing, ctx.Err())
	}
	return answers, nil
}
