// Package broadcast fans messages out: a topic's frames to all its
// subscribers, each frame encoded once and shared by everyone it goes to.
//
// It knows no sockets and no protocol. Who wants to receive implements Sink;
// what is sent is a Frame, bytes ready for the wire. The types, in the order
// in which to read them:
//
//   - Frame: shared, reference-counted bytes in a pooled buffer (frame.go)
//   - Batch: frames laid one behind the other, for one write (batch.go)
//   - Backlog: what a slow reader hasn't taken yet, as references (backlog.go)
//   - Hub: the topics, and the workers that serve them (hub.go)
//   - segment: up to a few hundred subscribers of a topic, served as an actor
//     by one worker at a time (segment.go)
//   - runQueue: the segments that have work, in two lanes (runqueue.go)
//   - cond: how those who have nothing to do wait (cond.go)
package broadcast
