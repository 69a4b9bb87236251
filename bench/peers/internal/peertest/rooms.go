package peertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge-go"
	"github.com/gorilla/websocket"

	"hubbub/bench/peers/internal/peer"
)

const pathRooms = "/connection/websocket"

// RunRooms tests the peer whose new instances serve returns, and which speaks the Centrifuge client
// protocol: with the client of those who made it, and with the load generator.
func RunRooms(t *testing.T, serve func() peer.Serve) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *instance)
	}{
		{"healthz answers 200", healthz},
		{"a channel gets publications as they were", channelGetsPublications},
		{"everyone gets the same order", sameOrderInRoom},
		{"a slow client is dropped", slowInRoom},
		{"the load generator finds nothing wrong", generated},
		{"the end doesn't wait for clients", endOfRooms},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, start(t, serve()))
		})
	}
}

// guest is somebody in a room.
type guest struct {
	room  *centrifuge.Subscription
	heard chan string
}

// enter subscribes somebody to a channel, and waits until it is so.
func (in *instance) enter(t *testing.T, channel string) guest {
	t.Helper()
	client := centrifuge.NewJsonClient("ws://"+in.addr+pathRooms, centrifuge.Config{})
	t.Cleanup(client.Close)
	room, err := client.NewSubscription(channel)
	if err != nil {
		t.Fatal(err)
	}
	g := guest{room: room, heard: make(chan string, tolerated)}
	there, failed := make(chan struct{}), make(chan error, 1)
	room.OnSubscribed(func(centrifuge.SubscribedEvent) { close(there) })
	room.OnPublication(func(e centrifuge.PublicationEvent) { g.heard <- string(e.Data) })
	fail := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	client.OnError(func(e centrifuge.ErrorEvent) { fail(e.Error) })
	room.OnError(func(e centrifuge.SubscriptionErrorEvent) { fail(e.Error) })
	if err := errors.Join(client.Connect(), room.Subscribe()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-there:
	case err := <-failed:
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatal("nobody was let in")
	}
	return g
}

// publish waits for the acknowledgement.
func (g guest) publish(data string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := g.room.Publish(ctx, []byte(data))
	return err
}

func (g guest) next() (string, error) {
	select {
	case data := <-g.heard:
		return data, nil
	case <-time.After(patience):
		return "", errors.New("nothing was heard")
	}
}

func (g guest) expect(t *testing.T, want string) {
	t.Helper()
	if got, err := g.next(); err != nil || got != want {
		t.Fatalf("heard %s, %v; want %s", abridged(got), err, abridged(want))
	}
}

func channelGetsPublications(t *testing.T, in *instance) {
	a, b, other := in.enter(t, "chat:one"), in.enter(t, "chat:one"), in.enter(t, "chat:two")
	messages := []string{
		`"héllo\n世界"`, `{"a":[1,2.50,null]}`, `7`,
		`"` + strings.Repeat("x", peer.MaxMessage-1000) + `"`,
	}
	for _, m := range messages {
		if err := a.publish(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range []guest{a, b} {
		for _, m := range messages {
			g.expect(t, m)
		}
	}
	// The first that the other channel hears is its own.
	if err := other.publish(`"two"`); err != nil {
		t.Fatal(err)
	}
	other.expect(t, `"two"`)
}

// sameOrderInRoom has the members of a channel publish all at once.
func sameOrderInRoom(t *testing.T, in *instance) {
	const members, each = 4, 100
	var guests [members]guest
	for i := range guests {
		guests[i] = in.enter(t, "chat:order")
	}
	var publishing sync.WaitGroup
	for i, g := range guests {
		publishing.Go(func() {
			for n := range each {
				if err := g.publish(fmt.Sprintf(`"%d %d"`, i, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var heard [members][]string
	for i, g := range guests {
		for range members * each {
			data, err := g.next()
			if err != nil {
				t.Fatalf("member %d: %v", i, err)
			}
			heard[i] = append(heard[i], data)
		}
	}
	publishing.Wait()
	for i := range heard {
		if !slices.Equal(heard[i], heard[0]) {
			t.Errorf("members 0 and %d heard different things", i)
		}
		own := slices.DeleteFunc(slices.Clone(heard[0]), func(data string) bool { return !strings.HasPrefix(data, fmt.Sprintf(`"%d `, i)) })
		for n, data := range own {
			if want := fmt.Sprintf(`"%d %d"`, i, n); data != want {
				t.Fatalf("%s was heard where %s was due", data, want)
			}
		}
	}
}

// deaf subscribes somebody who reads no more than the answers, and never answers either.
func (in *instance) deaf(t *testing.T, channel string) *websocket.Conn {
	t.Helper()
	conn := in.dial(t, pathRooms)
	send(t, conn, websocket.TextMessage, `{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":"`+channel+`"}}`)
	for answers := []byte{}; !bytes.Contains(answers, []byte(`{"id":2,"subscribe":`)); {
		_, p, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, p...)
	}
	return conn
}

func slowInRoom(t *testing.T, in *instance) {
	slow, quick := in.deaf(t, "chat:slow"), in.enter(t, "chat:slow")
	message := `"` + strings.Repeat("x", peer.MaxMessage-1000) + `"`
	for range tolerated {
		if err := quick.publish(message); err != nil {
			t.Fatal(err)
		}
		quick.expect(t, message)
	}
	for received := 0; ; {
		_, p, err := slow.ReadMessage()
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatal("the slow client is still connected")
		}
		if err != nil {
			return
		}
		if received += bytes.Count(p, []byte(`"push"`)); received == tolerated {
			t.Fatal("the slow client got everything: it was never dropped")
		}
	}
}

// generated has the load generator check every delivery and every answer.
func generated(t *testing.T, in *instance) {
	// What it tests is the main module's, whatever this one's dependencies are.
	loadgen := filepath.Join(t.TempDir(), "loadgen")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", loadgen, "./cmd/loadgen")
	build.Dir = filepath.Join("..", "..", "..")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the load generator: %v\n%s", err, said)
	}
	run := func(args string) (string, error) {
		args = "-protocol rooms -settle 0s -url ws://" + in.addr + pathRooms + " " + args
		said, err := exec.CommandContext(t.Context(), loadgen, strings.Fields(args)...).CombinedOutput()
		return fmt.Sprintf("%s\n%s", args, said), err
	}
	for _, args := range []string{
		"-conns 300 -rate 50 -duration 200ms -processes 2",
		"-conns 300 -topics 3 -publishers 6 -window 4 -duration 200ms",
		"-conns 300 -mode idle -duration 10ms -churn 500",
	} {
		if said, err := run(args); err != nil || !strings.Contains(said, "300 of 300 open") {
			t.Errorf("%v: %s", err, said)
		}
	}
	said, err := run("-conns 10 -channel-prefix " + strings.Repeat("x", 1000))
	if err == nil || !strings.Contains(said, "10 × the server refused to subscribe: 107 bad request") {
		t.Errorf("a channel's name that is too long: %v: %s", err, said)
	}
}

func endOfRooms(t *testing.T, in *instance) {
	in.enter(t, "chat:end")
	in.deaf(t, "chat:end")
	in.end(t)
	if conn, err := net.DialTimeout("tcp", in.addr, patience); err == nil {
		conn.Close()
		t.Error("it still accepts connections")
	}
}
