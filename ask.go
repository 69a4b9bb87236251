package hubbub

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"hubbub/internal/broadcast"
)

// Every server of a bus gets every message, and so keeps the same as the others; but what was published before it
// was started it doesn't know. So when the first subscriber comes to a topic that a server hasn't kept to the full, it
// asks the others, once, what they have before the oldest message of its own. Where all have been there from the
// beginning, that is nothing.
//
// It is an attempt: who doesn't answer in time isn't waited for, and a message that was under way between two servers
// while a third was being started may be missing there.

// asker is a Bus whose servers can ask each other. Where they can't, each has what it has.
type asker interface {
	// Answer has f answer what any of the servers asks by that name.
	Answer(name string, f func(question []byte) []byte) error
	// Ask asks all servers, this one included, and returns their answers: those that have come by the time that ctx is
	// done, with an error, if some are missing.
	Ask(ctx context.Context, name string, question []byte) ([][]byte, error)
}

const (
	nameKept = "kept" // what is asked: questions in JSON, answered by answers in JSON

	askTimeout  = 500 * time.Millisecond
	askTopics   = 16        // that are asked about at once, at most
	answerBytes = 512 << 10 // of messages in an answer, shared out evenly over the topics
)

type question struct {
	Topic  []byte // which needn't be UTF-8
	Before uint64 // the oldest message that the asker has; 0 for none
}

type answer struct {
	IDs    []uint64
	Frames [][]byte
}

// attach prepares for questions, if the bus is made for them.
func (k *keeper) attach(b Bus) error {
	bus, ok := b.(asker)
	if !ok {
		return nil
	}
	k.bus = bus
	return bus.Answer(nameKept, k.answer)
}

// ask has ready called when the others have been asked about a topic, or have had their time; it returns false where
// that isn't needed.
func (k *keeper) ask(topic string, ready func()) bool {
	if k.bus == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.findLocked(topic); k.ended || p != nil && (p.settled || len(p.messages) == k.messages) {
		return false
	}
	if len(k.waiting[topic]) == 0 {
		k.queue = append(k.queue, topic)
	}
	k.waiting[topic] = append(k.waiting[topic], ready)
	if !k.asking {
		k.asking = true
		k.asked.Go(k.inquire)
	}
	return true
}

// inquire asks until there is nothing to ask. One goroutine does, and asks about several topics at once, however
// many come.
func (k *keeper) inquire() {
	for {
		topics, questions := k.next()
		if len(topics) == 0 {
			return
		}
		for _, ready := range k.settle(topics, k.collect(topics, questions)) {
			ready()
		}
	}
}

// next returns what to ask next, nothing if inquire is to end.
func (k *keeper) next() (topics []string, questions []question) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := min(askTopics, len(k.queue))
	topics, k.queue = k.queue[:n:n], k.queue[n:]
	k.asking = n > 0
	for _, topic := range topics {
		q := question{Topic: []byte(topic)}
		if p := k.findLocked(topic); p != nil && len(p.messages) > 0 {
			q.Before = p.messages[0].id
		}
		questions = append(questions, q)
	}
	return topics, questions
}

// collect returns, for each topic, the longest answer.
func (k *keeper) collect(topics []string, questions []question) []answer {
	best := make([]answer, len(topics))
	asked, err := json.Marshal(questions)
	if err != nil {
		panic(err) // numbers and bytes
	}
	ctx, cancel := context.WithTimeout(k.ctx, askTimeout)
	defer cancel()
	told, _ := k.bus.Ask(ctx, nameKept, asked) // if somebody hasn't answered, what the others have is used
	for _, data := range told {
		var answers []answer
		if json.Unmarshal(data, &answers) != nil || len(answers) != len(best) {
			continue
		}
		for i, a := range answers {
			if len(a.IDs) == len(a.Frames) && len(a.IDs) > len(best[i].IDs) {
				best[i] = a
			}
		}
	}
	return best
}

// settle puts what the others have before what has come meanwhile, and returns whom to tell.
func (k *keeper) settle(topics []string, answers []answer) (ready []func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended {
		return nil
	}
	for i, topic := range topics {
		p := k.openLocked(topic)
		p.settled = true
		k.prependLocked(p, answers[i])
		ready = append(ready, k.waiting[topic]...)
		delete(k.waiting, topic)
	}
	k.trimLocked()
	return ready
}

// prependLocked puts the newest messages of a that p doesn't have before those that it has.
func (k *keeper) prependLocked(p *past, a answer) {
	var older []keptMessage
	for i, id := range a.IDs {
		if !slices.ContainsFunc(p.messages, func(m keptMessage) bool { return m.id == id }) {
			older = append(older, keptMessage{id, broadcast.NewLastingFrame(nil, a.Frames[i])})
		}
	}
	for _, m := range older {
		k.bytes += k.costOf(m)
	}
	p.messages = append(older, p.messages...)
	k.forgetLocked(p, max(0, len(p.messages)-k.messages))
}

// answer answers another server, or this one, which has nothing before its oldest.
func (k *keeper) answer(data []byte) []byte {
	var questions []question
	if json.Unmarshal(data, &questions) != nil || len(questions) == 0 {
		return nil
	}
	answers := make([]answer, len(questions))
	k.mu.Lock()
	for i, q := range questions {
		if p := k.findLocked(string(q.Topic)); p != nil {
			answers[i] = p.before(q.Before, answerBytes/len(questions))
		}
	}
	k.mu.Unlock()
	told, err := json.Marshal(answers)
	if err != nil {
		panic(err) // numbers and bytes
	}
	return told
}

// before returns the newest messages before the one with that ID, all if there is none, in so many bytes.
func (p *past) before(id uint64, room int) (a answer) {
	older := p.messages
	if i := slices.IndexFunc(older, func(m keptMessage) bool { return m.id == id }); i >= 0 {
		older = older[:i]
	}
	from := len(older)
	for from > 0 && room >= older[from-1].frame.Len() {
		from--
		room -= older[from].frame.Len()
	}
	for _, m := range older[from:] {
		a.IDs = append(a.IDs, m.id)
		a.Frames = append(a.Frames, slices.Clone(m.frame.Bytes()))
	}
	return a
}
