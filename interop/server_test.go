package interop

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// maxMessage is the largest message in bytes that the servers take.
const maxMessage = 2 << 20

// server is the real server, as a process.
type server struct {
	t      *testing.T
	column column
	ca     string // file with the certificate that clients trust, "" without TLS
	addr   string
	cmd    *exec.Cmd
	exited chan error // nil once it has
	asked  bool       // to end

	mu  sync.Mutex
	log strings.Builder
}

// serve starts a server that ends with the test, which then has to have ended
// its connections.
func serve(t *testing.T, col column, args ...string) *server {
	t.Helper()
	s := &server{t: t, column: col}
	args = append([]string{
		"-addr", "127.0.0.1:0", "-admin", "", "-max-conns", "100",
		"-max-message", strconv.Itoa(maxMessage), "-log-format", "json", "-data-dir", t.TempDir(),
	}, args...)
	if col.compress {
		args = append(args, "-compress")
	}
	if col.tls {
		files := certify(t)
		s.ca = files.ca
		args = append(args, "-tls-cert", files.cert, "-tls-key", files.key)
	}
	s.cmd = exec.Command(serverBinary, args...)
	s.cmd.Stdout = t.Output()
	s.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // it would sleep for a second
	// Pdeathsig: it ends with the tests, even if they end in a panic.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serving, exited := make(chan string, 1), make(chan error, 1)
	s.exited = exited
	t.Cleanup(s.stop)
	go func() {
		s.readLog(stderr, serving)
		exited <- s.cmd.Wait() // which may not be called before all is read
	}()
	select {
	case s.addr = <-serving:
	case err := <-exited:
		s.exited = nil
		t.Fatalf("%v ended before it served: %v\n%s", s.cmd, err, s.logText())
	case <-time.After(patience):
		t.Fatalf("%v doesn't serve\n%s", s.cmd, s.logText())
	}
	return s
}

// readLog keeps the log, and passes on the address in its record "serving".
func (s *server) readLog(r io.Reader, serving chan<- string) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		s.mu.Lock()
		s.log.WriteString(line)
		s.mu.Unlock()
		var record struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &record) == nil && record.Msg == "serving" {
			select {
			case serving <- record.Addr:
			default: // said already
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *server) logText() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// stop ends the server, and expects it to exit with code 0 and to have had
// nothing to complain about.
func (s *server) stop() {
	s.t.Helper()
	if s.exited == nil {
		return
	}
	s.terminate()
	select {
	case err := <-s.exited:
		if err != nil {
			s.t.Errorf("server after SIGTERM: %v, want exit code 0", err)
		}
	case <-time.After(patience):
		s.t.Error("server didn't end after SIGTERM")
		s.cmd.Process.Kill()
		<-s.exited
	}
	s.exited = nil
	log := s.logText()
	for _, bad := range []string{`"level":"WARN"`, `"level":"ERROR"`, "DATA RACE", "panic:"} {
		if strings.Contains(log, bad) {
			s.t.Errorf("server's log has %s", bad)
		}
	}
	if s.t.Failed() {
		s.t.Logf("server's log:\n%s", log)
	}
}

// kill ends the server without a word, and its workers with it.
func (s *server) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
	s.exited = nil
}

// terminate asks the server to end, once: a second SIGTERM would kill it.
func (s *server) terminate() {
	s.t.Helper()
	if s.asked {
		return
	}
	s.asked = true
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Errorf("stopping the server: %v", err)
	}
}

// options says how to dial a path of the server in its column.
func (s *server) options(path string) options {
	scheme := "ws"
	if s.column.tls {
		scheme = "wss"
	}
	return options{url: scheme + "://" + s.addr + path, compress: s.column.compress, ca: s.ca}
}
