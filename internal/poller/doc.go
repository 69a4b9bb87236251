// Package poller runs event loops over epoll: descriptors and their readiness,
// timers, and tasks that other goroutines hand to a loop.
//
// It exists for programs that hold very many sockets and cannot afford a
// goroutine for each. A Loop owns the descriptors added to it; everything that
// concerns a descriptor happens on its loop's one goroutine, so that owners of
// descriptors need no lock against each other, and a descriptor number is never
// closed under somebody who still uses it. It rests on easygo's netpoll.Epoll,
// used with raw non-blocking descriptors.
//
// The types, in the order in which to read them:
//
//   - Loop: one epoll instance, its goroutine, its scratch buffer (loop.go)
//   - Timer: a coarse deadline on a loop (timer.go)
//   - Acceptor: takes connections from a listening socket, as many as there is
//     room for (accept.go)
//   - Sys: the system calls on sockets, replaceable in tests (sys.go)
//   - ListenerFD, Socket: sockets ready for a loop (socket.go)
//   - MakeRoom: descriptors for all of them at once (table.go)
package poller
