package node

import "context"

// Call calls a method of the node's JSON-RPC within the configured timeout and decodes its result, for
// adapters that speak to more of a node than chain and templates: a wallet, whose URL ends in
// /wallet/NAME. An error that the node answered with is an *RPCError. It is safe for concurrent use.
func (r *RPC) Call(ctx context.Context, result any, method string, params ...any) error {
	return r.call(ctx, result, method, params...)
}

// ErrorCode returns the number of Bitcoin Core's rpc/protocol.h, to those that do not know this package.
func (e *RPCError) ErrorCode() int { return e.Code }
