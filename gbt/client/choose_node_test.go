package client

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// TestChooseNode follows a miner's own node beside the pool: what it has is proposed as soon as the
// two agree on the previous block, and again when it changes.
func TestChooseNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, own := newChoosing(t, nil), newChoosing(t, nil)
		serve := func(changes answer, txs ...*wire.MsgTx) {
			changes["transactions"] = offerOf(t, nil, txs...)["transactions"]
			own.change(changes)
		}
		f := newFamily()
		serve(answer{"longpollid": "1"}, f.stranger, f.parent)
		delete(own.template, "coinbasetxn")
		own.template["coinbasevalue"] = 1_000_003
		node, err := New(Config{URL: "http://node", HTTP: &http.Client{Transport: &own.script}})
		if err != nil {
			t.Fatal(err)
		}
		p.run(MinerConfig{Policy: MaxFee, Node: node}, func(*Miner) {
			p.expect("at first", "as given", "chosen: 2", "mining declared 1")
			serve(answer{"longpollid": "2", "curtime": 1700000009}, f.stranger, f.parent)
			time.Sleep(time.Minute)
			p.expect("when the node has nothing new")
			serve(answer{"longpollid": "3"}, f.stranger)
			p.expect("when it has something new", "chosen: 1", "mining declared 2")
			next := answer{"longpollid": "4", "height": 501, "previousblockhash": chainhash.Hash{2}.String()}
			serve(next, f.note)
			p.expect("on a block that the pool does not know")
			p.change(next)
			p.expect("when the pool does", "as given", "the same")
		})
	})
}

// TestChooseApart has the miner's own node on another block than the pool, or away: that is told
// after a while, once, and mining goes on.
func TestChooseApart(t *testing.T) {
	for name, tt := range map[string]struct {
		away bool
		want string
	}{"on another block": {false, "trouble: the miner's own node builds on block "}, "away": {true, "trouble: there is no template of the miner's own node"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, own := newChoosing(t, nil), newChoosing(t, nil)
				own.template["previousblockhash"] = chainhash.Hash{9}.String()
				if tt.away {
					own.fetch = nil
				}
				node, err := New(Config{URL: "http://node", HTTP: &http.Client{Transport: &own.script}})
				if err != nil {
					t.Fatal(err)
				}
				p.run(MinerConfig{Policy: MaxFee, Node: node}, func(m *Miner) {
					time.Sleep(29 * time.Second)
					for _, text := range p.told() {
						if strings.HasPrefix(text, tt.want) {
							t.Errorf("%q is told too soon", text)
						}
					}
					for i := range 3 {
						p.change(answer{"longpollid": fmt.Sprint("later ", i)})
						time.Sleep(halfAnHour / 3)
					}
					told := 0
					for _, text := range p.told() {
						if strings.HasPrefix(text, tt.want) {
							told++
						} else if text != "as given" && !strings.HasPrefix(text, "trouble: the miner's own node: getblocktemplate") {
							t.Errorf("the miner tells of %q", text)
						}
					}
					if told != 1 || m.Stats().Hashes < 10*1800*9/10 {
						t.Errorf("it is told %d times, and %d hashes are made", told, m.Stats().Hashes)
					}
				})
				if p.proposed != 0 {
					t.Errorf("%d proposals are made", p.proposed)
				}
			})
		})
	}
}
