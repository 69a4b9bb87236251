package hubbub_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"hubbub"
)

// A room in which everyone hears everyone.
func Example() {
	srv, err := hubbub.New(hubbub.Config{Endpoints: map[string]hubbub.Endpoint{
		"/room": {
			OnOpen: func(c *hubbub.Conn, r *hubbub.Request) error {
				if r.Query().Get("name") == "" {
					return hubbub.Refuse(400, "who are you?")
				}
				c.SetSession(r.Query().Get("name"))
				c.Subscribe("room")
				return nil
			},
			OnText: func(c *hubbub.Conn, text []byte) {
				c.Publish("room", hubbub.Text, fmt.Appendf(nil, "%v: %s", c.Session(), text))
			},
		},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go srv.Serve(ln)
	defer srv.Shutdown(context.Background())

	conn, _, _, err := ws.Dial(context.Background(), "ws://"+ln.Addr().String()+"/room?name=Ann")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	wsutil.WriteClientText(conn, []byte("hello"))
	msg, err := wsutil.ReadServerText(conn)
	fmt.Println(string(msg), err)
	// Output: Ann: hello <nil>
}

// Whoever comes to the board reads the last two notes first, and then each new one.
func ExampleConn_SubscribeLast() {
	srv, err := hubbub.New(hubbub.Config{Endpoints: map[string]hubbub.Endpoint{
		"/board": {
			OnOpen: func(c *hubbub.Conn, _ *hubbub.Request) error {
				c.SubscribeLast("board", 2, func() { c.Publish("board", hubbub.Text, []byte("(somebody has come)")) })
				return nil
			},
			OnText: func(c *hubbub.Conn, text []byte) { c.PublishKept("board", hubbub.Text, text) },
		},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go srv.Serve(ln)
	defer srv.Shutdown(context.Background())

	for _, note := range []string{"one", "two", "three"} {
		srv.PublishKept("board", hubbub.Text, []byte(note))
	}
	conn, read, _, err := ws.Dial(context.Background(), "ws://"+ln.Addr().String()+"/board")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	stream := io.Reader(conn)
	if read != nil { // with the answer to the handshake
		stream = read
	}
	for range 3 {
		msg, err := wsutil.ReadServerText(struct {
			io.Reader
			io.Writer
		}{stream, conn})
		fmt.Println(string(msg), err)
	}
	// Output:
	// two <nil>
	// three <nil>
	// (somebody has come) <nil>
}
