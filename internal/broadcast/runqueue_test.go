package broadcast

import (
	"fmt"
	"slices"
	"testing"
)

// listener is a neighbour that keeps what it is told.
type listener struct {
	nobody
	busy    []bool
	hurries int
}

func (l *listener) SetBusy(busy bool) { l.busy = append(l.busy, busy) }
func (l *listener) Hurry()            { l.hurries++ }

// A Hub is busy while so many of a large topic's segments wait, and says so. Small topics don't make it so, but
// for each of these that gets to be served it says that there is a hurry.
func TestBusy(t *testing.T) {
	for _, tt := range []struct {
		segments int
		want     bool
		says     []bool
	}{
		{busySegments - 1, false, nil},
		{busySegments, false, []bool{true, false}}, // until a worker takes one
		{busySegments + 1, true, []bool{true, false}},
	} {
		var told listener
		h := New(Config{Workers: 1, Segment: 1, Neighbours: &told})
		hold := newGate()
		for range tt.segments {
			h.Subscribe("big", new(Subscription), hold)
		}
		for i := range busySegments + 1 {
			h.Subscribe(fmt.Sprint("small", i), new(Subscription), hold)
		}
		h.send("big", "x")
		<-hold.entered
		for i := range busySegments + 1 {
			h.send(fmt.Sprint("small", i), "x")
		}
		if got := h.Busy(); got != tt.want {
			t.Errorf("with %d segments of a big topic: busy is %v, want %v", tt.segments, got, tt.want)
		}
		close(hold.open)
		h.Close()
		if h.Busy() {
			t.Errorf("with %d segments served, it is busy still", tt.segments)
		}
		if !slices.Equal(told.busy, tt.says) {
			t.Errorf("with %d segments, it has said %v of being busy, want %v", tt.segments, told.busy, tt.says)
		}
		if told.hurries != busySegments+1 {
			t.Errorf("with %d segments of a big topic, there were %d hurries, want %d", tt.segments, told.hurries, busySegments+1)
		}
	}
}

// Express segments pass bulk ones, but not for ever: as many members of theirs as a
// bulk segment has.
func TestLanes(t *testing.T) {
	for _, members := range []int{1, 10, expressWrites} { // of an express segment
		var q runQueue
		q.init(false, nobody{})
		bulk, express := &segment{}, &segment{}
		q.push(false, bulk, bulk)
		turns := expressWrites/members + min(1, expressWrites%members) // until they have had their share
		for range 2 * turns {
			q.push(true, express)
		}
		served := 0
		for i := range 2*turns + 2 {
			s, isExpress := q.pop(served)
			if isExpress != (s == express) || isExpress == (i%(turns+1) == turns) {
				t.Fatalf("%d members, turn %d: express is %v", members, i, isExpress)
			}
			served = 0
			if isExpress {
				served = members
			}
		}
		q.close()
		if s, _ := q.pop(0); s != nil {
			t.Error("a closed and empty queue gives out a segment")
		}
	}
}
