package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/gbtpool/gbtpool/api/guard"
	"github.com/gbtpool/gbtpool/gbt"
)

// The JSON-RPC error codes in use, numbered as in Bitcoin Core's rpc/protocol.h.
const (
	codeMisc            = -1
	codeType            = -3
	codeAddress         = -5
	codeOutOfMemory     = -7
	codeParameter       = -8
	codeNotConnected    = -9
	codeInitialDownload = -10
	codeInvalidRequest  = -32600
	codeMethodNotFound  = -32601
	codeInternal        = -32603
	codeParse           = -32700
)

// errDraining ends whatever waits when the server stops.
var errDraining = errors.New("the server is stopping")

// errGone says that nobody reads the answer any more.
var errGone = errors.New("the client is gone")

// rpcError is the error object of a JSON-RPC reply.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	// status is the HTTP status where it does not follow from the code and the JSON-RPC version.
	status int
	// retryAfter is when trying again will help; 0 if that is not known.
	retryAfter time.Duration
}

// Error implements error.
func (e *rpcError) Error() string { return fmt.Sprintf("%s (code %d)", e.Message, e.Code) }

// httpStatus is Bitcoin Core's choice of HTTP status: errors of JSON-RPC 2.0 are HTTP successes,
// unless the request is not even one.
func (e *rpcError) httpStatus(v2 bool) int {
	switch {
	case e.status != 0:
		return e.status
	case e.Code == codeInvalidRequest:
		return http.StatusBadRequest
	case e.Code == codeParse:
		return http.StatusInternalServerError
	case v2:
		return http.StatusOK
	case e.Code == codeMethodNotFound:
		return http.StatusNotFound
	default:
		return http.StatusInternalServerError
	}
}

// text returns the error object as JSON.
func (e *rpcError) text() []byte {
	raw, err := json.Marshal(e)
	if err != nil {
		return []byte(`{"code":-32603,"message":"Internal error"}`)
	}
	return raw
}

func fail(code int, format string, args ...any) *rpcError {
	return &rpcError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// unavailable is what a retry cures.
func unavailable(code int, message string) *rpcError {
	return &rpcError{Code: code, Message: message, status: http.StatusServiceUnavailable}
}

func unauthorized(code int, message string) *rpcError {
	return &rpcError{Code: code, Message: message, status: http.StatusUnauthorized}
}

// asRPCError says an error in JSON-RPC. Errors that it does not know are internal: their text is
// for the log.
func asRPCError(err error) *rpcError {
	var e *rpcError
	var rules *gbt.RulesError
	var refusal *guard.CallError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &refusal):
		return &rpcError{Code: codeMisc, Message: refusal.Message, status: refusal.Status, retryAfter: refusal.RetryAfter}
	case errors.As(err, &rules):
		return fail(codeParameter, "%s", rules)
	case errors.Is(err, gbt.ErrBudget):
		return spent(err)
	case errors.Is(err, errDraining), errors.Is(err, gbt.ErrClosed):
		return unavailable(codeNotConnected, "Shutting down")
	case errors.Is(err, gbt.ErrUnavailable):
		return unavailable(codeInitialDownload, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable(codeInitialDownload, "the pool did not get an answer in time; try again")
	default:
		return &rpcError{Code: codeInternal, Message: "Internal error", status: http.StatusInternalServerError}
	}
}

// spent is the answer to who has used up what the pool does for one miner. It is none of the
// errors about templates: the next one comes as always.
func spent(err error) *rpcError {
	e := unavailable(codeMisc, "the budget for checking blocks of one's own is spent: try again in a minute")
	var later interface {
		error
		RetryAfter() time.Duration
	}
	if errors.As(err, &later) {
		e.Message, e.retryAfter = later.Error(), later.RetryAfter()
	}
	return e
}

// kindName is a JSON value's type in Bitcoin Core's words.
func kindName(v jsontext.Value) string {
	switch v.Kind() {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case '0':
		return "number"
	case 't', 'f':
		return "bool"
	default:
		return "null"
	}
}

// mismatch is Bitcoin Core's text about a value of the wrong type.
func mismatch(v jsontext.Value, want string) string {
	return fmt.Sprintf("JSON value of type %s is not of expected type %s", kindName(v), want)
}

// wrongArgument refuses an argument of the wrong type as Bitcoin Core does.
func wrongArgument(position int, name string, v jsontext.Value, want string) *rpcError {
	return fail(codeType, "Wrong type passed:\n{\n    \"Position %d (%s)\": \"%s\"\n}", position, name, mismatch(v, want))
}
