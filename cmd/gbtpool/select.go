package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt/client"
)

// selectPolicy returns the policy that --select names; nil mines the pool's templates as they are
// given.
func selectPolicy(name string, node bool) (client.Policy, error) {
	if name == "" && node {
		name = "max-fee"
	}
	switch name {
	case "", "pool":
		if node {
			return nil, errors.New("--node is of no use with --select pool: the pool's transactions are mined as they are given")
		}
		return nil, nil
	case "empty":
		return client.Empty, nil
	case "no-op-return":
		return client.NoOpReturn, nil
	case "max-fee":
		if !node {
			return nil, errors.New("--select max-fee takes the transactions from your own node: add --node URL")
		}
		return client.MaxFee, nil
	}
	path, err := lookProgram(name)
	if err != nil {
		return nil, fmt.Errorf("--select %s is none of pool, empty, no-op-return and max-fee, nor a program: %w", name, err)
	}
	return path.choose, nil
}

// listed returns the transactions that a list names: one txid a line, in block order.
func listed(list string, o client.Offer) ([]client.Transaction, error) {
	known := make(map[chainhash.Hash]client.Transaction)
	for _, t := range []*client.Template{o.Pool, o.Source()} {
		for _, tx := range t.Transactions {
			known[tx.TxID] = tx
		}
	}
	var out []client.Transaction
	for i, line := range strings.Split(list, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		id, err := chainhash.NewHashFromStr(line)
		if raw, bad := hex.DecodeString(line); err != nil || bad != nil || len(raw) != chainhash.HashSize {
			return nil, fmt.Errorf("line %d is %.80q, which is no txid of 64 hexadecimal digits", i+1, line)
		}
		tx, there := known[*id]
		if !there {
			return nil, fmt.Errorf("line %d: transaction %s is not in the template", i+1, id)
		}
		out = append(out, tx)
	}
	return out, nil
}

// describe says which transactions a template has and how they differ from the pool's.
func describe(t *client.Template) string {
	text := count(len(t.Transactions), "transaction")
	if fees, known := t.Fees(); known {
		text += ", fees " + bitcoin(fees)
	}
	d := t.Difference()
	if d == (client.Difference{}) {
		return text
	}
	if d.Added > 0 {
		text += fmt.Sprintf(", %d that the pool has not", d.Added)
	}
	if d.Dropped > 0 {
		text += fmt.Sprintf(", without %d of the pool's", d.Dropped)
	}
	switch {
	case d.Value > 0:
		text += ", pays " + bitcoin(d.Value) + " more"
	case d.Value < 0:
		text += ", pays " + bitcoin(-d.Value) + " less"
	}
	return text
}

// choose is the client.Policy of a program. Of a node's template it cannot tell what the pool
// requires: that is put before what it chooses.
func (p program) choose(ctx context.Context, o client.Offer) ([]client.Transaction, error) {
	list, err := p.run(ctx, o.Source().JSON)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	txs, err := listed(list, o)
	if err != nil {
		return nil, fmt.Errorf("%s: its output is no choice: %w", p, err)
	}
	if o.Node == nil {
		return txs, nil
	}
	out, err := o.Required()
	required := make(map[chainhash.Hash]bool, len(out))
	for _, tx := range out {
		required[tx.TxID] = true
	}
	for _, tx := range txs {
		if !required[tx.TxID] {
			out = append(out, tx)
		}
	}
	return out, err
}
