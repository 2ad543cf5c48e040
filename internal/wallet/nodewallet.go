package wallet

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// Caller calls a node's JSON-RPC. An error that the node answered with has a method ErrorCode() int, which
// returns the number of Bitcoin Core's rpc/protocol.h.
type Caller interface {
	// Call calls a method and decodes its result.
	Call(ctx context.Context, result any, method string, params ...any) error
}

// NodeWalletConfig says which wallet a NodeWallet is.
type NodeWalletConfig struct {
	// RPC reaches the wallet: its URL ends in /wallet/NAME unless the node has one alone.
	RPC Caller
	// Chain is the chain in use.
	Chain *chaincfg.Params
	// Confirmations is how deep coins are that are spent: a reorganisation must not take one away that is
	// reserved. 0 stands for 1.
	Confirmations int64
}

// NodeWallet is a wallet of a Bitcoin Core or Knots node. It implements payouts.Wallet and is safe for
// concurrent use.
type NodeWallet struct {
	rpc   Caller
	chain *chaincfg.Params
	// confirmations is how deep coins are.
	confirmations int64

	mu sync.Mutex
	// locked are coins that were locked from here. The node does not list them among its coins.
	locked map[wire.OutPoint]bool
}

// NewNodeWallet makes a NodeWallet. It does not connect.
func NewNodeWallet(cfg NodeWalletConfig) (*NodeWallet, error) {
	if cfg.RPC == nil || cfg.Chain == nil {
		return nil, errors.New("wallet: RPC and Chain are required")
	}
	return &NodeWallet{rpc: cfg.RPC, chain: cfg.Chain, confirmations: max(1, cfg.Confirmations), locked: make(map[wire.OutPoint]bool)}, nil
}

// place is an outpoint in the node's JSON.
type place struct {
	TxID txid   `json:"txid"`
	Vout uint32 `json:"vout"`
}

func placeOf(at wire.OutPoint) place { return place{TxID: txid(at.Hash), Vout: at.Index} }
func (p place) outPoint() wire.OutPoint {
	return wire.OutPoint{Hash: chainhash.Hash(p.TxID), Index: p.Vout}
}

// txid is a hash as the node has it in JSON: exactly 64 hexadecimal digits, in reverse.
type txid chainhash.Hash

