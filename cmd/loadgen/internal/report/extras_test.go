package report

import (
	"testing"

	"hubbub/cmd/loadgen/internal/client"
	"hubbub/cmd/loadgen/internal/plan"
	"hubbub/cmd/loadgen/internal/recorder"
)

// withExtras is fanout with stalled readers, churn and answers to messages.
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
	in.Outcome.Result.Failures["churn: connect: connection refused"] = 1
	in.Outcome.Result.Failures["publish: 103 permission denied"] = 2
	return in
}

// storm is the input of a storm in which 100 connections were lost and 98 came
// back, one every 50 ms.
func storm() Input {
	in := fanout()
	in.Plan.Mode = plan.Storm
	in.Conditions.Model = "storm"
	res := client.NewResult()
	res.Counts.Opened = 101
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
	hasKeys(t, storm(), "storm.lost", "storm.back", "storm.not_back", "storm.attempts", "storm.refused.connect: connection refused",
		"storm.lost_by.connection reset by peer", "storm.back_s.p50", "storm.back_s.p99", "storm.back_s.last")
}
