package hubbub

import "golang.org/x/sys/unix"

// ReservedDescriptors is the number of descriptors that a server keeps back
// from its connections: for loops, the bus, logs, and net/http while it takes
// a connection over.
const ReservedDescriptors = 128

// RaiseDescriptorLimit raises the process's soft limit of open descriptors to
// its hard one, and returns that. Go does so by itself at start; this is for
// knowing the figure.
func RaiseDescriptorLimit() (int, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, err
	}
	if lim.Cur < lim.Max {
		lim.Cur = lim.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			return 0, err
		}
	}
	return int(min(lim.Max, 1<<30)), nil
}

// connsAllowed is the number of connections the descriptor limit leaves room for.
func connsAllowed() int {
	n, err := RaiseDescriptorLimit()
	if err != nil || n <= ReservedDescriptors {
		return 1
	}
	return n - ReservedDescriptors
}
