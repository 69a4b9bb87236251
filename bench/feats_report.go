package main

import "fmt"

// featColumns are the columns of feats' tables.
var featColumns = []column{
	{"opened in, s", 1, func(m Measured) float64 { return m.OpenedS }, []string{million}, true},
	{"connections/s", 0, connects, []string{churn, storm, recovery, keepalive, million}, false},
	{"all ready after, s", 2, allReady, []string{recovery}, true},
	{"all back after, s", 2, back, []string{storm, recovery}, true},
	{"small topic: p50, ms", 2, func(m Measured) float64 { return m.LatencyP50MS }, []string{tailLatency}, false},
	{"small topic: p99, ms", 2, latencyP99, []string{tailLatency}, true},
	{"both topics: deliveries/s", 0, deliveries, []string{tailLatency}, true},
	{"last delivery, ms", 1, lastDelivery, []string{churn, million}, true},
	{"server CPU, % of a core", 2, cpuPercent, []string{keepalive}, true},
	{"server RSS, MB", 1, memoryMB, []string{tailLatency, churn, keepalive, million}, false},
	{"generator RSS, MB", 1, func(m Measured) float64 { return m.GeneratorRSSBytes / 1e6 }, []string{million}, false},
	{"everything, GB", 2, everythingGB, []string{million}, true},
	{"with open inodes, GB", 2, func(m Measured) float64 { return m.PinnedBytes / 1e9 }, []string{million}, true},
}

// featPoints are what feats are played for.
var featPoints = map[string]point{
	tailLatency: {"99 % of latencies", "99 % of the small topic's deliveries had arrived after, ms", latencyP99, 1},
	churn:       {"last delivery", "until the last subscriber had a message, ms", lastDelivery, 1},
	storm:       {"all back", "from the server's end until all were back, s", back, 1},
	recovery:    {"all ready", "from the first attempt to connect until all had recovered, s", allReady, 1},
	keepalive:   {"server CPU", "server CPU, % of a core", cpuPercent, 1},
	million:     {"last delivery", "until the last subscriber had a message, s", lastDelivery, 1e-3},
}

func back(m Measured) float64         { return m.BackS }
func allReady(m Measured) float64     { return m.ReadyS }
func cpuPercent(m Measured) float64   { return m.ServerCPUPercent }
func everythingGB(m Measured) float64 { return m.EverythingBytes / 1e9 }

// featFigures draws feats' figures from the results.
func featFigures(r *Results) []Figure {
	tail, churned, blown, pinged, all := r.find(tailLatency), r.find(churn), r.find(storm), r.find(keepalive), r.find(million)
	come := r.find(recovery)
	wrong, messages := lost(all)
	of := func(p Played, figure func(Measured) float64) Spread { return spreadOf(p.values(hubbub.name, figure)) }
	return []Figure{
		{about: tail, What: fmt.Sprintf("%d members beside %s in permanent fan-out: p99", smallTopic, thousands(tail.Conns)),
			AtLeast: 20, Aim: 10, Unit: " ms", Measured: of(tail, latencyP99)},
		{about: tail, What: fmt.Sprintf("%d members beside %s, server and generator with -realtime: p99", smallTopic, thousands(tail.Conns)),
			AtLeast: 20, Aim: 10, Unit: " ms", Measured: spreadOf(tail.values(realtimeName, latencyP99))},
		{about: churned, What: fmt.Sprintf("fan-out to %s while %s a second come and go: last delivery over calm", thousands(churned.Conns), thousands(churnRate)),
			AtLeast: 1.15, Aim: 1.05, Measured: spreadOf(ratios(churned.values(churn, lastDelivery), churned.values(calm, lastDelivery)))},
		{about: blown, What: fmt.Sprintf("server killed under %s: all back after", thousands(blown.Conns)),
			AtLeast: 15, Aim: 10, Unit: " s", Measured: of(blown, back)},
		{about: come, What: fmt.Sprintf("%s at once, each recovering %d messages: all ready after", thousands(come.Conns), recovered),
			AtLeast: 30, Aim: 15, Unit: " s", Measured: of(come, allReady)},
		{about: come, What: fmt.Sprintf("server killed under %s: all back, and recovered, after", thousands(come.Conns)),
			AtLeast: 30, Aim: 15, Unit: " s", Measured: of(come, back)},
		{about: pinged, What: fmt.Sprintf("%s idle, pinged every %.0f s: server CPU", thousands(pinged.Conns), pingAfter.Seconds()),
			AtLeast: 5, Aim: 3, Unit: " % of a core", Measured: of(pinged, cpuPercent)},
		{about: all, What: fmt.Sprintf("%s connections: opened in", thousands(all.Conns)),
			AtLeast: 60, Aim: 43, Unit: " s", Measured: of(all, func(m Measured) float64 { return m.OpenedS })},
		{about: all, What: fmt.Sprintf("fan-out to %s: last delivery", thousands(all.Conns)),
			AtLeast: 12, Aim: 8, Unit: " s", Measured: of(all, func(m Measured) float64 { return m.LastMS / 1000 })},
		{about: all, What: fmt.Sprintf("%s: memory of everything", thousands(all.Conns)),
			AtLeast: 10, Aim: 7, Unit: " GB", Measured: of(all, everythingGB)},
		{about: all, What: fmt.Sprintf("%s: lost, doubled, reordered over %d messages", thousands(all.Conns), messages), Measured: wrong},
	}
}

// featWords say what feats' figures mean.
var featWords = map[string]string{
	tailLatency: "The latencies are the small topic's; meanwhile the other one's publisher sent each message as soon as it had the last one back. With -realtime, the server and the small topic's load generator are in the kernel's real-time class, the big topic's load generator isn't.",
	churn:       "Calm and churn have a fresh server each. The floor's churn is bare: connections are opened, accepted and closed, without a byte, beside the loop of writes.",
	storm:       "Time counts from the moment at which all of the server's processes were killed, until the last connection was open again. They try at once and then with back-off, from 0.1 s up to 5 s.",
	recovery:    "Ready is who is connected, subscribed, and has got every message that was published before; time counts from the first attempt to connect, and then from the moment at which all of the server's processes were killed. Who gets less fails the run.",
	keepalive:   "Processor time of the server while the connections were held, over that time.",
	million:     "Everything is server, generator, the kernel's sockets and what was under way: the most, looked at each second, by which less of the machine's memory was available (as free(1) says) than before the server started; what other programs took meanwhile is in it. The kernel calls inodes and dentries available, although each open socket has one of each: with them, it is all that is neither free nor page cache.",
}

// FeatWords are those that the report needs, for the template.
func (r *Results) FeatWords() []string {
	var words []string
	for _, f := range feats {
		p := r.find(f.kind)
		if p.Runs == nil {
			continue
		}
		words = append(words, featWords[f.kind])
		if over := overFloor(p); over.N > 0 {
			words = append(words, fmt.Sprintf("Over the floor's, that figure is %s.", over.format(2)))
		}
		if p.Conns != f.conns {
			words = append(words, fmt.Sprintf("What is wanted is meant for %s connections.", thousands(f.conns)))
		}
	}
	return words
}

// overFloor compares what a feat is played for with the floor, where that was played too.
func overFloor(p Played) Spread {
	last := func(system string) map[int]float64 { return p.values(system, lastDelivery) }
	switch p.Kind {
	case churn:
		return spreadOf(ratios(ratios(last(churn), last(calm)), ratios(last(churnFloor), last(calmFloor))))
	case million:
		return spreadOf(ratios(last(hubbub.name), last(floorName)))
	}
	return Spread{}
}