// MarshalText implements encoding.TextMarshaler.
func (t txid) MarshalText() ([]byte, error) { return []byte(chainhash.Hash(t).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *txid) UnmarshalText(text []byte) error {
	if len(text) != chainhash.MaxHashStringSize {
		return fmt.Errorf("a transaction id of %d characters", len(text)) // the library fills up shorter ones
	}
	return chainhash.Decode((*chainhash.Hash)(t), string(text))
}

// Coins implements payouts.Wallet. Coins that somebody else has locked in the node are left out, unless
// they are known.
func (w *NodeWallet) Coins(ctx context.Context, known []payouts.Coin) ([]payouts.Coin, error) {
	// In this order, so that a coin that is locked meanwhile is seen twice rather than never.
	coins, err := w.listUnspent(ctx)
	if err != nil {
		return nil, err
	}
	more, err := w.lockedCoins(ctx, known)
	if err != nil {
		return nil, err
	}
	seen := make(map[wire.OutPoint]bool, len(coins)+len(more))
	var out []payouts.Coin
	for _, c := range append(coins, more...) {
		if !seen[c.OutPoint] {
			seen[c.OutPoint] = true
			out = append(out, c)
		}
	}
	return out, nil
}

// yes reports whether a node says so or says nothing.
func yes(field *bool) bool { return field == nil || *field }

// listUnspent returns the coins that the node lists: confirmed, mature and not locked.
func (w *NodeWallet) listUnspent(ctx context.Context) ([]payouts.Coin, error) {
	const maxConfirmations, unsafe = 9_999_999, false
	var list []struct {
		place
		Script        string `json:"scriptPubKey"`
		Amount        btc    `json:"amount"`
		Confirmations int64  `json:"confirmations"`
		// Fields that a node may leave out because they are always true.
		Spendable, Solvable, Safe *bool
	}
	if err := w.call(ctx, &list, "listunspent", w.confirmations, maxConfirmations, []string{}, unsafe); err != nil {
		return nil, err
	}
	var out []payouts.Coin
	for _, u := range list {
		script, err := hex.DecodeString(u.Script)
		if err != nil {
			return nil, fmt.Errorf("wallet: listunspent: the script of %s: %w", u.outPoint(), err)
		}
		if spendable(script) && u.Confirmations >= w.confirmations && yes(u.Spendable) && yes(u.Solvable) && yes(u.Safe) {
			out = append(out, payouts.Coin{OutPoint: u.outPoint(), Value: int64(u.Amount), Script: script})
		}
	}
	return out, nil
}

// lockedCoins returns the coins that are locked in the node and known here or locked from here.
func (w *NodeWallet) lockedCoins(ctx context.Context, known []payouts.Coin) ([]payouts.Coin, error) {
	list, err := w.listLocked(ctx)
	if err != nil {
		return nil, err
	}
	ours := w.remembered(list)
	for _, c := range known {
		ours[c.OutPoint] = true
	}
	list = slices.DeleteFunc(list, func(at wire.OutPoint) bool { return !ours[at] })
	found, err := lookUp(ctx, list, w.unspent)
	if err != nil {
		return nil, err
	}
	var out []payouts.Coin
	for i, at := range list {
		if u := found[i]; u != nil && ripe(u, w.chain) && spendable(u.Script) {
			out = append(out, payouts.Coin{OutPoint: at, Value: u.Value, Script: u.Script})
		}
	}
	return out, nil
}

// listLocked returns what is locked in the node.
func (w *NodeWallet) listLocked(ctx context.Context) ([]wire.OutPoint, error) {
	var list []place
	if err := w.call(ctx, &list, "listlockunspent"); err != nil {
		return nil, err
	}
	out := make([]wire.OutPoint, len(list))
	for i, p := range list {
		out[i] = p.outPoint()
	}
	return out, nil
}

// remembered returns what of the locked coins was locked from here, and forgets what is not locked any
// more: it is spent, or the node was restarted.
func (w *NodeWallet) remembered(locked []wire.OutPoint) map[wire.OutPoint]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept, out := make(map[wire.OutPoint]bool), make(map[wire.OutPoint]bool)
	for _, at := range locked {
		if w.locked[at] {
			kept[at], out[at] = true, true
		}
	}
	w.locked = kept
	return out
}

// unspent looks a coin up, also one that is not in the wallet.
func (w *NodeWallet) unspent(ctx context.Context, at wire.OutPoint) (payouts.Unspent, error) {
	const withMempool = true
	var out *struct {
		Value         btc   `json:"value"`
		Confirmations int64 `json:"confirmations"`
		Coinbase      bool  `json:"coinbase"`
		Script        struct {
			Hex string `json:"hex"`
		} `json:"scriptPubKey"`
	}
	if err := w.call(ctx, &out, "gettxout", txid(at.Hash), at.Index, withMempool); err != nil {
		return payouts.Unspent{}, err
	}
	if out == nil {
		return payouts.Unspent{}, payouts.ErrSpent
	}
	script, err := hex.DecodeString(out.Script.Hex)
	if err != nil {
		return payouts.Unspent{}, fmt.Errorf("wallet: gettxout: the script: %w", err)
	}
	return payouts.Unspent{Value: int64(out.Value), Script: script, Confirmations: out.Confirmations, Coinbase: out.Coinbase}, nil
}

// Change implements payouts.Wallet: a new address of the node's wallet each time.
func (w *NodeWallet) Change(ctx context.Context) ([]byte, error) {
	var text string
	if err := w.call(ctx, &text, "getrawchangeaddress", "bech32"); err != nil {
		return nil, err
	}
	addr, err := address.DecodeAddress(text, w.chain)
	if err != nil || !addr.IsForNet(w.chain) {
		return nil, fmt.Errorf("wallet: getrawchangeaddress: %q is no address of %s: check the URL of the node's wallet", text, w.chain.Name)
	}
	script, err := txscript.PayToAddrScript(addr)
	if err != nil {
		return nil, fmt.Errorf("wallet: getrawchangeaddress: %w", err)
	}
	if !spendable(script) {
		return nil, fmt.Errorf("wallet: getrawchangeaddress: the address %s is neither P2WPKH nor P2TR", text)
	}
	return script, nil
}

