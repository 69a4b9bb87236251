package peer

import (
	"slices"
	"sync"
	"testing"
)

// Members that refuse are removed, and nobody else, by either way of relaying.
func TestRelayRemovesThoseThatRefuse(t *testing.T) {
	for name, relay := range map[string]func(*Topic[int], func(int) bool){
		"one after the other": (*Topic[int]).Relay,
		"in parallel":         (*Topic[int]).RelayInParallel,
	} {
		t.Run(name, func(t *testing.T) {
			var topics Topics[int]
			topic := topics.Of("one")
			var want []int
			for m := range 3000 {
				topic.Join(m)
				if m%3 != 0 {
					want = append(want, m)
				}
			}
			for m := range 3000 {
				if m%3 == 0 && m%2 == 0 && !topic.Leave(m) {
					t.Fatalf("%d was no member", m)
				}
			}
			relay(topic, func(m int) bool { return m%3 != 0 })

			var mu sync.Mutex
			var got []int
			relay(topics.Of("one"), func(m int) bool {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, m)
				return true
			})
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%d members are left, want the %d that neither left nor refused", len(got), len(want))
			}
			if topic.Leave(3) || !topic.Leave(1) || topic.Leave(1) {
				t.Error("Leave is wrong about who was a member")
			}
		})
	}
}
