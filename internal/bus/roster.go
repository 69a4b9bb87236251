package bus

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// silentRounds is for how many rounds nothing is heard of a server before it is given up.
const silentRounds = 3

// roster is who is on the bus, and which answers are waited for.
//
// Its time is rounds: one is over when what the server itself has sent last comes back from NATS. So silence counts
// only while others could have been heard: whoever is cut off, or held up, takes nobody for dead.
type roster struct {
	id string // the server's own

	mu        sync.Mutex // guards the rest
	beats     uint64     // of its own, that were sent
	spokenFor uint64     // the beat up to which another server's word is enough for the others
	round     uint64
	signs     map[string]sign // the last of each server, by id
	asked     uint64          // questions so far
	questions map[uint64]*question
}

// sign is a sign of life, or of its end: what was sent before a goodbye may arrive after it.
type sign struct {
	round uint64
	left  bool
}

// question waits for those who were there when it was asked, and takes the answers of others too.
type question struct {
	of      int // that were there
	missing map[string]bool
	answers map[string][]byte
	done    chan struct{} // closed when none is missing
}

func newRoster(id string) *roster {
	return &roster{id: id, signs: make(map[string]sign), questions: make(map[uint64]*question)}
}

// beat returns the number of the server's next beat, and reports whether another one has spoken for it lately.
func (r *roster) beat() (n uint64, spokenFor bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beats++
	return r.beats, r.beats <= r.spokenFor
}

// vouched notes that another server says that these are there.
func (r *roster) vouched(ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.hearLocked(id)
		if id == r.id {
			r.spokenFor = r.beats + 2 // they are as frequent, but which comes first varies
		}
	}
}

// hear notes that a server is there, and reports whether that is news.
func (r *roster) hear(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hearLocked(id)
}

func (r *roster) hearLocked(id string) bool {
	s, known := r.signs[id]
	if !s.left {
		r.signs[id] = sign{round: r.round}
	}
	return !known
}

// echo notes that one of the server's own beats has come back. Only that of the last counts: those that were held up
// on their way come all at once.
func (r *roster) echo(beat uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if beat != r.beats {
		return
	}
	r.round++
	r.hearLocked(r.id)
	for id, s := range r.signs {
		if r.round-s.round > silentRounds {
			delete(r.signs, id)
			r.spareLocked(id)
		}
	}
}

// leave notes that a server has gone.
func (r *roster) leave(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signs[id] = sign{round: r.round, left: true}
	r.spareLocked(id)
}

// spareLocked waits no longer for a server's answers.
func (r *roster) spareLocked(id string) {
	for _, q := range r.questions {
		q.spare(id)
	}
}

func (q *question) spare(id string) {
	if q.missing[id] {
		delete(q.missing, id)
		if len(q.missing) == 0 {
			close(q.done)
		}
	}
}

// there returns who is there.
func (r *roster) there() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.thereLocked()
}

func (r *roster) thereLocked() map[string]bool {
	ids := make(map[string]bool, len(r.signs))
	for id, s := range r.signs {
		if !s.left {
			ids[id] = true
		}
	}
	return ids
}

// ask returns a question to all who are there, and its number.
func (r *roster) ask() (uint64, *question) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	q := &question{missing: r.thereLocked(), answers: make(map[string][]byte), done: make(chan struct{})}
	q.of = len(q.missing)
	r.questions[r.asked] = q
	return r.asked, q
}

// answer takes a server's answer, which is a sign of life too. That to a question that nobody waits for is only that.
func (r *roster) answer(n uint64, id string, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hearLocked(id)
	if q := r.questions[n]; q != nil {
		q.answers[id] = data
		q.spare(id)
	}
}

// close ends the waiting. It returns the answers, with an error if some are missing.
func (r *roster) close(n uint64) ([][]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.questions[n]
	delete(r.questions, n)
	answers := slices.Collect(maps.Values(q.answers))
	if len(q.missing) > 0 {
		return answers, fmt.Errorf("%d of %d servers have not answered", len(q.missing), q.of)
	}
	return answers, nil
}
