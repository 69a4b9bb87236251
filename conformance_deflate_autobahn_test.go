package hubbub

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// deflateSizes are Autobahn's of 12 and 13: bytes to a message, and to a frame,
// 0 for one frame.
var deflateSizes = [][2]int{
	{16, 0}, {64, 0}, {256, 0}, {1024, 0}, {4096, 0}, {8192, 0}, {16384, 0}, {32768, 0}, {65536, 0}, {131072, 0},
	{8192, 256}, {16384, 256}, {32768, 256}, {65536, 256}, {131072, 256}, {131072, 1024}, {131072, 4096}, {131072, 32768},
}

// deflateData stands for Autobahn's files: JSON, a bitmap, a text, HTML, a PDF.
func deflateData() [5]string {
	random := rand.New(rand.NewPCG(12, 13))
	const size = 256 << 10
	words := strings.Fields("Habe nun ach Philosophie Juristerei und Medizin und leider auch Theologie durchaus studiert mit heißem Bemühn da steh ich nun")
	word := func() string { return words[random.IntN(len(words))] }
	var json, html, text strings.Builder
	for json.Len() < size {
		fmt.Fprintf(&json, `{"id":%d,"name":"user%d","score":%.3f,"tags":["a%d","b"]},`, random.IntN(1e6), random.IntN(5000), random.Float64(), random.IntN(9))
	}
	for html.Len() < size {
		fmt.Fprintf(&html, "<tr class=\"row\"><td>%d</td><td><a href=\"/item/%d\">item %d</a></td></tr>\n", random.IntN(1e4), random.IntN(1e5), random.IntN(1e5))
	}
	for text.Len() < size {
		text.WriteString(word() + " ")
	}
	bitmap, pdf := make([]byte, size), make([]byte, size)
	for i := range bitmap {
		bitmap[i] = byte(i/512 + i%512/3 + random.IntN(3))
		pdf[i] = byte(random.IntN(256))
	}
	return [5]string{json.String(), string(bitmap), text.String(), html.String(), string(pdf)}
}

// Autobahn's 12: kinds of data, and 13: parameters (requestNoContextTakeover is
// the server's there). Where it sends a thousand messages of each size, here
// there are a few; of the larger sizes each comes with some of the groups.
func TestConformanceAutobahnDeflate(t *testing.T) {
	data := deflateData()
	conformOnce(t, compressing(), func(t *testing.T, dial transport) {
		for j, s := range data {
			op := byte(opBinary)
			if j == 0 || j == 3 {
				op = opText
			}
			deflateGroup(t, dial, 12, j, op, s, "permessage-deflate; client_max_window_bits")
		}
		const both = "client_max_window_bits"
		for j, params := range []string{
			both,
			"client_no_context_takeover; server_no_context_takeover; " + both,
			"server_max_window_bits=9; " + both,
			"server_max_window_bits=15; " + both,
			"server_no_context_takeover; server_max_window_bits=9; " + both,
			"server_no_context_takeover; server_max_window_bits=15; " + both,
			"server_no_context_takeover; server_max_window_bits=9; " + both + ", permessage-deflate; server_no_context_takeover; " + both + ", permessage-deflate; " + both,
		} {
			if !limitsWindows && (j == 2 || j == 4) {
				params += ", permessage-deflate"
			}
			deflateGroup(t, dial, 13, j, opText, data[0], "permessage-deflate; "+params)
		}
	})
}

func deflateGroup(t *testing.T, dial transport, chapter, group int, op byte, data, offers string) {
	for i, size := range deflateSizes {
		n, frame := size[0], size[1]
		if n > 4096 && i%6 != (group+chapter)%6 {
			continue
		}
		t.Run(fmt.Sprintf("%d.%d.%d", chapter, group+1, i+1), func(t *testing.T) {
			d := openDeflate(t, dial, offers)
			at := 0
			for range max(2, min(20, 10<<10/n)) {
				if at+n > len(data) {
					at = 0
				}
				d.say(op, data[at:at+n], frame)
				d.expectSaid(op, data[at:at+n])
				at += n
			}
			d.bye()
		})
	}
}
