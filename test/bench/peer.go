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
	n := btcdnode.New(l.keeper(ctx), btcdnode.Config{Args: []string{
		"--blockmaxweight=3990000", "--blockprioritysize=0", "--rpcmaxclients=100",
	}})
	p := &peer{Node: n, addr: strings.TrimPrefix(n.URL, "http://"), login: n.User + ":" + n.Password}
	sources := (transactions + peerCoins - 1) / peerCoins
	n.Generate(maturity + sources)
	l.say("btcd gets %d transactions", transactions)
	var coins []btcdnode.Coin
	for range sources {
		coin := n.Coin()
		each := (coin.Value - 10*peerFee*peerCoins/100) / (peerCoins + 1)
		outs := make([]*wire.TxOut, peerCoins)
		for i := range outs {
			outs[i] = wire.NewTxOut(each, coin.Script)
		}
		tx := n.Draft(coin, 10*peerFee*peerCoins/100, outs...)
		id := n.Send(tx)
		for i := range outs {
			coins = append(coins, btcdnode.Coin{OutPoint: *wire.NewOutPoint(&id, uint32(i)), Value: each, Script: coin.Script})
		}
	}
	n.Generate(1)
	data, err := txscript.NewScriptBuilder().AddOp(txscript.OP_RETURN).AddFullData(make([]byte, peerData)).Script()
	if err != nil {
		return nil, err
	}
	for _, coin := range coins[:transactions] {
		n.Send(n.Draft(coin, peerFee, wire.NewTxOut(0, data)))
	}
	return p, ctx.Err()
}

// template returns a request for a template and what comes.
func (p *peer) template(ctx context.Context) (request []byte, sent captured, err error) {
	body := []byte(`{"jsonrpc":"1.0","id":1,"method":"getblocktemplate","params":[{"capabilities":["coinbasevalue","longpoll","workid"],"rules":["segwit"]}]}`)
	sent, err = capture(ctx, p.addr, p.login, "identity", body)
	return render(p.login, "", body), sent, err
}

// knownBlock has btcd make a block of its mempool, and returns a request that submits it again.
func (p *peer) knownBlock(ctx context.Context) ([]byte, error) {
	hash := p.Generate(1)[0]
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
