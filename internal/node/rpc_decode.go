package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// Errors of nodes that callers tell apart.
var (
	// ErrAuth says that the node refused the user and password.
	ErrAuth = errors.New("the node refuses the user and password (HTTP 401)")
	// ErrMalformed says that an answer is not what the call promises.
	ErrMalformed = errors.New("malformed answer")
	// ErrNotConnected says that the node has no peers (RPC error -9).
	ErrNotConnected = errors.New("the node is not connected to the network")
	// ErrInitialDownload says that the node still catches up with the network (RPC error -10).
	ErrInitialDownload = errors.New("the node is in initial block download")
	// ErrWarmup says that the node is starting (RPC error -28).
	ErrWarmup = errors.New("the node is starting")
	// ErrUnsupported says that the node does not know the method (RPC error -32601).
	ErrUnsupported = errors.New("the node does not have this method")
	// ErrUndecodable says that the node could not decode the block (RPC error -22).
	ErrUndecodable = errors.New("the node cannot decode the block")
)

// Error codes of Bitcoin Core's rpc/protocol.h that this package meets.
const (
	codeMisc            = -1
	codeInvalidKey      = -5
	codeNotConnected    = -9
	codeInitialDownload = -10
	codeDeserialization = -22
	codeVerify          = -25
	codeRejected        = -26
	codeInChain         = -27
	codeWarmup          = -28
	codeNoMethod        = -32601
	codeInternal        = -32603
)

// RPCError is an error that the node answered with. By its code it matches ErrNotConnected,
// ErrInitialDownload, ErrWarmup, ErrUnsupported or ErrUndecodable.
type RPCError struct {
	// Code is a number of Bitcoin Core's rpc/protocol.h.
	Code int
	// Message is the node's text.
	Message string
}

// Error implements error.
func (e *RPCError) Error() string { return fmt.Sprintf("%s (RPC error %d)", e.Message, e.Code) }

// Is says which of the package's errors the code stands for.
func (e *RPCError) Is(target error) bool {
	switch e.Code {
	case codeNotConnected:
		return target == ErrNotConnected
	case codeInitialDownload:
		return target == ErrInitialDownload
	case codeWarmup:
		return target == ErrWarmup
	case codeDeserialization:
		return target == ErrUndecodable
	case codeNoMethod:
		return target == ErrUnsupported
	case codeMisc:
		// btcd's answer for methods of Core that it knows by name only.
		return target == ErrUnsupported && e.Message == "Command unimplemented"
	default:
		return false
	}
}

// HTTPError is an answer that is no JSON-RPC at all.
type HTTPError struct {
	Status int
	Text   string // the beginning of the body
}

// Error implements error.
func (e *HTTPError) Error() string {
	text := fmt.Sprintf("HTTP %d %s", e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		text += ": " + e.Text
	}
	switch {
	case e.Status == http.StatusServiceUnavailable && strings.Contains(e.Text, "Work queue"):
		text += " (raise rpcworkqueue and rpcthreads of the node)"
	case e.Status == http.StatusServiceUnavailable && strings.Contains(e.Text, "Too busy"):
		text += " (raise rpcmaxclients of the node)"
	case e.Status == http.StatusForbidden:
		text += " (the node does not serve this address: check its rpcallowip)"
	case e.Status == http.StatusNotFound:
		text += " (the RPC URL leads to something else than a node)"
	}
	return text
}

// decodeAnswer returns the result in a JSON-RPC answer, 1.0, 1.1 or 2.0, or the *RPCError in it.
// What is neither matches ErrMalformed. Whether the result is JSON is for who decodes it to find out.
func decodeAnswer(text []byte) (json.RawMessage, error) {
	if result, ok := cutAnswer(text); ok {
		return result, nil
	}
	return decodeAny(text)
}

// decodeAny is decodeAnswer for any answer, all of which it looks at.
func decodeAny(text []byte) (json.RawMessage, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%w: %w: %s", ErrMalformed, err, clip(text))
	}
	switch {
	case len(answer.Error) != 0 && string(answer.Error) != "null":
		return nil, decodeError(answer.Error)
	case len(answer.Result) == 0:
		return nil, fmt.Errorf("%w: it has neither result nor error: %s", ErrMalformed, clip(text))
	}
	return answer.Result, nil
}

// cutAnswer returns the result of an answer as nodes write those that went well and whose result is an
// object. Templates are megabytes, which the general decoder would look at twice and copy.
func cutAnswer(text []byte) (json.RawMessage, bool) {
	text = bytes.TrimRight(text, "\r\n")
	rest, ok := bytes.CutPrefix(text, []byte(`{"result":`)) // Bitcoin Core
	if !ok {
		rest, ok = bytes.CutPrefix(text, []byte(`{"jsonrpc":"1.0","result":`)) // btcd
	}
	end := bytes.LastIndex(rest, []byte(`,"error":null,"id":`))
	if !ok || end < 0 {
		return nil, false
	}
	id, ok := bytes.CutSuffix(rest[end+len(`,"error":null,"id":`):], []byte{'}'})
	if !ok || len(id) == 0 || len(bytes.Trim(id, "0123456789")) != 0 {
		return nil, false
	}
	result := rest[:end:end]
	return result, len(result) > 1 && result[0] == '{' && result[end-1] == '}'
}

// decodeError decodes the error member of an answer.
func decodeError(raw json.RawMessage) error {
	var e struct {
		Code    *int   `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(raw, &e); err != nil || e.Code == nil {
		return fmt.Errorf("%w: the error is not an object with a code: %s", ErrMalformed, clip(raw))
	}
	return &RPCError{Code: *e.Code, Message: e.Message}
}

// decodeReason decodes the result of submitblock or of a proposal: null or a reason.
func decodeReason(raw json.RawMessage) (gbt.Reason, error) {
	var reason *string
	if err := json.Unmarshal(raw, &reason); err != nil {
		return "", fmt.Errorf("%w: want null or a reason, not %s", ErrMalformed, clip(raw))
	}
	switch {
	case reason == nil:
		return "", nil
	case *reason == "":
		return gbt.Rejected, nil
	}
	return gbt.Reason(*reason), nil
}

// parseHash parses a block hash of exactly 64 hexadecimal digits in RPC order; the library's
// parser fills up shorter ones.
func parseHash(s string) (chainhash.Hash, error) {
	if len(s) != chainhash.MaxHashStringSize {
		return chainhash.Hash{}, fmt.Errorf("%w: %s is not a block hash", ErrMalformed, clip([]byte(s)))
	}
	hash, err := chainhash.NewHashFromStr(s)
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return *hash, nil
}

// clip returns the beginning of a text for an error message, in one line.
func clip(text []byte) string {
	const most = 200
	s := strings.Join(strings.Fields(strings.ToValidUTF8(string(text[:min(len(text), most)]), "?")), " ")
	if len(text) > most {
		s += "…"
	}
	return s
}
