package report

import (
	"testing"

	"hubbub/cmd/loadgen/internal/client"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/recorder"
)

// withExtras is fanout with stalled readers, churn, answers to messages, and recovery.
func withExtras() Input {
	in := fanout()
	in.Plan.Slow, in.Plan.Churn, in.Plan.Protocol = 0.2, 10, plan.Rooms
	c := &in.Outcome.Result.Counts
	c.Stalled, c.StalledEnded = 20, 3
	c.Churned, c.ChurnOpened, c.ChurnFailed = 100, 99, 1
	c.Acknowledged, c.Refused, c.Unanswered = 7, 2, 1
	for i := range 99 {
		in.Outcome.Result.Churn.Record(int64(i) * 1e5)
	}
	in.Plan.Recover, c.Recovered, c.Short = 30, 100, 1
	in.Outcome.Result.Failures["churn: connect: connection refused"] = 1
	in.Outcome.Result.Failures["publish: 103 permission denied"] = 2
	return in
}

// storm is the input of a storm in which 100 connections were lost and 98 came
// back, one every 50 ms, and recovered what was said before.
func storm() Input {
	in := fanout()
	in.Plan.Mode = plan.Storm
	in.Conditions.Model = "storm"
	res := client.NewResult()
	in.Plan.Recover = 30
	res.Counts = client.Counts{Opened: 101, FirstDial: start - 5e9, LastOpen: start - 45e8, Recovered: 199}
	res.Storm = &client.Storm{
		Lost: 100, Back: 98, Attempts: 300, Last: 49e8,
		LostBy:  map[string]int{"connection reset by peer": 100},
		Refused: map[string]int{"connect: connection refused": 150, "handshake: no answer in <time>": 52},
		Times:   recorder.NewHistogram(),
	}
	for i := range 98 {
		res.Storm.Times.Record(int64(i+1) * 5e7)
	}
	in.Outcome.Result = res
	return in
}

func TestGoldenExtras(t *testing.T) {
	extras := Build(withExtras())
	golden(t, "extras.txt", extras.WriteText)
	golden(t, "extras.html", extras.WriteHTML)
	blown := Build(storm())
	golden(t, "storm.txt", blown.WriteText)
	golden(t, "storm.html", blown.WriteHTML)
}

func TestKeysOfExtras(t *testing.T) {
	hasKeys(t, withExtras(), "stalled", "stalled_ended", "churn.requested", "churn.opened", "churn.failed", "churn.handshake_ms.p99",
		"answers.acknowledged", "answers.refused", "answers.missing")
	hasKeys(t, withExtras(), "recovery.messages", "recovery.all", "recovery.short", "recovery.all_ready_s", "recovery.generator_cpu_share", "recovery.server_cpu_share")
	hasKeys(t, storm(), "storm.lost", "storm.back", "storm.not_back", "storm.attempts", "storm.refused.connect: connection refused",
		"storm.lost_by.connection reset by peer", "storm.back_s.p50", "storm.back_s.p99", "storm.back_s.last")
}

// All are ready only when every connection is; until then counts what processors do.
func TestRecovery(t *testing.T) {
	in := withExtras()
	if r := Build(in).Recovery; r.AllReady != 0 || r.All != 100 || r.Short != 1 {
		t.Errorf("with one refused: %+v, want no time after which all were ready", r)
	}
	in.Outcome.Result.Counts.Opened = in.Plan.Conns
	want := Recovery{Messages: 30, All: 100, Short: 1, AllReady: 0.5, GeneratorShare: 0.1, ServerShare: 0.2} // 0.1 and 0.2 s of 0.5 s on two
	if r := Build(in).Recovery; *r != want {
		t.Errorf("%+v, want %+v", *r, want)
	}
	in.Local = false
	if r := Build(in).Recovery; r.ServerShare != 0 || r.GeneratorShare != 0.1 {
		t.Errorf("with the server elsewhere: %+v", r)
	}
}
