package wire

import "strings"

// A frameCase is what a Decoder makes of some bytes. Most frames are masked
// with zeros, which leaves their payload readable.
type frameCase struct {
	section string // of RFC 6455, unless it says otherwise
	name    string
	rules   Rules
	in      string
	want    []message
	middle  bool   // a frame or a message isn't over
	code    uint16 // of the error; 0 for none
	at      int    // bytes of in after which the error shows
}

type message struct {
	op      OpCode
	payload string
}

const m0 = "\x00\x00\x00\x00"

var (
	fromClient = Rules{MaxMessage: 70000}
	fromServer = Rules{MaxMessage: 70000, Client: true}
	upTo10     = Rules{MaxMessage: 10}
	upTo200    = Rules{MaxMessage: 200}
	upTo70000  = Rules{MaxMessage: 70000}
	a125       = strings.Repeat("a", 125)
	a126       = strings.Repeat("a", 126)
	a65535     = strings.Repeat("a", 65535)
	a65536     = strings.Repeat("a", 65536)
)

var frameCases = []frameCase{
	// What section 5.7 gives as examples.
	{"5.7", "unmasked text", fromServer, "\x81\x05Hello", []message{{OpText, "Hello"}}, false, 0, 0},
	{"5.7", "masked text", fromClient, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", []message{{OpText, "Hello"}}, false, 0, 0},
	{"5.7", "unmasked fragments", fromServer, "\x01\x03Hel\x80\x02lo", []message{{OpText, "Hello"}}, false, 0, 0},
	{"5.7", "unmasked ping", fromServer, "\x89\x05Hello", []message{{OpPing, "Hello"}}, false, 0, 0},
	{"5.7", "masked pong", fromClient, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", []message{{OpPong, "Hello"}}, false, 0, 0},
	{"5.7", "256 bytes", fromServer, "\x82\x7e\x01\x00" + a65536[:256], []message{{OpBinary, a65536[:256]}}, false, 0, 0},
	{"5.7", "64 KiB", fromServer, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + a65536, []message{{OpBinary, a65536}}, false, 0, 0},

	{"5.2", "nothing", fromClient, "", nil, false, 0, 0},
	{"5.2", "one byte of a header", fromClient, "\x81", nil, true, 0, 0},
	{"5.2", "header without its mask", fromClient, "\x81\x85\x37\xfa", nil, true, 0, 0},
	{"5.2", "payload not all there", fromClient, "\x81\x85" + m0 + "Hell", nil, true, 0, 0},
	{"5.2", "ping not all there", fromClient, "\x89\x85" + m0 + "Hell", nil, true, 0, 0},
	{"5.2", "length 0", fromClient, "\x82\x80" + m0, []message{{OpBinary, ""}}, false, 0, 0},
	{"5.2", "length 125", fromClient, "\x82\xfd" + m0 + a125, []message{{OpBinary, a125}}, false, 0, 0},
	{"5.2", "length 126", fromClient, "\x82\xfe\x00\x7e" + m0 + a126, []message{{OpBinary, a126}}, false, 0, 0},
	{"5.2", "length 65535", fromClient, "\x82\xfe\xff\xff" + m0 + a65535, []message{{OpBinary, a65535}}, false, 0, 0},
	{"5.2", "length 65536", fromClient, "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00" + m0 + a65536, []message{{OpBinary, a65536}}, false, 0, 0},
	{"5.2", "16 bits for a length of 125", fromClient, "\x82\xfe\x00\x7d" + m0 + a125, nil, false, CloseProtocolError, 4},
	{"5.2", "16 bits for a length of 0", fromServer, "\x82\x7e\x00\x00", nil, false, CloseProtocolError, 4},
	{"5.2", "16 bits for a short length, under a small limit", upTo10, "\x82\xfe\x00\x05" + m0 + "Hello", nil, false, CloseProtocolError, 4},
	{"5.2", "64 bits for a length of 65535", fromClient, "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff" + m0 + a65535, nil, false, CloseProtocolError, 10},
	{"5.2", "64 bits for a length of 5", upTo10, "\x82\xff\x00\x00\x00\x00\x00\x00\x00\x05" + m0 + "Hello", nil, false, CloseProtocolError, 10},
	{"5.2", "64 bits with the highest set", fromClient, "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01" + m0 + "a", nil, false, CloseProtocolError, 10},
	{"5.2", "64 bits, all set, under a small limit", upTo10, "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" + m0 + "a", nil, false, CloseProtocolError, 10},
	{"5.2", "RSV1 without an extension", fromClient, "\xc1\x85" + m0 + "Hello", nil, false, CloseProtocolError, 2},
	{"5.2", "RSV2", fromClient, "\xa1\x85" + m0 + "Hello", nil, false, CloseProtocolError, 2},
	{"5.2", "RSV3", fromServer, "\x91\x05Hello", nil, false, CloseProtocolError, 2},
	{"5.2", "RSV1 on a ping", fromClient, "\xc9\x80" + m0, nil, false, CloseProtocolError, 2},
	{"5.2", "RSV1 on a continuation", fromClient, "\x01\x80" + m0 + "\xc0\x80" + m0, nil, true, CloseProtocolError, 8},
	{"5.2", "opcode 3", fromClient, "\x83\x80" + m0, nil, false, CloseProtocolError, 2},
	{"5.2", "opcode 4", fromClient, "\x84\x80" + m0, nil, false, CloseProtocolError, 2},
	{"5.2", "opcode 5", fromClient, "\x85\x80" + m0, nil, false, CloseProtocolError, 2},
	{"5.2", "opcode 6", fromClient, "\x86\x80" + m0, nil, false, CloseProtocolError, 2},
	{"5.2", "opcode 7", fromClient, "\x87\x80" + m0, nil, false, CloseProtocolError, 2},
	{"5.2", "opcode 11", fromClient, "\x8b\x80" + m0, nil, false, CloseProtocolError, 2},
	{"5.2", "opcode 12", fromClient, "\x8c\x80" + m0, nil, false, CloseProtocolError, 2},
	{"5.2", "opcode 13", fromClient, "\x8d\x80" + m0, nil, false, CloseProtocolError, 2},
	{"5.2", "opcode 14", fromClient, "\x8e\x80" + m0, nil, false, CloseProtocolError, 2},
	{"5.2", "opcode 15", fromServer, "\x8f\x00", nil, false, CloseProtocolError, 2},
	{"5.2", "a good frame before a bad one", fromClient, "\x81\x82" + m0 + "ok\x83\x80" + m0, []message{{OpText, "ok"}}, false, CloseProtocolError, 10},

	{"5.3", "mask of 16 bits' length", fromClient, "\x82\xfe\x00\x7e\x01\x02\x03\x04" + strings.Repeat("\x01\x02\x03\x04", 31) + "\x01\x02", []message{{OpBinary, strings.Repeat("\x00", 126)}}, false, 0, 0},
	{"5.3", "each frame has its own mask", fromClient, "\x02\x83\x01\x02\x03\x04\x60\x60\x60\x80\x83\xff\xff\xff\xff\x9b\x9a\x99", []message{{OpBinary, "abcdef"}}, false, 0, 0},
	{"5.1", "unmasked frame from a client", fromClient, "\x81\x05Hello", nil, false, CloseProtocolError, 2},
	{"5.1", "unmasked ping from a client", fromClient, "\x89\x00", nil, false, CloseProtocolError, 2},
	{"5.1", "masked frame from a server", fromServer, "\x81\x85" + m0 + "Hello", nil, false, CloseProtocolError, 2},
	{"5.1", "masked pong from a server", fromServer, "\x8a\x80" + m0, nil, false, CloseProtocolError, 2},

	{"5.4", "three fragments", fromClient, "\x02\x82" + m0 + "ab\x00\x82" + m0 + "cd\x80\x82" + m0 + "ef", []message{{OpBinary, "abcdef"}}, false, 0, 0},
	{"5.4", "empty fragments", fromClient, "\x01\x80" + m0 + "\x00\x80" + m0 + "\x80\x80" + m0, []message{{OpText, ""}}, false, 0, 0},
	{"5.4", "empty fragments around a full one", fromClient, "\x01\x80" + m0 + "\x00\x82" + m0 + "ab\x80\x80" + m0, []message{{OpText, "ab"}}, false, 0, 0},
	{"5.4", "two fragmented messages", fromClient, "\x01\x81" + m0 + "a\x80\x81" + m0 + "b\x02\x81" + m0 + "c\x80\x81" + m0 + "d", []message{{OpText, "ab"}, {OpBinary, "cd"}}, false, 0, 0},
	{"5.4", "fragmented, then whole", fromClient, "\x01\x81" + m0 + "a\x80\x81" + m0 + "b\x81\x81" + m0 + "c", []message{{OpText, "ab"}, {OpText, "c"}}, false, 0, 0},
	{"5.4", "the last fragment is missing", fromClient, "\x01\x81" + m0 + "a\x00\x81" + m0 + "b", nil, true, 0, 0},
	{"5.4", "control frames between fragments", fromClient, "\x01\x82" + m0 + "ab\x89\x81" + m0 + "!\x00\x82" + m0 + "cd\x8a\x80" + m0 + "\x80\x82" + m0 + "ef", []message{{OpPing, "!"}, {OpPong, ""}, {OpText, "abcdef"}}, false, 0, 0},
	{"5.4", "close between fragments", fromClient, "\x01\x82" + m0 + "ab\x88\x82" + m0 + "\x03\xe8", []message{{OpClose, "\x03\xe8"}}, true, 0, 0},
	{"5.4", "continuation of nothing", fromClient, "\x80\x82" + m0 + "ab", nil, false, CloseProtocolError, 2},
	{"5.4", "continuation of nothing, not final", fromClient, "\x00\x82" + m0 + "ab", nil, false, CloseProtocolError, 2},
	{"5.4", "continuation of a whole message", fromServer, "\x81\x02ab\x80\x02cd", []message{{OpText, "ab"}}, false, CloseProtocolError, 6},
	{"5.4", "text within a message", fromClient, "\x01\x82" + m0 + "ab\x81\x82" + m0 + "cd", nil, true, CloseProtocolError, 10},
	{"5.4", "binary within a message", fromClient, "\x01\x82" + m0 + "ab\x02\x82" + m0 + "cd", nil, true, CloseProtocolError, 10},

	{"5.5", "fragmented ping", fromClient, "\x09\x80" + m0, nil, false, CloseProtocolError, 2},
	{"5.5", "fragmented pong", fromServer, "\x0a\x00", nil, false, CloseProtocolError, 2},
	{"5.5", "fragmented close", fromClient, "\x08\x82" + m0 + "\x03\xe8", nil, false, CloseProtocolError, 2},
	{"5.5", "ping of 125 bytes", fromClient, "\x89\xfd" + m0 + a125, []message{{OpPing, a125}}, false, 0, 0},
	{"5.5", "ping of 126 bytes", fromClient, "\x89\xfe\x00\x7e" + m0 + a126, nil, false, CloseProtocolError, 4},
	{"5.5", "close of 126 bytes", fromServer, "\x88\x7e\x00\x7e\x03\xe8" + a126[:124], nil, false, CloseProtocolError, 4},
	{"5.5", "16 bits for a short ping", fromClient, "\x89\xfe\x00\x05" + m0 + "Hello", nil, false, CloseProtocolError, 4},
	{"5.5", "ping of 64 KiB", fromClient, "\x89\xff\x00\x00\x00\x00\x00\x01\x00\x00" + m0, nil, false, CloseProtocolError, 10},
	{"5.5", "control frames aren't messages that could be too big", upTo10, "\x89\xfd" + m0 + a125, []message{{OpPing, a125}}, false, 0, 0},
	{"5.5.1", "close without a code", fromClient, "\x88\x80" + m0, []message{{OpClose, ""}}, false, 0, 0},
	{"5.5.1", "close with code and reason", fromClient, "\x88\x85" + m0 + "\x03\xe9bye", []message{{OpClose, "\x03\xe9bye"}}, false, 0, 0},
	{"5.5.2", "ping whose payload isn't UTF-8", fromClient, "\x89\x82" + m0 + "\xff\xfe", []message{{OpPing, "\xff\xfe"}}, false, 0, 0},
	{"5.5.3", "pong that nobody asked for", fromClient, "\x8a\x82" + m0 + "ab", []message{{OpPong, "ab"}}, false, 0, 0},

	{"7.4.1", "as big as allowed", upTo10, "\x82\x8a" + m0 + "0123456789", []message{{OpBinary, "0123456789"}}, false, 0, 0},
	{"7.4.1", "as big as allowed, in fragments", upTo10, "\x02\x85" + m0 + "01234\x80\x85" + m0 + "56789", []message{{OpBinary, "0123456789"}}, false, 0, 0},
	{"7.4.1", "the limit is for each message", upTo10, "\x82\x8a" + m0 + "0123456789\x82\x8a" + m0 + "0123456789", []message{{OpBinary, "0123456789"}, {OpBinary, "0123456789"}}, false, 0, 0},
	{"7.4.1", "too big", upTo10, "\x82\x8b" + m0 + "0123456789a", nil, false, CloseMessageTooBig, 2},
	{"7.4.1", "too big, its length in 16 bits", upTo200, "\x82\xfe\x00\xc9" + m0 + "a", nil, false, CloseMessageTooBig, 4},
	{"7.4.1", "too big, its length in 64 bits", upTo70000, "\x82\xff\x00\x00\x00\x00\x00\x01\x11\x71" + m0 + "a", nil, false, CloseMessageTooBig, 10},
	{"7.4.1", "the largest length there is", upTo10, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + m0, nil, false, CloseMessageTooBig, 10},
	{"7.4.1", "too big with its second fragment", upTo10, "\x02\x86" + m0 + "012345\x80\x85" + m0 + "6789a", nil, true, CloseMessageTooBig, 14},
	{"7.4.1", "too big with a late fragment", upTo10, "\x02\x85" + m0 + "01234\x00\x85" + m0 + "56789\x00\x80" + m0 + "\x80\x81" + m0 + "a", nil, true, CloseMessageTooBig, 30},
	{"7.4.1", "too big, a ping in between", upTo10, "\x02\x86" + m0 + "012345\x89\x80" + m0 + "\x80\x85" + m0 + "6789a", []message{{OpPing, ""}}, true, CloseMessageTooBig, 20},
	{"7.4.1", "what is too big after something good", upTo10, "\x81\x81" + m0 + "a\x82\x8b", []message{{OpText, "a"}}, false, CloseMessageTooBig, 9},

	{"8.1", "text of two, three and four byte runes", fromServer, "\x81\x09\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", []message{{OpText, "é€😀"}}, false, 0, 0},
	{"8.1", "masked text of many bytes a rune", fromClient, "\x81\x84\x37\xfa\x21\x3d\xc7\x65\xb9\xbd", []message{{OpText, "😀"}}, false, 0, 0},
	{"8.1", "a rune across fragments", fromServer, "\x01\x01\xf0\x00\x01\x9f\x00\x00\x80\x02\x98\x80", []message{{OpText, "😀"}}, false, 0, 0},
	{"8.1", "a ping within a rune", fromServer, "\x01\x01\xc3\x89\x01\xff\x80\x01\xa9", []message{{OpPing, "\xff"}, {OpText, "é"}}, false, 0, 0},
	{"8.1", "a rune not all there", fromServer, "\x01\x03\xf0\x9f\x98", nil, true, 0, 0},
	{"8.1", "binary may be anything", fromServer, "\x82\x03\xff\xc0\x80", []message{{OpBinary, "\xff\xc0\x80"}}, false, 0, 0},
	{"8.1", "binary fragments may be anything", fromServer, "\x02\x01\xff\x80\x01\xfe", []message{{OpBinary, "\xff\xfe"}}, false, 0, 0},
	{"8.1", "a byte that is never there", fromServer, "\x81\x05ab\xffcd", nil, true, CloseInvalidPayload, 5},
	{"8.1", "masked, a byte that is never there", fromClient, "\x81\x82\x01\x02\x03\x04\x60\xfd", nil, true, CloseInvalidPayload, 8},
	{"8.1", "a continuation byte alone", fromServer, "\x81\x03a\x80b", nil, true, CloseInvalidPayload, 4},
	{"8.1", "four continuation bytes", fromServer, "\x81\x04\x80\x80\x80\x80", nil, true, CloseInvalidPayload, 3},
	{"8.1", "overlong, two bytes", fromServer, "\x81\x04\xc0\xafab", nil, true, CloseInvalidPayload, 3},
	{"8.1", "overlong, three bytes", fromServer, "\x81\x05\xe0\x80\xafab", nil, true, CloseInvalidPayload, 4},
	{"8.1", "overlong, four bytes", fromServer, "\x81\x06\xf0\x8f\xbf\xbfab", nil, true, CloseInvalidPayload, 4},
	{"8.1", "a surrogate", fromServer, "\x81\x05\xed\xa0\x80ab", nil, true, CloseInvalidPayload, 4},
	{"8.1", "above U+10FFFF", fromServer, "\x81\x0aa\xce\xba\xf4\x90\x80\x80abc", nil, true, CloseInvalidPayload, 7},
	{"8.1", "lead byte followed by a letter", fromServer, "\x81\x04\xe2\x82ab", nil, true, CloseInvalidPayload, 5},
	{"8.1", "the message ends within a rune", fromServer, "\x81\x03a\xe2\x82", nil, true, CloseInvalidPayload, 5},
	{"8.1", "the last, empty fragment ends it within a rune", fromServer, "\x01\x02a\xe2\x80\x00", nil, true, CloseInvalidPayload, 6},
	{"8.1", "bad in the second fragment", fromServer, "\x01\x02a\xe2\x80\x02\x28b", nil, true, CloseInvalidPayload, 7},
	{"8.1", "bad in a frame whose rest never comes", fromServer, "\x81\x7e\xff\xffab\xc3\x28", nil, true, CloseInvalidPayload, 8},
}
