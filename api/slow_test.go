package api

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	btcwire "github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// bulky makes a template larger than twice writeSize.
func bulky(t *testing.T) func(template map[string]any) {
	t.Helper()
	tx := btcwire.NewMsgTx(2)
	tx.AddTxIn(btcwire.NewTxIn(&btcwire.OutPoint{Hash: chainhash.Hash{9}}, []byte{0x51}, nil))
	tx.AddTxOut(btcwire.NewTxOut(0, bytes.Repeat([]byte{0x61}, writeSize+1000)))
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	id := tx.TxHash().String()
	return func(template map[string]any) {
		txs, ok := template["transactions"].([]any)
		if !ok {
			t.Fatal("the template has no transactions")
		}
		txs = append(slices.Clone(txs), map[string]any{
			"data": hex.EncodeToString(raw.Bytes()), "txid": id, "hash": id, "depends": []any{}, "fee": 0, "sigops": 0, "weight": 4 * raw.Len(),
		})
		var hashes []chainhash.Hash
		for _, tx := range txs {
			fields, ok := tx.(map[string]any)
			if !ok {
				t.Fatalf("%v is no transaction", tx)
			}
			hash, err := chainhash.NewHashFromStr(fmt.Sprint(fields["hash"]))
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, *hash)
		}
		template["transactions"], template["default_witness_commitment"] = txs, hex.EncodeToString(gbt.WitnessCommitment(hashes))
	}
}

// TestPollersDoNotWaitForOneAnother: those who do not read their answers, nor a part of them, hold up nobody, and are cut.
func TestPollersDoNotWaitForOneAnother(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		var slow []net.Conn
		for range 50 {
			c := p.dial()
			send(t, c, post(poll(p.pollID())))
			slow = append(slow, c)
		}
		c := p.dial()
		h := listen(c)
		send(t, c, post(poll(p.pollID())))
		synctest.Wait() // until all wait
		start := time.Now()
		p.publish(2, bulky(t))
		for i, c := range slow[:25] {
			if _, err := io.ReadFull(c, make([]byte, 1+i*100)); err != nil {
				t.Fatal(err)
			}
		}
		if got := h.answered(t); len(got.body) < 2*writeSize {
			t.Errorf("got %d bytes", len(got.body))
		}
		synctest.Wait()
		if waited := time.Since(start); waited > time.Second { // of which publish may take some
			t.Errorf("it waited for %s", waited)
		}
		time.Sleep(p.cfg.Limits.Write + time.Second)
		for _, c := range slow {
			if rest, err := io.ReadAll(c); err != nil || strings.HasSuffix(string(rest), "}\n") {
				t.Errorf("who does not read got all, %v", err)
			}
		}
	})
}

// TestSteadyReader: who reads a quarter of a megabyte within the time for it gets all, however long all takes. Two
// reads may fall into that time.
func TestSteadyReader(t *testing.T) {
	for _, part := range []int{writeSize + 100, writeSize/2 - 100} {
		inBubble(t, func(p *pool) {
			t := p.t
			c := p.dial()
			send(t, c, post(poll(p.pollID())))
			synctest.Wait()
			p.publish(2, bulky(t))
			var got []byte
			for {
				b := make([]byte, part)
				n, err := io.ReadFull(c, b)
				if got = append(got, b[:n]...); err != nil {
					if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Error(err)
					}
					break
				}
				if bytes.HasSuffix(got, []byte("}\n")) {
					break
				}
				time.Sleep(p.cfg.Limits.Write - time.Millisecond)
				if len(got) >= 2*writeSize { // what is left is less than a part
					break
				}
			}
			if whole := len(got) >= 2*writeSize; whole != (part > writeSize) {
				t.Errorf("who reads %d bytes at a time got %d", part, len(got))
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