// Lock implements payouts.Wallet. The node forgets locks when it stops.
func (w *NodeWallet) Lock(ctx context.Context, coins []wire.OutPoint) error {
	locked, err := w.listLocked(ctx)
	if err != nil {
		return err
	}
	var places []place
	for _, at := range coins {
		// The node refuses to lock what is locked, and then locks none of the others.
		if !slices.Contains(locked, at) {
			places = append(places, placeOf(at))
		}
	}
	if len(places) > 0 {
		const unlock = false
		if err := w.call(ctx, new(bool), "lockunspent", unlock, places); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range places {
		w.locked[p.outPoint()] = true
	}
	return nil
}

// previous is an output that an input spends, for the node to sign.
type previous struct {
	place
	Script string `json:"scriptPubKey"`
	Amount btc    `json:"amount"`
}

// Sign implements payouts.Wallet. The node signs; what it returns is compared and verified here.
func (w *NodeWallet) Sign(ctx context.Context, tx *wire.MsgTx, coins []payouts.Coin) (*wire.MsgTx, error) {
	if err := pair(tx, coins); err != nil {
		return nil, err
	}
	want := unsigned(tx)
	var raw bytes.Buffer
	if err := want.Serialize(&raw); err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	// The coins go with it, so that the node need not find them: a replacement's are spent in its mempool.
	spends := make([]previous, len(coins))
	for i, c := range coins {
		spends[i] = previous{placeOf(c.OutPoint), hex.EncodeToString(c.Script), btc(c.Value)}
	}
	var answer struct {
		Hex      string `json:"hex"`
		Complete bool   `json:"complete"`
		Errors   []struct {
			place
			Error string `json:"error"`
		} `json:"errors"`
	}
	if err := w.call(ctx, &answer, "signrawtransactionwithwallet", hex.EncodeToString(raw.Bytes()), spends); err != nil {
		return nil, err
	}
	if len(answer.Errors) > 0 {
		e := answer.Errors[0]
		return nil, fmt.Errorf("wallet: %w: the node's wallet cannot sign %d inputs, such as the one that spends %s: %s",
			ErrSignature, len(answer.Errors), e.outPoint(), e.Error)
	}
	if !answer.Complete {
		return nil, fmt.Errorf("wallet: %w: the node's wallet has signed only a part: does it have the private keys of all its coins?", ErrSignature)
	}
	got, err := hex.DecodeString(answer.Hex)
	if err != nil {
		return nil, fmt.Errorf("wallet: signrawtransactionwithwallet: %w", err)
	}
	out, err := decodeRaw(got, want, coins)
	if err != nil {
		return nil, fmt.Errorf("wallet: signrawtransactionwithwallet: %w", err)
	}
	return out, nil
}

// Error codes of Bitcoin Core's rpc/protocol.h that wallets answer with.
const (
	codeKeypoolRanOut = -12
	codeUnlockNeeded  = -13
	codeNotFound      = -18
	codeNotSpecified  = -19
	codeNoMethod      = -32601
)

// call calls a method and says what to change if the wallet is not as it has to be.
func (w *NodeWallet) call(ctx context.Context, result any, method string, params ...any) error {
	err := w.rpc.Call(ctx, result, method, params...)
	if err == nil {
		return nil
	}
	if hint := hintFor(err); hint != "" {
		return fmt.Errorf("wallet: %w (%s)", err, hint)
	}
	return fmt.Errorf("wallet: %w", err)
}

// hintFor says what to change after an error that a node answered with.
func hintFor(err error) string {
	var coded interface{ ErrorCode() int }
	if !errors.As(err, &coded) {
		return ""
	}
	switch coded.ErrorCode() {
	case codeKeypoolRanOut:
		return "the wallet has no addresses left: unlock it and call keypoolrefill, or use a wallet with private keys"
	case codeUnlockNeeded:
		return "unlock the wallet with walletpassphrase, or use one without a passphrase for payouts"
	case codeNotFound:
		return "load the wallet with loadwallet NAME true, and check that the URL ends in /wallet/NAME"
	case codeNotSpecified:
		return "the node has several wallets: have the URL end in /wallet/NAME"
	case codeNoMethod:
		return "the node has no wallet: it was built without, or disablewallet is set"
	default:
		return ""
	}
}
