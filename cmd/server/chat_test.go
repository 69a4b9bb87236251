package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// chatPath is where somebody enters a room.
func chatPath(room, name string) string {
	return "/chat?" + url.Values{"room": {room}, "name": {name}}.Encode()
}

// chatting enters a room in which nothing was said.
func chatting(t *testing.T, addr, room, name string) *client {
	t.Helper()
	c := dial(t, addr, chatPath(room, name))
	c.expectEntry(name)
	return c
}

// expectEntry reads until a guest is told of itself. Notices of those who came or left just before may still be on their
// way from other workers.
func (c *client) expectEntry(name string) {
	c.t.Helper()
	for line := ""; line != "* "+name+" joined"; {
		if line = c.read(); !strings.HasPrefix(line, "* ") {
			c.t.Fatalf("received %q, want that %s joined", line, name)
		}
	}
}

// onBothSides returns two clients of a room that are of different workers, if there are several.
func (p *process) onBothSides(room string) (a, b *client) {
	p.t.Helper()
	a = chatting(p.t, p.addr, room, "Ann")
	for i := range 1000 {
		name := fmt.Sprint("Bob", i)
		b = chatting(p.t, p.addr, room, name)
		a.expect("* " + name + " joined")
		conns := p.scrapePage("").byWorker("hubbub_connections", "path", "/chat")
		if len(conns) == 1 {
			return a, b
		}
		spread := 0
		for _, n := range conns {
			if n > 0 {
				spread++
			}
		}
		if spread > 1 {
			return a, b
		}
		b.conn.Close()
		a.expect("* " + name + " left")
	}
	p.t.Fatal("all connections go to one worker")
	return nil, nil
}

func TestChat(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) { testChat(t, start(t, form.args...)) })
	}
}

func testChat(t *testing.T, p *process) {
	a, b := p.onBothSides("")
	elsewhere := chatting(t, p.addr, "elsewhere", "Eve")
	topic := dial(t, p.addr, "/ws") // "lobby" there is no room
	for i := range 40 {
		line := fmt.Sprint("Ann: ", i)
		a.send(fmt.Sprint(i))
		a.expect(line)
		b.expect(line)
	}
	var late []*client
	for i := range 6 { // some on each worker
		c := dial(t, p.addr, chatPath("lobby", fmt.Sprint("late", i)))
		for j := 10; j < 40; j++ {
			c.expect(fmt.Sprint("Ann: ", j))
		}
		joined := fmt.Sprintf("* late%d joined", i)
		for _, other := range append(late, a, b, c) {
			other.expect(joined)
		}
		late = append(late, c)
	}
	late[0].send("two\nlines")
	for _, c := range append(late, a, b) {
		c.expect("late0: two\nlines")
	}
	elsewhere.send("alone")
	elsewhere.expect("Eve: alone")
	topic.send("a topic")
	topic.expect("a topic")

	// Everybody who goes, however, is said to have left, once.
	closing := late[1]
	if err := ws.WriteFrame(closing.conn, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))); err != nil {
		t.Fatal(err)
	}
	closing.expectClose(1000)
	closing.conn.Close()
	binary := late[2]
	if err := wsutil.WriteClientMessage(binary.conn, ws.OpBinary, []byte("x")); err != nil {
		t.Fatal(err)
	}
	a.expect("* late1 left")
	for { // it may have been told of the other first
		f, err := ws.ReadFrame(binary.rw)
		if err != nil {
			t.Fatal(err)
		}
		if f.Header.OpCode == ws.OpClose {
			if code, reason := ws.ParseCloseFrameData(f.Payload); code != 1003 || reason != "text only" {
				t.Errorf("binary messages get %d %q", code, reason)
			}
			break
		}
	}
	binary.answerClose(1003)
	a.expect("* late2 left")
	if err := late[3].conn.(*net.TCPConn).SetLinger(0); err != nil { // a reset, without a word
		t.Fatal(err)
	}
	late[3].conn.Close()
	a.expect("* late3 left")
	late[4].conn.(*net.TCPConn).CloseWrite()
	a.expect("* late4 left")
	a.send("who is left")
	a.expect("Ann: who is left")
}

