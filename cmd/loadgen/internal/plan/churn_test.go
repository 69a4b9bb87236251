package plan

import (
	"testing"
	"time"
)

// The processes' schedules together are that of the run.
func TestChurnedBy(t *testing.T) {
	for _, processes := range []int{1, 2, 3, 7} {
		p := &Plan{Mode: Fanout, Conns: 100, Topics: 3, Churn: 40, Duration: 1100 * time.Millisecond}
		whole := p.Churned()
		if whole.Total != 44 {
			t.Fatalf("%d connections, want 44", whole.Total)
		}
		seen := 0
		for _, s := range p.Split(processes, 1) {
			part, after := p.ChurnedBy(s)
			seen += part.Total
			for n := range part.Total {
				got, want := after+part.At(n), whole.At(s.Index+n*s.Of)
				if d := got - want; d < -time.Microsecond || d > time.Microsecond {
					t.Errorf("%d processes: number %d of process %d is due at %v, want %v", processes, n, s.Index, got, want)
				}
			}
		}
		if seen != whole.Total {
			t.Errorf("%d processes have %d connections, want %d", processes, seen, whole.Total)
		}
	}
	few := &Plan{Mode: Fanout, Conns: 100, Churn: 2, Duration: time.Second}
	if part, _ := few.ChurnedBy(few.Split(5, 1)[4]); part.Total != 0 {
		t.Errorf("the last of five processes has %d of two connections", part.Total)
	}
}

func TestLingering(t *testing.T) {
	for _, tt := range []struct {
		name           string
		p              Plan
		linger, atOnce int
	}{
		{"nothing", Plan{Mode: Fanout, Conns: 10, Duration: time.Minute}, 0, 0},
		{"short", Plan{Mode: Fanout, Conns: 10, Churn: 20, Duration: 10 * time.Second}, 200, 200},
		{"long", Plan{Mode: Idle, Conns: 10, Churn: 2000, Duration: time.Hour}, 120_000, 1024},
		{"storm", Plan{Mode: Storm, Conns: 10, Duration: time.Hour}, 10, 0},
	} {
		if n, now := tt.p.Lingering(), tt.p.ChurnedAtOnce(); n != tt.linger || now != tt.atOnce {
			t.Errorf("%s: %d linger, %d at once; want %d, %d", tt.name, n, now, tt.linger, tt.atOnce)
		}
	}
}
