package bus

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsEnv is the environment variable that makes the test binary a NATS server;
// it holds a natsRole.
const natsEnv = "HUBBUB_TEST_NATS"

// natsRole is how the NATS server is to be.
type natsRole struct {
	Port       int // -1 for one of the kernel's choice
	Token      string
	MaxPayload int32
	Dir        string // for JetStream; none without
}

// externalPayload is the largest message that the external server carries, in
// bytes: little, so that one that is too large costs little too.
const externalPayload = 2 << 20

// beNATS serves until it is killed. It prints where.
func beNATS(told string) int {
	var role natsRole
	if err := json.Unmarshal([]byte(told), &role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: role.Port, Authorization: role.Token, MaxPayload: role.MaxPayload, NoLog: true, NoSigs: true,
		JetStream: role.Dir != "", StoreDir: role.Dir,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		fmt.Fprintln(os.Stderr, "the NATS server is not ready")
		return 1
	}
	fmt.Println(srv.Addr())
	srv.WaitForShutdown()
	return 0
}

// natsProcess is a NATS server in a process of its own, on one port for all its
// lives.
type natsProcess struct {
	t    *testing.T
	port int
	dir  string    // for JetStream; none without
	cmd  *exec.Cmd // nil while it is down
}

const natsToken = "s3cret"

func startNATS(t *testing.T) *natsProcess { return startNATSIn(t, "") }

// startNATSIn starts a server that has JetStream, if a directory for that is given.
func startNATSIn(t *testing.T, dir string) *natsProcess {
	t.Helper()
	p := &natsProcess{t: t, port: server.RANDOM_PORT, dir: dir}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
	})
	p.start(natsToken)
	return p
}

// url is how to connect, with natsToken.
func (p *natsProcess) url() string {
	u := url.URL{Scheme: "nats", User: url.User(natsToken), Host: fmt.Sprintf("127.0.0.1:%d", p.port)}
	return u.String()
}

// start starts the server, which lets in who knows the token.
func (p *natsProcess) start(token string) {
	p.t.Helper()
	role, err := json.Marshal(natsRole{Port: p.port, Token: token, MaxPayload: externalPayload, Dir: p.dir})
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	// GORACE: the race detector would keep a process that ends a second longer.
	cmd.Env = append(os.Environ(), natsEnv+"="+string(role), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	// It ends with the tests, even if they end in a panic.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd = cmd
	out.(*os.File).SetReadDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatalf("the NATS server did not start: %v", err)
	}
	addr, err := net.ResolveTCPAddr("tcp", strings.TrimSpace(line))
	if err != nil {
		p.t.Fatal(err)
	}
	p.port = addr.Port
}

// kill ends the server without a word to anyone.
func (p *natsProcess) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.cmd = nil
}