// Who doesn't answer a ping has left.
func TestChatNoticesTheDead(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			p := start(t, append(form.args, "-keepalive", "1s")...)
			a := chatting(t, p.addr, "", "Ann")
			chatting(t, p.addr, "", "Bob") // who reads nothing more, not even pings
			a.expect("* Bob joined")
			a.expect("* Bob left") // Ann answers pings while she reads
		})
	}
	if e := chat(chatKeepalive); e.Keepalive != 30*time.Second {
		t.Errorf("without -keepalive, peers are pinged after %v", e.Keepalive)
	}
}

func TestChatNames(t *testing.T) {
	addr := serveHere(t, nil)
	for _, tt := range []struct{ asked, want string }{
		{"Ann", "Ann"},
		{" \t Ann Lee\n ", "Ann Lee"},
		{"Zoë 🐝 <b>", "Zoë 🐝 <b>"},
		{strings.Repeat("é", 40), strings.Repeat("é", 40)},
		{"%", "%"},
	} {
		c := dial(t, addr, chatPath(tt.asked, tt.asked))
		c.expect("* " + tt.want + " joined")
		c.send("%s hello")
		c.expect(tt.want + ": %s hello")
	}
	for _, name := range []string{
		strings.Repeat("é", 41), "a\nb", "a\x00b", "a\x7fb", "a\u0085b", "a\u2028b", "a\u202eb", "a\u200bb", "\xff", "a\xc3", "\xed\xa0\x80",
	} {
		if got := status(t, addr, chatPath("", name), nil); got != 400 {
			t.Errorf("name %q: %d, want 400", name, got)
		}
	}
	for _, room := range []string{strings.Repeat("r", 256), "\xff"} {
		if got := status(t, addr, chatPath(room, "Ann"), nil); got != 400 {
			t.Errorf("room %.20q: %d, want 400", room, got)
		}
	}
	made := regexp.MustCompile(`^\* [0-9a-f]{4} joined$`)
	seen := map[string]bool{}
	for _, name := range []string{"", " ", "\n"} {
		line := dial(t, addr, chatPath("unnamed", name)).read()
		if !made.MatchString(line) || seen[line] {
			t.Errorf("who has no name: %q after %v", line, seen)
		}
		seen[line] = true
	}
}

// TestChatAfterAWorkersDeath: a worker that is started again gets what was said from the others.
func TestChatAfterAWorkersDeath(t *testing.T) {
	p := start(t, "-max-conns", "20", "-workers", "2", "-loops", "1")
	a, b := p.onBothSides("")
	for i := range 40 {
		a.send(fmt.Sprint(i))
		a.expect(fmt.Sprint("Ann: ", i))
		b.expect(fmt.Sprint("Ann: ", i))
	}
	const victim = 0
	pid := p.workers()[victim]
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker to be started again", func() bool {
		again := p.workers()[victim]
		if again == 0 || again == pid {
			return false
		}
		status, h := p.health("/healthz")
		return status == 200 && h.Ready == 2
	})
	for i := range 12 { // more than one worker has room for
		c := dial(t, p.addr, chatPath("", fmt.Sprint("late", i)))
		for j := 10; j < 40; j++ {
			c.expect(fmt.Sprint("Ann: ", j))
		}
		c.expectEntry(fmt.Sprint("late", i))
	}
	if held := p.scrapePage("").byWorker("hubbub_connections", "path", "/chat"); held["0"] == 0 || held["1"] == 0 {
		t.Errorf("connections by worker: %v, want some on each", held)
	}
}

// The README shows the endpoint as it is.
func TestReadmeShowsTheChat(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("chat.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "\nfunc chat(")
	code, _, _ = strings.Cut(code, "\n}\n")
	if !strings.Contains(string(readme), "```go\nfunc chat("+code+"\n}\n```") {
		t.Error("README.md shows another chat than chat.go")
	}
}
