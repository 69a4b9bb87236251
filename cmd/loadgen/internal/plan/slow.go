package plan

import "math"

// Stalling returns how many connections stop reading once they are open.
func (p *Plan) Stalling() int { return int(math.Round(p.Slow * float64(p.Conns))) }

// Stalled reports whether a connection is one of them. None of them publishes.
// They are spread evenly over the topics and over the connections of each, and
// so over loops and processes.
func (p *Plan) Stalled(conn int) bool {
	total := p.Stalling()
	if total == 0 {
		return false
	}
	if _, publishes := p.Publisher(conn); publishes {
		return false
	}
	topic, place := conn%p.Topics, conn/p.Topics
	members, pubs := p.Members(topic), p.TopicPublishers(topic)
	// The rank among all that don't publish, topic by topic. Before a place there
	// are as many publishers as j for which j*members/pubs is less.
	rank := p.readersBefore(topic) + place - (place*pubs+members-1)/members
	// They are cut into as many runs, alike in length, as there are to stall, and
	// one of each run does. Which one changes from run to run by the golden ratio,
	// so as not to fall in step with the loops.
	readers := p.Conns - p.Publishers
	run := ((rank+1)*total - 1) / readers
	from, to := run*readers/total, (run+1)*readers/total
	_, turn := math.Modf(float64(run) / math.Phi)
	return rank == from+int(turn*float64(to-from))
}

// readersBefore returns how many connections on lower topics don't publish.
func (p *Plan) readersBefore(topic int) int {
	below := func(n int) int { return topic*(n/p.Topics) + min(topic, n%p.Topics) }
	return below(p.Conns) - below(p.Publishers)
}
