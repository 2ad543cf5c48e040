package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// btcdMaxTarget is the most blocks that btcd's estimatefee takes.
const btcdMaxTarget = 25

// Block implements Coins.
func (r *RPC) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	const method = "getblock"
	var text string
	err := r.call(ctx, &text, method, hash.String(), 0)
	var refused *RPCError
	switch {
	case errors.As(err, &refused) && lacksBlock(refused):
		return nil, fmt.Errorf("%w: %w", ErrUnknownBlock, err)
	case err != nil:
		return nil, err
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, r.fail(method, fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	return raw, nil
}

// lacksBlock reports whether an answer to getblock means that the node does not have the block. Core
// says "Block not found" of one that it does not know, and with another code "Block not available (pruned
// data)", "(not fully downloaded)" or "Block not found on disk" of one whose header it has.
func lacksBlock(said *RPCError) bool {
	return said.Code == codeInvalidKey || said.Code == codeMisc && strings.HasPrefix(said.Message, "Block not ")
}

// SendTransaction implements Coins.
func (r *RPC) SendTransaction(ctx context.Context, raw []byte) error {
	const method = "sendrawtransaction"
	var txid string
	// 0 takes any fee rate: the ceiling is whose money it is's to set. btcd ignores it.
	err := r.call(ctx, &txid, method, hex.EncodeToString(raw), 0)
	var said *RPCError
	switch {
	case !errors.As(err, &said):
		return err
	case hasTransaction(said):
		return nil
	case said.Code == codeVerify || said.Code == codeRejected || said.Code == codeDeserialization:
		return r.fail(method, &payouts.RefusedError{Reason: said.Message})
	}
	return err
}

// hasTransaction reports whether an answer to sendrawtransaction means that the node has the transaction.
// Core says so of one in its mempool by accepting it.
func hasTransaction(said *RPCError) bool {
	if said.Code == codeInChain {
		return true
	}
	for _, text := range []string{
		"already have transaction in mempool", "transaction already exists", // btcd
		"txn-already-in-mempool", "txn-already-known", "txn-same-nonwitness-data-in-mempool",
	} {
		if strings.Contains(said.Message, text) {
			return true
		}
	}
	return false
}

// Output implements Coins.
func (r *RPC) Output(ctx context.Context, at wire.OutPoint) (payouts.Unspent, error) {
	// btcd's gettxout does not see what the mempool spends of blocks. It is asked for that first, so that a
	// spender which a block confirms meanwhile is seen by the second question. Old nodes cannot be asked,
	// but Core's gettxout alone is enough.
	spent, err := r.spentByMempool(ctx, at)
	if err != nil && !errors.Is(err, ErrUnsupported) {
		return payouts.Unspent{}, err
	}
	const method = "gettxout"
	var out *txOut
	err = r.call(ctx, &out, method, at.Hash.String(), at.Index, true)
	var said *RPCError
	if errors.As(err, &said) && said.Code == codeInvalidKey && strings.Contains(said.Message, "does not exist") {
		err = nil // btcd's answer for an output that a transaction of the mempool does not have
	}
	switch {
	case err != nil:
		return payouts.Unspent{}, err
	case out == nil || spent:
		return payouts.Unspent{}, r.fail(method, fmt.Errorf("%w: %s", payouts.ErrSpent, at))
	}
	coin, err := out.decode()
	if err != nil {
		return payouts.Unspent{}, r.fail(method, fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	return coin, nil
}

// spentByMempool reports whether a transaction of the mempool spends an output.
func (r *RPC) spentByMempool(ctx context.Context, at wire.OutPoint) (bool, error) {
	var found []struct {
		Spender string `json:"spendingtxid"` // absent if there is none
	}
	err := r.call(ctx, &found, "gettxspendingprevout", []any{map[string]any{"txid": at.Hash.String(), "vout": at.Index}})
	return len(found) > 0 && found[0].Spender != "", err
}

// txOut is a gettxout result.
type txOut struct {
	Confirmations int64       `json:"confirmations"`
	Value         json.Number `json:"value"` // BTC
	Coinbase      bool        `json:"coinbase"`
	ScriptPubKey  struct {
		Hex string `json:"hex"`
	} `json:"scriptPubKey"`
}

func (o *txOut) decode() (payouts.Unspent, error) {
	value, err := satoshis(o.Value)
	if err != nil {
		return payouts.Unspent{}, err
	}
	script, err := hex.DecodeString(o.ScriptPubKey.Hex)
	if err != nil {
		return payouts.Unspent{}, fmt.Errorf("scriptPubKey: %w", err)
	}
	if !value.IsInt() || value.Sign() < 0 || !value.Num().IsInt64() || o.Confirmations < 0 {
		return payouts.Unspent{}, fmt.Errorf("a value of %s BTC with %d confirmations", o.Value, o.Confirmations)
	}
	return payouts.Unspent{
		Value: value.Num().Int64(), Script: script, Confirmations: o.Confirmations, Coinbase: o.Coinbase,
	}, nil
}

// satoshis returns what a number of BTC is in satoshis, exactly. btcd writes small ones with an exponent.
func satoshis(btc json.Number) (*big.Rat, error) {
	const most = 40 // digits; nobody needs so many
	value, ok := new(big.Rat), false
	if len(btc) <= most {
		value, ok = value.SetString(string(btc))
	}
	if !ok {
		return nil, fmt.Errorf("the amount %q is no number", clip([]byte(btc)))
	}
	return value.Mul(value, big.NewRat(100_000_000, 1)), nil
}

// FeeRate implements Coins. Core's estimatesmartfee is asked first, then btcd's estimatefee.
func (r *RPC) FeeRate(ctx context.Context, blocks int) (int64, error) {
	var smart struct {
		FeeRate json.Number `json:"feerate"` // BTC per 1000 virtual bytes; absent if there is none
		Errors  []string    `json:"errors"`
	}
	method := "estimatesmartfee"
	err := r.call(ctx, &smart, method, blocks)
	if errors.Is(err, ErrUnsupported) {
		method = "estimatefee"
		err = r.call(ctx, &smart.FeeRate, method, min(blocks, btcdMaxTarget))
		var said *RPCError
		if errors.As(err, &said) { // it has not seen enough blocks
			err = fmt.Errorf("%w: %w", payouts.ErrNoEstimate, err)
		}
	}
	switch {
	case err != nil:
		return 0, err
	case smart.FeeRate == "":
		return 0, r.fail(method, fmt.Errorf("%w: %s", payouts.ErrNoEstimate, strings.Join(smart.Errors, "; ")))
	}
	rate, err := satoshis(smart.FeeRate)
	if err != nil {
		return 0, r.fail(method, fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	// btcd gives fractions of satoshis: rounded up, a fee is never below the estimate. It says -1 for none.
	whole := new(big.Int).Div(new(big.Int).Add(rate.Num(), new(big.Int).Sub(rate.Denom(), big.NewInt(1))), rate.Denom())
	if whole.Sign() <= 0 || whole.Cmp(big.NewInt(maxFeeRate)) > 0 {
		return 0, r.fail(method, fmt.Errorf("%w: it says %s BTC", payouts.ErrNoEstimate, smart.FeeRate))
	}
	return whole.Int64(), nil
}
