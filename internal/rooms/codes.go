package rooms

import "github.com/centrifugal/protocol"

// What a command can be answered with instead of a result.
var (
	errUnknownChannel  = &protocol.Error{Code: 102, Message: "unknown channel"}
	errDenied          = &protocol.Error{Code: 103, Message: "permission denied"}
	errNoMethod        = &protocol.Error{Code: 104, Message: "method not found"}
	errSubscribed      = &protocol.Error{Code: 105, Message: "already subscribed"}
	errLimit           = &protocol.Error{Code: 106, Message: "limit exceeded"}
	errBadRequest      = &protocol.Error{Code: 107, Message: "bad request"}
	errNotAvailable    = &protocol.Error{Code: 108, Message: "not available"}
	errTooManyRequests = &protocol.Error{Code: 111, Message: "too many requests", Temporary: true}
	errInternal        = &protocol.Error{Code: 100, Message: "internal server error", Temporary: true}
)

// disconnect is why the server ends a connection. It is the code and reason of the
// close frame: clients come back after codes from 3000 to 3499, and not after those
// from 3500 to 3999.
type disconnect struct {
	code   uint16
	reason string
}

var (
	disconnectInvalidToken = disconnect{3500, "invalid token"}
	disconnectBadRequest   = disconnect{3501, "bad request"}
	disconnectTooMany      = disconnect{3501, "too many commands in a message"} // they would come again
	disconnectStale        = disconnect{3502, "stale"}
	disconnectDenied       = disconnect{3507, "permission denied"}
	disconnectNotAvailable = disconnect{3508, "not available"}
)
