package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
)

const (
	headerSize  = 80
	nonceOffset = 76
)

// form is how much of a block a share has.
type form int

const (
	// short ends with the coinbase (BIP 23, submit/coinbase).
	short form = iota
	// merkled ends with the coinbase's merkle branch (BIP 23, share/merkle).
	merkled
	// whole has all transactions.
	whole
)

// miner makes shares. They differ in their nonce alone, so a request is one text with eight other digits.
type miner struct {
	request []byte
	nonceAt int // of its digits in the request
	header  [headerSize]byte
	target  gbt.Target
	network gbt.Target
	solves  bool // its shares are to be blocks, else none is
	nonce   uint32
	ready   []uint32
}

// minerOf makes a miner of work.
func minerOf(work *client.Template, user string, f form) (*miner, error) {
	a, err := client.NewAssembler(work, client.Options{})
	if err != nil {
		return nil, err
	}
	block, err := a.Block(0, time.Now())
	if err != nil {
		return nil, err
	}
	serialize := map[form]func() ([]byte, error){short: block.Abbreviated, merkled: block.Merkled, whole: block.Serialize}[f]
	raw, err := serialize()
	if err != nil {
		return nil, err
	}
	m := &miner{header: [headerSize]byte(raw), target: work.Target, network: work.NetworkTarget}
	body := fmt.Appendf(nil, `{"id":1,"method":"submitblock","params":["%s",{"workid":"%s"}]}`, hex.EncodeToString(raw), work.WorkID)
	m.request = render(loginOf(user), "", body)
	m.nonceAt = bytes.Index(m.request, []byte(`["`)) + len(`["`) + 2*nonceOffset
	return m, nil
}

// clone returns a miner of the same work with a part of the nonces, one of as many as fit into a byte.
func (m *miner) clone(part byte) *miner {
	out := *m
	out.request, out.ready, out.nonce = bytes.Clone(m.request), nil, uint32(part)<<24
	return &out
}

// mine gets shares ready to be sent.
func (m *miner) mine(count int) {
	for len(m.ready) < count {
		m.ready = append(m.ready, m.find())
	}
}

// find returns the next nonce that makes a share.
func (m *miner) find() uint32 {
	for {
		m.nonce++
		binary.LittleEndian.PutUint32(m.header[nonceOffset:], m.nonce)
		once := sha256.Sum256(m.header[:])
		hash := chainhash.Hash(sha256.Sum256(once[:]))
		if m.target.MetBy(hash) && m.network.MetBy(hash) == m.solves {
			return m.nonce
		}
	}
}

// next returns the request of the next share that is ready, or nil. It is good until the next call.
func (m *miner) next() []byte {
	if len(m.ready) == 0 {
		return nil
	}
	var nonce [4]byte
	binary.LittleEndian.PutUint32(nonce[:], m.ready[0])
	m.ready = m.ready[1:]
	hex.Encode(m.request[m.nonceAt:], nonce[:])
	return m.request
}

// checkAccepted looks whether a share was taken.
func checkAccepted(a *answer) error {
	if a.status != http.StatusOK || !bytes.Contains(a.head(), []byte(`"result":null`)) {
		return errors.New("the share was not taken")
	}
	return nil
}

// newMiners makes as many miners, each with an account and work of its own, from the gateways in turn.
func newMiners(ctx context.Context, addrs []string, count int, f form) ([]*miner, error) {
	out := make([]*miner, count)
	known := make(map[string]*client.Template) // by long poll id
	for i := range out {
		user, err := account(i)
		if err != nil {
			return nil, err
		}
		got, err := capture(ctx, addrs[i%len(addrs)], loginOf(user), "identity", askTemplate(""))
		if err != nil {
			return nil, err
		}
		work, err := readWork(got.body, known)
		if err != nil {
			return nil, err
		}
		if out[i], err = minerOf(work, user, f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readWork reads an answer to getblocktemplate. Of a template that is known only what differs from miner to miner is read:
// the rest takes long.
func readWork(body []byte, known map[string]*client.Template) (*client.Template, error) {
	id, err := textOf(body, "longpollid")
	if err != nil {
		return nil, err
	}
	before, ok := known[id]
	if !ok {
		var answer struct{ Result json.RawMessage }
		if err := json.Unmarshal(body, &answer); err != nil {
			return nil, err
		}
		work, err := client.ParseTemplate(answer.Result)
		if err != nil {
			return nil, err
		}
		work.Received = time.Now()
		known[id] = work
		return work, nil
	}
	work := *before
	_, coinbase, _ := bytes.Cut(body, []byte(`"coinbasetxn":`))
	data, err := textOf(coinbase, "data")
	if err != nil {
		return nil, err
	}
	if work.CoinbaseTxn, err = hex.DecodeString(data); err != nil {
		return nil, err
	}
	work.WorkID, err = textOf(body, "workid")
	return &work, err
}

// textOf returns the first string of a name in an answer, whose strings have no escapes.
func textOf(body []byte, name string) (string, error) {
	_, rest, ok := bytes.Cut(body, []byte(`"`+name+`":"`))
	value, _, ended := bytes.Cut(rest, []byte(`"`))
	if !ok || !ended {
		return "", fmt.Errorf("the template has no %s", name)
	}
	return string(value), nil
}
