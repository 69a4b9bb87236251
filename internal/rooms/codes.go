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
	errTokenExpired    = &protocol.Error{Code: 109, Message: "token expired"}
	errTooManyRequests = &protocol.Error{Code: 111, Message: "too many requests", Temporary: true}
	errUnrecoverable   = &protocol.Error{Code: 112, Message: "unrecoverable position"}
	errNotStored       = &protocol.Error{Code: 100, Message: "the publication could not be stored", Temporary: true}
	errInternal        = &protocol.Error{Code: 100, Message: "internal server error", Temporary: true}
)

// disconnect is why the server ends a connection. It is the code and reason of the
// close frame: clients come back after codes from 3000 to 3499, and not after those
// from 3500 to 3999.
type disconnect struct {
	Code   uint16 `json:"code"`
	Reason string `json:"reason"`
}

var (
	disconnectServerError  = disconnect{3004, "internal server error"}
	disconnectInsufficient = disconnect{3010, "insufficient state"}
	disconnectExpired      = disconnect{3005, "connection expired"}
	disconnectInvalidToken = disconnect{3500, "invalid token"}
	disconnectBadRequest   = disconnect{3501, "bad request"}
	disconnectTooMany      = disconnect{3501, "too many commands in a message"} // they would come again
	disconnectStale        = disconnect{3502, "stale"}
	disconnectForced       = disconnect{3503, "force disconnect"}
	disconnectDenied       = disconnect{3507, "permission denied"}
	disconnectNotAvailable = disconnect{3508, "not available"}
)

// Why the server ends a subscription. Clients subscribe again after codes from 2500.
var (
	unsubscribeServer       = &protocol.Unsubscribe{Code: 2000, Reason: "server unsubscribe"}
	unsubscribeInsufficient = &protocol.Unsubscribe{Code: 2500, Reason: "insufficient state"} // it may have missed something, and recovers
	unsubscribeExpired      = &protocol.Unsubscribe{Code: 2501, Reason: "expired"}
)
