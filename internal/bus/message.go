package bus

import (
	"encoding/binary"
	"errors"

	"hubbub/internal/wire"
)

// encode returns a message as it is on the bus:
//
//	type (1 byte) | length of topic (uvarint) | topic | payload
func encode(topic string, t wire.MessageType, payload []byte) []byte {
	p := make([]byte, 0, 1+binary.MaxVarintLen32+len(topic)+len(payload))
	p = append(p, byte(t))
	p = binary.AppendUvarint(p, uint64(len(topic)))
	p = append(p, topic...)
	return append(p, payload...)
}

var errMalformed = errors.New("bus: a message that no hubbub server of this version has sent")

// parse takes apart what encode has made. The payload is a part of p.
func parse(p []byte) (topic string, t wire.MessageType, payload []byte, err error) {
	if len(p) < 2 {
		return "", 0, nil, errMalformed
	}
	t = wire.MessageType(p[0])
	n, size := binary.Uvarint(p[1:])
	if size <= 0 || n > uint64(len(p)-1-size) || t&^wire.Kept != wire.Text && t&^wire.Kept != wire.Binary {
		return "", 0, nil, errMalformed
	}
	p = p[1+size:]
	return string(p[:n]), t, p[n:], nil
}
