package bus

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// there returns who is there, in order.
func there(r *roster) string { return strings.Join(slices.Sorted(maps.Keys(r.there())), " ") }

// turn is a round in which these are heard.
func turn(r *roster, ids ...string) {
	for _, id := range ids {
		r.hear(id)
	}
	beat, _ := r.beat()
	r.echo(beat)
}

func expectThere(t *testing.T, r *roster, when, want string) {
	t.Helper()
	if got := there(r); got != want {
		t.Errorf("%s: there are %q, want %q", when, got, want)
	}
}

func TestRosterGivesUpTheSilent(t *testing.T) {
	r := newRoster("me")
	r.hear("me")
	if !r.hear("a") || !r.hear("b") {
		t.Error("a new one is no news")
	}
	if r.hear("a") {
		t.Error("a known one is news")
	}
	for range silentRounds {
		turn(r, "a")
	}
	expectThere(t, r, "as long as one may be silent", "a b me")
	turn(r, "a")
	expectThere(t, r, "a round later", "a me")
	if !r.hear("b") {
		t.Error("one that was given up is no news")
	}
	expectThere(t, r, "heard again", "a b me")
}

// TestRosterWhileCutOff: beats that don't come back, or all at once, are no reason to give up anybody.
func TestRosterWhileCutOff(t *testing.T) {
	r := newRoster("me")
	r.hear("a")
	var sent []uint64
	for range 10 * silentRounds {
		beat, _ := r.beat()
		sent = append(sent, beat)
	}
	for _, beat := range sent {
		r.echo(beat)
	}
	expectThere(t, r, "after a burst", "a me")
	if r.round != 1 {
		t.Errorf("%d rounds, want 1", r.round)
	}
}

func TestRosterRemembersGoodbyes(t *testing.T) {
	r := newRoster("me")
	r.hear("a")
	r.leave("a")
	r.hear("a") // it was sent before
	r.answer(0, "a", nil)
	expectThere(t, r, "after a goodbye", "")
	for range silentRounds + 1 {
		turn(r)
	}
	if len(r.signs) != 1 {
		t.Errorf("%v are remembered, want only me", r.signs)
	}
}

func TestRosterQuestions(t *testing.T) {
	r := newRoster("me")
	for _, id := range []string{"me", "a", "b", "c"} {
		r.hear(id)
	}
	n, q := r.ask()
	open := func(when string) {
		t.Helper()
		select {
		case <-q.done:
			t.Fatalf("%s: nobody is waited for", when)
		default:
		}
	}
	r.hear("d") // it isn't waited for
	r.answer(n, "me", []byte("1"))
	r.answer(n, "me", []byte("1")) // twice
	r.answer(n, "e", []byte("5"))  // it wasn't known
	r.answer(n+1, "a", []byte("not to this"))
	r.leave("b")
	open("two have not answered")
	unanswered, _ := r.ask()
	if _, err := r.close(unanswered); err == nil || !strings.Contains(err.Error(), "5 of 5 servers") {
		t.Errorf("%v, want that 5 of 5 have not answered", err)
	}
	r.answer(n, "a", []byte("2"))
	open("one has not answered")
	for range silentRounds + 1 {
		turn(r, "a", "d", "e")
	}
	select {
	case <-q.done:
	default:
		t.Fatal("one that was given up is waited for")
	}
	answers, err := r.close(n)
	var got []string
	for _, a := range answers {
		got = append(got, string(a))
	}
	slices.Sort(got)
	if err != nil || !slices.Equal(got, []string{"1", "2", "5"}) {
		t.Errorf("answers %q and %v", got, err)
	}
	r.answer(n, "a", nil) // too late
	if len(r.questions) != 0 {
		t.Errorf("%d questions are left", len(r.questions))
	}
}
