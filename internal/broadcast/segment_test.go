package broadcast

import "testing"

// Nobody is woken for those who come and go where nothing is published: they do so at once.
func TestQuietChanges(t *testing.T) {
	h := New(Config{Workers: 1})
	defer h.Close()
	var rs []*recorder
	var seg *segment
	look := func(step string, want ...*recorder) {
		t.Helper()
		seg.mu.Lock()
		defer seg.mu.Unlock()
		if seg.queued || cap(seg.box) != 0 {
			t.Errorf("%s: it is %v that a worker was called, and the mailbox has room for %d", step, seg.queued, cap(seg.box))
		}
		if len(seg.members) != len(want) {
			t.Fatalf("%s: %d members, want %d", step, len(seg.members), len(want))
		}
		for i, m := range seg.members {
			if m.sink != want[i] || int(m.index) != i {
				t.Errorf("%s: member %d is another one, or thinks that it is %d", step, i, m.index)
			}
		}
	}
	var subs []*Subscription
	for range 4 {
		rs = append(rs, &recorder{})
		subs = append(subs, rs[len(rs)-1].subscribe(h, "quiet"))
		seg = subs[0].seg
		look("join", rs...)
	}
	h.Unsubscribe(subs[1])
	look("leave", rs[0], rs[3], rs[2])
	h.Unsubscribe(subs[2])
	look("leave the last place", rs[0], rs[3])
}

// Those who come and go while a message waits do so behind it.
func TestChangesBehindMessages(t *testing.T) {
	var s segment
	before, after := &Subscription{}, &Subscription{}
	s.change(join, before)
	f := NewFrame(nil, []byte("m"))
	defer f.Release()
	if !s.publish(f) || s.publish(f) {
		t.Error("a worker is to be called for the first message, and only for that")
	}
	s.change(join, after)
	s.change(leave, before)
	if len(s.members) != 1 || s.members[0] != before || len(s.box) != 4 {
		t.Errorf("%d members and %d entries in the mailbox, want the one and 4", len(s.members), len(s.box))
	}
}
