package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childArg as first argument makes this program a writer, a reader or a churner of another one.
const childArg = "-child"

// perSource is how many connections share a source address. The kernel looks for a free port by
// trying, which takes ever longer the more of an address' ports are in use: 100,000 connections
// open in 3.5 s with 250 to an address and in 26 s with 20,000.
const perSource = 250

// nap is how long a reader lets deliveries gather before it takes them. Without it a reader that is
// done before the next write would be woken for every message, which costs the writer more than the
// write itself. A round seems longer by at most this.
const nap = 200 * time.Microsecond

// A child talks in lines of a word and a number: "port N" (writers), "ready 0" when all connections
// are up (churners: at once), per round "began T" (writers, before the first write) and "ended T" (readers, after the
// last byte), and at the end "cpu NS" and "churned N". A line on its standard input starts a round; its end ends it.
func runChild(args []string) error {
	if len(args) < 3 {
		return errors.New("a child is started by its parent only")
	}
	numbers := make([]int, len(args)-1)
	for i, a := range args[1:] {
		n, err := strconv.Atoi(a)
		if err != nil {
			return fmt.Errorf("child argument: %w", err)
		}
		numbers[i] = n
	}
	// The loops below are the only work: they stay on one thread, in system calls that the scheduler
	// isn't told of.
	runtime.LockOSThread()
	rounds := make(chan struct{})
	go relay(rounds)
	switch {
	case args[0] == "writer" && len(numbers) == 2:
		return write(numbers[0], frameOf(numbers[1]), rounds)
	case args[0] == "reader" && len(numbers) == 4:
		return read(numbers[0], len(frameOf(numbers[1])), numbers[2], numbers[3])
	case args[0] == "churner" && len(numbers) == 2:
		return churn(numbers[0], numbers[1], rounds)
	}
	return fmt.Errorf("unknown child %q", args)
}

// cpuAtReady is the CPU time that connecting took, in nanoseconds; it isn't counted.
var cpuAtReady int64

// relay passes the parent's commands on, and ends this process when the parent has: it closes the
// pipe at the end of the measurement, and the kernel does if the parent dies.
func relay(rounds chan<- struct{}) {
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		rounds <- struct{}{}
	}
	say("cpu", cpuTime()-cpuAtReady)
	say("churned", churned.Load())
	os.Exit(0)
}

// write accepts conns connections and sends each of them the frame, round after round.
func write(conns int, frame []byte, rounds <-chan struct{}) error {
	listener, port, err := listen()
	if err != nil {
		return err
	}
	say("port", int64(port))

	sockets := make([]uintptr, conns)
	for i := range sockets {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return fmt.Errorf("accepting connection %d: %w", i+1, err)
		}
		if err := greet(fd); err != nil {
			return fmt.Errorf("greeting connection %d: %w", i+1, err)
		}
		sockets[i] = uintptr(fd)
	}
	ready()

	first, length := uintptr(unsafe.Pointer(&frame[0])), uintptr(len(frame))
	for range rounds {
		began := now()
		for _, fd := range sockets {
			if n, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, first, length); n != length {
				return fmt.Errorf("wrote %d of %d bytes (%w): the frame doesn't fit a socket buffer, use a smaller -size", int(n), length, errno)
			}
		}
		say("began", began)
	}
	runtime.KeepAlive(frame)
	return nil
}

// listen returns a listening socket and its port.
func listen() (fd, port int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("opening the listener: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, 0, fmt.Errorf("binding the listener: %w", err)
	}
	if err := unix.Listen(fd, 4096); err != nil {
		return 0, 0, fmt.Errorf("listening: %w", err)
	}
	// Accepted sockets inherit both. TCP_QUICKACK is cleared by listening.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return 0, 0, fmt.Errorf("setting TCP_NODELAY: %w", err)
	}
	if err := delayAcks(fd); err != nil {
		return 0, 0, err
	}
	addr, err := unix.Getsockname(fd)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the listener's port: %w", err)
	}
	return fd, addr.(*unix.SockaddrInet4).Port, nil
}

