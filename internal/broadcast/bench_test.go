package broadcast

import (
	"fmt"
	"sync"
	"testing"
)

// null is a Sink that takes everything, as a socket with room does.
type null struct{ wg *sync.WaitGroup }

func (n null) Deliver(b *Batch, _ *Subscription) int {
	n.wg.Add(-len(b.Frames()))
	return len(b.Bytes())
}

// BenchmarkFanOut is the cost of handing a message of 128 bytes to a topic's
// subscribers, without their system calls.
func BenchmarkFanOut(b *testing.B) {
	for _, members := range []int{10, 1000, 16000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			h := New(Config{Workers: 2})
			defer h.Close()
			var wg sync.WaitGroup
			for range members {
				h.Subscribe("t", new(Subscription), null{&wg})
			}
			payload := make([]byte, 128)
			b.ReportAllocs()
			for b.Loop() {
				wg.Add(members)
				f := NewFrame(nil, payload)
				h.Publish("t", f)
				f.Release()
				wg.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(members), "ns/delivery")
		})
	}
}
