package hubbub

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"hubbub/internal/poller"
	"hubbub/internal/wire"
)

// BenchmarkDelivery is the cost of a message of 128 bytes to each of a topic's
// subscribers, over real loopback sockets, system calls and the readers'
// included.
func BenchmarkDelivery(b *testing.B) {
	for _, members := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) { benchDelivery(b, members) })
	}
}

func benchDelivery(b *testing.B, members int) {
	s, err := New(Config{Endpoints: relayEndpoints(), Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Shutdown(context.Background())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	go s.Serve(ln)

	readers, err := poller.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer readers.Close()
	var left atomic.Int64 // bytes that have to come
	done := make(chan struct{}, 1)
	took := func(n int) {
		if left.Add(int64(-n)) == 0 {
			done <- struct{}{}
		}
	}
	fds := make([]int, members)
	for i := range fds {
		fds[i] = dialReader(b, addr)
	}
	ready := make(chan struct{})
	readers.Post(poller.Func(func() {
		defer close(ready)
		for _, fd := range fds {
			readers.Add(fd, poller.Readable, func(ev poller.Events) {
				if ev == poller.Stopped {
					readers.Sys().Close(fd)
					return
				}
				if n, err := readers.Sys().Read(fd, readers.Scratch()); err == nil {
					took(n)
				}
			})
		}
	}))
	<-ready
	payload := make([]byte, 128)
	deliver := func() {
		left.Store(int64(members * wire.FrameSize(len(payload))))
		s.Publish("lobby", Binary, payload)
		<-done
	}
	for range 20 { // pools and mailboxes get their size
		deliver()
	}
	b.ReportAllocs()
	for b.Loop() {
		deliver()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(members), "ns/delivery")
}

// dialReader opens a WebSocket connection and returns its descriptor.
func dialReader(b *testing.B, addr netip.AddrPort) int {
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	hs := wire.ClientHandshake{Host: addr.String(), Target: "/ws"}
	if _, err := conn.Write(hs.AppendRequest(nil)); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		b.Fatal(err)
	}
	if size, err := hs.CheckResponse(buf[:n]); size != n || err != nil {
		b.Fatalf("handshake: %d of %d bytes, %v", size, n, err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	dup := -1
	if err := raw.Control(func(fd uintptr) { dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || dup < 0 {
		b.Fatal(err)
	}
	return dup
}
