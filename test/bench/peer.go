package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/test/btcdnode"
)

const (
	// peerCoins is how many coins a transaction makes for others to spend.
	peerCoins = 1000
	// peerFee is what each transaction pays, in satoshis, and peerData how many bytes it carries beside what it needs,
	// so that it is as long as one of the real template is on average.
	peerFee, peerData = 20_000, 150
	// maturity is how many blocks deep a coinbase has to be.
	maturity = 100
)

// peer is a btcd whose mempool has about as much as a block takes.
type peer struct {
	*btcdnode.Node

	addr  string
	login string
}

// btcd starts a btcd with so many transactions in its mempool.
func (l *lab) btcd(ctx context.Context, transactions int) (*peer, error) {
	args := []string{"--blockmaxweight=3990000", "--blockprioritysize=0", "--rpcmaxclients=100"}
	n := btcdnode.New(l.keeper(ctx), btcdnode.Config{Args: args}) //nolint:contextcheck // the keeper has it
	p := &peer{Node: n, addr: strings.TrimPrefix(n.URL, "http://"), login: n.User + ":" + n.Password}
	l.say("btcd gets %d transactions", transactions)
	if err := p.fill(transactions); err != nil { //nolint:contextcheck // the keeper has it
		return nil, err
	}
	return p, ctx.Err()
}

// fill puts transactions into the mempool, each of which spends a coin of its own.
func (p *peer) fill(transactions int) error {
	const fee = 200_000 // of those that make the coins
	sources := (transactions + peerCoins - 1) / peerCoins
	p.Generate(maturity + sources)
	coins := make([]btcdnode.Coin, 0, sources*peerCoins)
	for range sources {
		coin := p.Coin()
		each := (coin.Value - fee) / (peerCoins + 1)
		outs := make([]*wire.TxOut, peerCoins)
		for i := range outs {
			outs[i] = wire.NewTxOut(each, coin.Script)
		}
		tx := p.Draft(coin, fee, outs...)
		id := p.Send(tx)
		for i := range outs {
			coins = append(coins, btcdnode.Coin{OutPoint: *wire.NewOutPoint(&id, uint32(i)), Value: each, Script: coin.Script})
		}
	}
	p.Generate(1)
	data, err := txscript.NewScriptBuilder().AddOp(txscript.OP_RETURN).AddFullData(make([]byte, peerData)).Script()
	if err != nil {
		return err
	}
	for _, coin := range coins[:transactions] {
		p.Send(p.Draft(coin, peerFee, wire.NewTxOut(0, data)))
	}
	return nil
}

// template returns a request for a template and what comes.
func (p *peer) template(ctx context.Context) (request []byte, sent captured, err error) {
	body := []byte(`{"jsonrpc":"1.0","id":1,"method":"getblocktemplate","params":[{"capabilities":["coinbasevalue","longpoll","workid"],"rules":["segwit"]}]}`)
	sent, err = capture(ctx, p.addr, p.login, "identity", body)
	return render(p.login, "", body), sent, err
}

// knownBlock has btcd make a block of its mempool, and returns a request that submits it again.
func (p *peer) knownBlock(ctx context.Context) ([]byte, error) {
	hash := p.Generate(1)[0] //nolint:contextcheck // the keeper has it
	var text string
	if err := p.Call(ctx, &text, "getblock", hash.String(), 0); err != nil {
		return nil, err
	}
	return render(p.login, "", fmt.Appendf(nil, `{"jsonrpc":"1.0","id":1,"method":"submitblock","params":["%s"]}`, text)), nil
}

// checkKnown looks whether btcd has ruled on a block: it says that it has it already.
func checkKnown(a *answer) error {
	if a.status != http.StatusOK || !bytes.Contains(a.head(), []byte("already have block")) {
		return errors.New("no verdict, or another one")
	}
	return nil
}
