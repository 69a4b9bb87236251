package interop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"testing"

	"github.com/centrifugal/centrifuge-go"
)

// The clients that the Centrifuge protocol's makers publish, in both formats.

func TestRooms(t *testing.T) { eachRooms(t) }

// The same across processes.
func TestRoomsBetweenWorkers(t *testing.T) { eachRooms(t, "-workers", "2") }

// patient is how a client is told to wait for a machine that has much else to do.
var patient = centrifuge.Config{HandshakeTimeout: patience, ReadTimeout: patience, WriteTimeout: patience}

func eachRooms(t *testing.T, args ...string) {
	s := serve(t, column{}, args...)
	url := s.options("/connection/websocket").url
	t.Run("go", func(t *testing.T) {
		dial := map[string]func(string, centrifuge.Config) *centrifuge.Client{"json": centrifuge.NewJsonClient, "protobuf": centrifuge.NewProtobufClient}
		for one, first := range dial {
			for other, second := range dial {
				t.Run(one+" and "+other, func(t *testing.T) {
					converse(t, "chat:"+one+" and "+other, first(url, patient), second(url, patient))
				})
			}
		}
	})
	for _, format := range []string{"json", "protobuf"} {
		t.Run("javascript "+format, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, node, "rooms.mjs", url, format)
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("rooms.mjs: %v\n%s", err, out)
			}
		})
	}
}

// Connections end, and the server is killed; of what was acknowledged, nobody misses anything.
func TestRoomsRecover(t *testing.T) { eachRecovers(t) }

// The same across processes.
func TestRoomsRecoverBetweenWorkers(t *testing.T) { eachRecovers(t, "-workers", "2") }

func eachRecovers(t *testing.T, args ...string) {
	const secret = "of the tests"
	for _, format := range []string{"json", "protobuf"} {
		t.Run(format, func(t *testing.T) {
			data := t.TempDir()
			args := append([]string{
				"-data-dir", data, "-token-hmac-secret", secret,
				"-namespaces", `{"chat": {"subscribe": "anyone", "publish": "anyone", "history": "anyone", "history_size": 30, "recovery": true},
					"closed": {"publish": "subscribers", "presence": "subscribers"}}`,
			}, args...)
			s := serve(t, column{}, args...)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, node, "recovery.mjs", s.options("/connection/websocket").url, format, secret)
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			cmd.Stderr = t.Output()
			answers, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			questions, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			restarts := 0
			for asked := bufio.NewScanner(questions); asked.Scan(); restarts++ {
				if asked.Text() != "restart" {
					t.Errorf("recovery.mjs says %q", asked.Text())
				}
				s.kill()
				s = serve(t, column{}, append(args, "-addr", s.addr)...)
				fmt.Fprintln(answers, "restarted")
			}
			if err := cmd.Wait(); err != nil || restarts != 2 {
				t.Errorf("recovery.mjs, after %d restarts of 2: %v", restarts, err)
			}
		})
	}
}

// converse has two clients use all there is, in a channel that nobody else is in.
func converse(t *testing.T, channel string, a, b *centrifuge.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	await := func(what string, c <-chan string) string {
		t.Helper()
		select {
		case got := <-c:
			return got
		case <-ctx.Done():
			t.Fatalf("no %s", what)
			return ""
		}
	}
	ids := make(chan string, 2)
	for _, c := range []*centrifuge.Client{a, b} {
		c.OnConnected(func(e centrifuge.ConnectedEvent) { ids <- e.ClientID })
		c.OnError(func(e centrifuge.ErrorEvent) { t.Errorf("error %v", e.Error) })
		if err := c.Connect(); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if one, other := await("connection", ids), await("connection", ids); one == "" || one == other {
		t.Fatalf("clients %q and %q", one, other)
	}

	type heard struct{ subscribed, publications, joins, leaves chan string }
	join := func(c *centrifuge.Client) (*centrifuge.Subscription, heard) {
		sub, err := c.NewSubscription(channel, centrifuge.SubscriptionConfig{JoinLeave: true})
		if err != nil {
			t.Fatal(err)
		}
		h := heard{make(chan string, 10), make(chan string, 10), make(chan string, 10), make(chan string, 10)}
		sub.OnSubscribed(func(centrifuge.SubscribedEvent) { h.subscribed <- "" })
		sub.OnPublication(func(e centrifuge.PublicationEvent) { h.publications <- string(e.Data) + " by " + e.Info.Client })
		sub.OnJoin(func(e centrifuge.JoinEvent) { h.joins <- e.ClientInfo.Client })
		sub.OnLeave(func(e centrifuge.LeaveEvent) { h.leaves <- e.ClientInfo.Client })
		sub.OnError(func(e centrifuge.SubscriptionErrorEvent) { t.Errorf("error %v", e.Error) })
		if err := sub.Subscribe(); err != nil {
			t.Fatal(err)
		}
		await("subscription", h.subscribed)
		return sub, h
	}
	suba, heara := join(a)
	ida := await("own join", heara.joins)
	subb, hearb := join(b)
	idb := await("join", heara.joins)
	await("own join", hearb.joins)

	if _, err := suba.Publish(ctx, []byte(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	for _, h := range []heard{heara, hearb} {
		if got, want := await("publication", h.publications), `{"n":1} by `+ida; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	}
	present, err := subb.Presence(ctx)
	if err != nil || len(present.Clients) != 2 || present.Clients[ida].Client != ida || present.Clients[idb].Client != idb {
		t.Errorf("present are %+v, %v; want %s and %s", present, err, ida, idb)
	}
	if stats, err := suba.PresenceStats(ctx); err != nil || stats.NumClients != 2 || stats.NumUsers != 1 {
		t.Errorf("presence stats %+v, %v; want two clients, one user", stats, err)
	}
	var answer *centrifuge.Error
	history, err := subb.History(ctx, centrifuge.WithHistoryLimit(10))
	if err != nil || len(history.Publications) != 1 || string(history.Publications[0].Data) != `{"n":1}` || history.Publications[0].Info.Client != ida {
		t.Errorf("history %+v, %v; want the one publication", history, err)
	}
	if _, err := a.History(ctx, "chat:other"); !errors.As(err, &answer) || answer.Code != 103 {
		t.Errorf("history of another channel: %v, want error 103", err)
	}
	if _, err := a.Publish(ctx, "closed:x", []byte(`1`)); !errors.As(err, &answer) || answer.Code != 102 {
		t.Errorf("publishing in an unknown namespace: %v, want error 102", err)
	}
	if err := subb.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if got := await("leave", heara.leaves); got != idb {
		t.Errorf("%s has left, want %s", got, idb)
	}
	if _, err := b.Publish(ctx, channel, []byte(`2`)); !errors.As(err, &answer) || answer.Code != 103 {
		t.Errorf("publishing unsubscribed: %v, want error 103", err)
	}
}
