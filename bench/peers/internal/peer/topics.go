package peer

import (
	"runtime"
	"sync"
)

// Topics are the topics by name. A topic stays for good: a load generator uses few.
type Topics[M comparable] struct {
	mu     sync.Mutex // guards byName
	byName map[string]*Topic[M]
}

// Of returns the topic of that name.
func (ts *Topics[M]) Of(name string) *Topic[M] {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.byName[name]
	if t == nil {
		if ts.byName == nil {
			ts.byName = make(map[string]*Topic[M])
		}
		t = &Topic[M]{places: make(map[M]int)}
		ts.byName[name] = t
	}
	return t
}

// Topic has the members of one topic.
type Topic[M comparable] struct {
	mu      sync.Mutex // guards the rest, and is held while one message is relayed
	members []M
	places  map[M]int // of the members
}

// Join makes m a member, which it must not be yet.
func (t *Topic[M]) Join(m M) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.places[m] = len(t.members)
	t.members = append(t.members, m)
}

// Leave removes m. It tells whether m was still a member.
func (t *Topic[M]) Leave(m M) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.remove(m)
}

func (t *Topic[M]) remove(m M) bool {
	place, member := t.places[m]
	if !member {
		return false
	}
	last := len(t.members) - 1
	t.members[place] = t.members[last]
	t.places[t.members[place]] = place
	clear(t.members[last:])
	t.members = t.members[:last]
	delete(t.places, m)
	return true
}

// Relay calls deliver for every member, and removes those for which it returns false. One message
// is relayed at a time, so that all members get them in the same order: deliver must not block.
func (t *Topic[M]) Relay(deliver func(M) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeAll(refused(t.members, deliver))
}

// RelayInParallel is Relay on all cores if there are enough members: deliver is called for different
// ones at the same time.
func (t *Topic[M]) RelayInParallel(deliver func(M) bool) {
	const share = 256 // members that are worth a goroutine
	t.mu.Lock()
	defer t.mu.Unlock()
	parts := max(1, min(runtime.GOMAXPROCS(0), len(t.members)/share))
	refusing := make([][]M, parts)
	part := func(i int) []M {
		return t.members[i*len(t.members)/parts : (i+1)*len(t.members)/parts]
	}
	var others sync.WaitGroup
	for i := 1; i < parts; i++ {
		others.Go(func() { refusing[i] = refused(part(i), deliver) })
	}
	refusing[0] = refused(part(0), deliver)
	others.Wait()
	for _, members := range refusing {
		t.removeAll(members)
	}
}

// refused returns the members for which deliver returned false.
func refused[M any](members []M, deliver func(M) bool) (refusing []M) {
	for _, m := range members {
		if !deliver(m) {
			refusing = append(refusing, m)
		}
	}
	return refusing
}

func (t *Topic[M]) removeAll(members []M) {
	for _, m := range members {
		t.remove(m)
	}
}
