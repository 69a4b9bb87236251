package procfs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// listening is the state TCP_LISTEN as /proc/net/tcp writes it.
const listening = "0A"

// Listeners returns the processes that a connection to addr would reach: those
// that hold a socket listening there and whose parent doesn't hold one. The
// processes of other users can't be looked into without being root.
func (f FS) Listeners(addr netip.AddrPort) ([]int, error) {
	inodes := make(map[string]bool)
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		if err := f.listening(name, addr, inodes); err != nil && !errors.Is(err, fs.ErrNotExist) { // without IPv6 there is no tcp6
			return nil, err
		}
	}
	if len(inodes) == 0 {
		return nil, fmt.Errorf("no socket on this machine listens on %s", addr)
	}
	parents, err := f.parents()
	if err != nil {
		return nil, err
	}
	var holders, roots []int
	for pid := range parents {
		if f.holds(pid, inodes) {
			holders = append(holders, pid)
		}
	}
	for _, pid := range holders {
		if !slices.Contains(holders, parents[pid]) {
			roots = append(roots, pid)
		}
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("the process that listens on %s belongs to another user; give its number with -server-pid", addr)
	}
	slices.Sort(roots)
	return roots, nil
}

// listening adds the sockets of a table that listen on addr to inodes. The
// table can have a hundred thousand lines, so it isn't read as a whole.
func (f FS) listening(name string, addr netip.AddrPort, inodes map[string]bool) error {
	table, err := os.Open(f.path(name))
	if err != nil {
		return err
	}
	defer table.Close()
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), []byte(" "+listening+" ")) {
			continue
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != listening {
			continue
		}
		local, err := parseAddr(fields[1])
		if err != nil || local.Port() != addr.Port() {
			continue
		}
		if a := local.Addr().Unmap(); a.IsUnspecified() || a == addr.Addr() {
			inodes["socket:["+fields[9]+"]"] = true
		}
	}
	return lines.Err()
}

func (f FS) holds(pid int, inodes map[string]bool) bool {
	dir := f.path(strconv.Itoa(pid), "fd")
	d, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, name := range names {
		if link, err := os.Readlink(dir + "/" + name); err == nil && inodes[link] {
			return true
		}
	}
	return false
}

// parseAddr reads ADDRESS:PORT as in /proc/net/tcp: hexadecimal, the address
// in 32-bit words of the machine's byte order.
func parseAddr(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	b, err := hex.DecodeString(host)
	if err != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("malformed address %q", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("malformed address %q", s)
	}
	return netip.AddrPortFrom(a, uint16(p)), nil
}
