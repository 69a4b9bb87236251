package plan

import (
	"math"
	"testing"
)

// As many stall as were asked for, none of them publishes, and topics,
// processes and loops have their share.
func TestStalled(t *testing.T) {
	for _, tt := range []struct {
		conns, topics, publishers int
		slow                      float64
	}{
		{1000, 1, 1, 0.2},
		{1000, 1, 1, 0.5},
		{1000, 1, 1, 0.9},
		{1000, 1, 200, 0.25},
		{4000, 3, 1, 0.2},
		{5000, 500, 500, 0.2}, // rooms of ten
		{5000, 500, 4000, 0.2},
		{1000, 7, 3, 0.001},
		{40000, 1, 8, 0.05},
	} {
		p := &Plan{Mode: Fanout, Conns: tt.conns, Topics: tt.topics, Publishers: tt.publishers, Slow: tt.slow}
		total := 0
		topics := make([]int, tt.topics)
		for c := range p.Conns {
			if !p.Stalled(c) {
				continue
			}
			if _, publishes := p.Publisher(c); publishes {
				t.Fatalf("%+v: connection %d publishes and stalls", tt, c)
			}
			total++
			topics[p.Topic(c)]++
		}
		if want := int(math.Round(tt.slow * float64(tt.conns))); total != want || p.Stalling() != want {
			t.Errorf("%+v: %d stall, Stalling says %d; want %d", tt, total, p.Stalling(), want)
		}
		share := float64(total) / float64(p.Conns-p.Publishers)
		for topic, n := range topics {
			readers := p.Members(topic) - p.TopicPublishers(topic)
			if want := share * float64(readers); math.Abs(float64(n)-want) >= 2 {
				t.Errorf("%+v: %d of topic %d's %d readers stall, want %.1f", tt, n, topic, readers, want)
			}
		}
		for i, s := range p.Split(5, 2) {
			loops := make([]int, s.Loops)
			readers := make([]int, s.Loops)
			for c := s.First; c < s.First+s.Count; c++ {
				loop := (c - s.First) % s.Loops
				if _, publishes := p.Publisher(c); !publishes {
					readers[loop]++
				}
				if p.Stalled(c) {
					loops[loop]++
				}
			}
			for loop, n := range loops {
				want := share * float64(readers[loop])
				if off := math.Abs(float64(n) - want); off > 3+want/10 {
					t.Errorf("%+v: on loop %d of process %d %d of %d readers stall, want about %.1f", tt, loop, i, n, readers[loop], want)
				}
			}
		}
	}
}

func TestNobodyStalls(t *testing.T) {
	p := &Plan{Mode: Idle, Conns: 100, Topics: 1, Publishers: 1}
	for c := range p.Conns {
		if p.Stalled(c) {
			t.Errorf("connection %d stalls", c)
		}
	}
}