// read opens conns connections, numbered from first, and says when each has got a frame of length
// bytes, round after round.
func read(conns, length, port, first int) error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("creating epoll: %w", err)
	}
	for i := 0; i < conns; i += together {
		if err := connect(epoll, port, first+i, min(together, conns-i)); err != nil {
			return fmt.Errorf("connections from %d on: %w", i+1, err)
		}
	}
	ready()

	events := make([]unix.EpollEvent, 1024)
	scratch := make([]byte, 64<<10)
	for round := conns * length; ; {
		for left := round; left > 0; {
			n, err := unix.EpollWait(epoll, events, -1)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("waiting: %w", err)
			}
			time.Sleep(nap)
			for _, event := range events[:max(n, 0)] {
				got, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(event.Fd), uintptr(unsafe.Pointer(&scratch[0])), uintptr(len(scratch)))
				if errno != 0 || got == 0 {
					return fmt.Errorf("reading: writer gone (%w)", errno)
				}
				left -= int(got)
			}
		}
		say("ended", now())
	}
}

// A connection begins with as many bytes in each direction as a handshake has, in place of it.
var request, answer [192]byte

// together is how many connections a reader opens before it takes the first answer.
const together = 256

// greet takes the request that a new connection begins with, and answers it.
func greet(fd int) error {
	for {
		n, err := unix.Read(fd, request[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("waiting: %w", err)
			}
		case err != nil || n < len(request):
			return fmt.Errorf("read %d of %d bytes (%w)", n, len(request), err)
		default:
			_, err := unix.Write(fd, answer[:])
			return err
		}
	}
}

// connect opens n connections, from number first on, and adds them to the epoll.
func connect(epoll, port, first, n int) error {
	var fds [together]int
	for i := range n {
		fd, err := open(port, first+i)
		if err != nil {
			return err
		}
		if _, err := unix.Write(fd, request[:]); err != nil {
			return fmt.Errorf("writing the request: %w", err)
		}
		fds[i] = fd
	}
	for _, fd := range fds[:n] {
		if n, err := unix.Read(fd, answer[:]); n < len(answer) {
			return fmt.Errorf("read %d of %d bytes of the answer (%w)", n, len(answer), err)
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return fmt.Errorf("making it non-blocking: %w", err)
		}
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return fmt.Errorf("adding it to epoll: %w", err)
		}
	}
	return nil
}

// open opens connection number i, from its own source address.
func open(port, i int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("opening: %w", err)
	}
	// The port is then chosen at connect, where it need only be free towards this destination.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return 0, fmt.Errorf("setting IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	if err := delayAcks(fd); err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: sourceAddr(i)}); err != nil {
		return 0, fmt.Errorf("binding to %v: %w", sourceAddr(i), err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != nil {
		return 0, fmt.Errorf("connecting: %w", err)
	}
	return fd, nil
}

// delayAcks has what a socket sends first acknowledge what it has received: what a connection begins
// with is answered at once.
func delayAcks(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0); err != nil {
		return fmt.Errorf("clearing TCP_QUICKACK: %w", err)
	}
	return nil
}

// sourceAddr returns the loopback address that connection i leaves from: 127.1.0.1 and up, 250
// addresses to each third byte.
func sourceAddr(i int) [4]byte {
	n := i / perSource
	return [4]byte{127, byte(1 + n/(250*250)), byte(n / 250 % 250), byte(1 + n%250)}
}

// frameOf returns an unmasked binary WebSocket frame, RFC 6455 section 5.2, with a payload of size
// zero bytes: what a server would write.
func frameOf(size int) []byte {
	frame := []byte{0x82}
	switch {
	case size < 126:
		frame = append(frame, byte(size))
	case size < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(size))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 127), uint64(size))
	}
	return append(frame, make([]byte, size)...)
}

// onThread runs f on a thread of its own and says how it failed.
func onThread(failed chan<- error, f func() error) {
	runtime.LockOSThread()
	failed <- f()
}

func ready() {
	cpuAtReady = cpuTime()
	say("ready", 0)
}

// say writes a line to the parent. One write is whole in a pipe, so the relay and the loop may both
// say something.
func say(word string, n int64) {
	// Without a parent to hear it there is nobody to tell; the relay ends the process.
	_, _ = os.Stdout.WriteString(word + " " + strconv.FormatInt(n, 10) + "\n")
}

// now returns the time in nanoseconds on the clock that all processes of a machine share.
func now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("CLOCK_MONOTONIC: " + err.Error()) // every Linux has it
	}
	return t.Nano()
}

// cpuTime returns the CPU time of this process so far, user and system, in nanoseconds.
func cpuTime() int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		panic("getrusage: " + err.Error()) // fails on a bad argument only
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
