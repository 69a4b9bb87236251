package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A feat is a scenario without peers, in a run of its own: it shows what the server withstands,
// at the size that it is made for. Whatever is lost fails the run; how long things take is the machine's
// doing too, and is only judged.
type feat struct {
	kind          string
	conns, rounds int // unless the command line has others
}

const (
	tailLatency = "tail"      // a small topic beside a giant one
	churn       = "churn"     // a fan-out while others come and go
	storm       = "storm"     // the server is killed, and all come back
	recovery    = "recover"   // all come at once, and get what was said before, and the same after the server was killed
	keepalive   = "keepalive" // idle connections that are pinged
	million     = "million"   // a fan-out to as many as fit
)

var feats = []feat{{tailLatency, bigConns, 3}, {churn, 50_000, 3}, {storm, bigConns, 3}, {recovery, bigConns, 3}, {keepalive, bigConns, 3}, {million, 1_000_000, 1}}

const (
	smallTopic = 10    // members
	smallRate  = 20    // messages a second to them
	recovered  = 30    // messages that each gets
	churnRate  = 2_000 // connections a second that come and go
	calmFloor  = floorName + ", calm"
	churnFloor = floorName + ", churn" // bare connections that come and go beside bare writes
	pingAfter  = 30 * time.Second
	holding    = 2 * pingAfter // for everybody to be pinged twice
	// From one fan-out of the million to the next, for each connection: more than it takes.
	millionPace     = 20 * time.Microsecond
	millionMessages = 10
	millionRounds   = 5 // of the floor
	// Server, and the small topic's load, in the kernel's real-time class.
	realtimeFlag = "-realtime"
	realtimeName = "hubbub " + realtimeFlag
)

// featKinds lists them, for people.
func featKinds() string {
	var all []string
	for _, f := range feats {
		all = append(all, f.kind)
	}
	return strings.Join(all, ", ")
}

// alone takes the feat from the kinds that are to be played, if there is one, and its sizes where the
// command line has none.
func (o *options) alone(played string, given map[string]bool) error {
	for _, f := range feats {
		switch {
		case !slices.Contains(strings.Split(played, ","), f.kind):
			continue
		case played != f.kind:
			return fmt.Errorf("-scenarios %s: %s is played in a run of its own", played, f.kind)
		case given["against"] || given["server"] || o.hostile:
			return fmt.Errorf("-scenarios %s: hubbub plays it alone; leave out -against, -server and -hostile", played)
		}
		o.feat, o.benchmark = f.kind, false
		if !given["conns"] {
			o.conns = f.conns
		}
		if !given["rounds"] {
			o.rounds = f.rounds
		}
	}
	return nil
}

// featScenario returns the feat that opts asks for.
func featScenario(opts options) scenario {
	n := thousands(opts.conns)
	length := time.Duration(opts.length.messages) * time.Second
	s := scenario{kind: opts.feat, name: fmt.Sprintf("%s-%d", opts.feat, opts.conns), conns: opts.conns, path: pathTopic}
	switch opts.feat {
	case tailLatency:
		s.title = fmt.Sprintf("%d members, %d messages a second, beside a topic of %s in permanent fan-out", smallTopic, smallRate, n)
		s.load = []string{"-rate", strconv.Itoa(smallRate), "-duration", length.String()}
		s.contenders = []contender{{name: hubbub.name, run: besideGiant(length, hubbub)}}
		if opts.realtime {
			s.contenders = append(s.contenders, contender{name: realtimeName, run: besideGiant(length, hubbub.with(0, realtimeFlag), realtimeFlag)})
		}
	case churn:
		s.title = fmt.Sprintf("Fan-out to %s connections, calm and while %s others a second come and go", n, thousands(churnRate))
		s.load = []string{"-rate", "1", "-duration", length.String()}
		roomy := hubbub.with(churnRate)
		s.contenders = []contender{{name: calm, run: roomy.under}, {name: churn, run: func(ctx context.Context, run *Run, s *scenario) error {
			busy := *s
			busy.load = append(slices.Clip(s.load), "-churn", strconv.Itoa(churnRate))
			return roomy.under(ctx, run, &busy)
		}}}
		bare := func(rate int) func(context.Context, *Run, *scenario) error {
			return func(ctx context.Context, run *Run, s *scenario) error {
				return floorRun(ctx, run, s.conns, opts.length.messages, time.Second, "-churn", strconv.Itoa(rate))
			}
		}
		s.contenders = append(s.contenders, contender{name: calmFloor, run: bare(0)}, contender{name: churnFloor, run: bare(churnRate)})
	case storm:
		s.title = fmt.Sprintf("The server is killed under %s connections and started again", n)
		s.load = []string{"-mode", "storm", "-duration", "10m", "-timeout", "1m"}
		s.contenders = []contender{{name: hubbub.name, run: killed}}
	case recovery:
		s.title = fmt.Sprintf("%s connect at once and recover %d messages of a channel each, and again after the server was killed", n, recovered)
		s.path = pathChannels
		s.load = append([]string{"-mode", "storm", "-duration", "10m", "-timeout", "2m", "-recover", strconv.Itoa(recovered)}, keptChannels.load...)
		s.contenders = []contender{{name: hubbub.name, run: killed}}
	case keepalive:
		s.title = fmt.Sprintf("%s idle connections that are pinged after %.0f s of silence", n, pingAfter.Seconds())
		s.load = []string{"-mode", "idle", "-duration", holding.String()}
		pinging := hubbub.with(0, "-keepalive", pingAfter.String())
		s.contenders = []contender{{name: hubbub.name, run: func(ctx context.Context, run *Run, s *scenario) error {
			err := pinging.under(ctx, run, s)
			run.Measured.ServerCPUPercent = 100 * run.Measured.ServerCPUS / holding.Seconds()
			return err
		}}}
	case million:
		s.title = fmt.Sprintf("%d fan-outs to %s connections", millionMessages, n)
		pace := max(time.Second, time.Duration(opts.conns)*millionPace).Round(time.Second)
		s.load = []string{"-rate", strconv.FormatFloat(1/pace.Seconds(), 'g', -1, 64), "-duration", (millionMessages * pace).String(), "-settle", "10s"}
		s.contenders = []contender{
			{name: hubbub.name, run: weighed(hubbub.with(0).under)},
			{name: floorName, run: weighed(func(ctx context.Context, run *Run, s *scenario) error {
				return floorRun(ctx, run, s.conns, millionRounds, pace)
			})},
		}
	}
	return s
}
