package broadcast

import (
	"sync"
	"testing"
)

// However signals and waits meet, none is missed: what one puts down for others to take,
// one number at a time, is taken to the last.
func TestCondMissesNothing(t *testing.T) {
	for _, threads := range []bool{false, true} {
		const numbers, takers = 20_000, 3
		var mu sync.Mutex
		full, empty := newCond(&mu, threads), newCond(&mu, threads)
		held, sum := 0, 0 // 0 for nothing, -1 at the end
		var wg sync.WaitGroup
		for range takers {
			wg.Go(func() {
				mu.Lock()
				defer mu.Unlock()
				for {
					for held == 0 {
						full.Wait()
					}
					if held < 0 {
						return
					}
					sum += held
					held = 0
					empty.Signal()
				}
			})
		}
		put := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			for held != 0 {
				empty.Wait()
			}
			held = n
		}
		for n := range numbers {
			put(n + 1)
			full.Signal()
		}
		put(-1)
		full.Broadcast()
		wg.Wait()
		if want := numbers * (numbers + 1) / 2; sum != want {
			t.Errorf("threads: %v; they sum up to %d, want %d", threads, sum, want)
		}
	}
}
