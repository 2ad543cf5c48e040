package fieldclients

import (
	"encoding/hex"
	"slices"
	"strings"
)

// getworkError says that a program goes over to getwork.
type getworkError string

func (e getworkError) Error() string { return string(e) }

// brokenError says why a program cannot mine a template, in its words.
type brokenError string

func (e brokenError) Error() string { return string(e) }

// What cpuminer-multi knows of versions.
const (
	versionMask    = 0xff
	currentVersion = 3
)

// minCoinbase is the shortest coinbasetxn that the two cpuminers take, in bytes.
const minCoinbase = 60

// decode makes work of a template, in the order in which the program looks at it. The error is a
// getworkError or a brokenError.
func (m *CPUMiner) decode(t any) (*work, error) {
	mutable, _ := member(t, "mutable")
	height, err := wantInteger(t, "height")
	if err != nil {
		return nil, err
	}
	version, err := m.version(t, names(mutable))
	if err != nil {
		return nil, err
	}
	previous, err := m.binary(t, "previousblockhash", 32)
	if err != nil {
		return nil, err
	}
	curtime, err := wantInteger(t, "curtime")
	if err != nil {
		return nil, err
	}
	bits, err := m.binary(t, "bits", 4)
	if err != nil {
		return nil, err
	}
	data, err := transactionData(t)
	if err != nil {
		return nil, err
	}
	coinbase, err := m.coinbase(t, slices.Contains(names(mutable), "coinbase/append"))
	if err != nil {
		return nil, err
	}
	hashes, err := m.hashes(t, data)
	if err != nil {
		return nil, err
	}
	root := merkleRoot(append([][32]byte{sha256d(coinbase)}, hashes...))
	w := &work{header: layHeader(uint32(version), previous, root, uint32(curtime), bits), height: height}
	w.txs = hex.EncodeToString(append(compactSize(uint64(1+len(data))), coinbase...))
	if !slices.Contains(names(mutable), "submit/coinbase") {
		w.txs += strings.Join(data, "")
	}
	target, err := m.binary(t, "target", 32)
	if err != nil {
		return nil, err
	}
	copy(w.target[:], target)
	id, there := member(t, "workid")
	if w.workID, _ = text(id); there && w.workID == "" && id != any("") {
		return nil, brokenError("JSON invalid workid")
	}
	return w, nil
}

// version reads the block version.
func (m *CPUMiner) version(t any, mutable []string) (int64, error) {
	version, err := wantInteger(t, "version")
	if err != nil || !m.d.checksVersion || uint32(version)&versionMask <= currentVersion {
		return version, err
	}
	switch {
	case slices.Contains(mutable, "version/reduce"):
		return int64(uint32(version)&^versionMask | currentVersion), nil
	case slices.Contains(mutable, "version/force"):
		return version, nil
	default:
		return 0, getworkError("switching to getwork because of the block version")
	}
}

// wantInteger reads a member that has to be an integer.
func wantInteger(t any, name string) (int64, error) {
	v, _ := member(t, name)
	n, ok := integer(v)
	if !ok {
		return 0, brokenError("JSON invalid " + name)
	}
	return n, nil
}

// binary reads a member that has to be a number of bytes in hexadecimal.
func (m *CPUMiner) binary(t any, name string, size int) ([]byte, error) {
	v, _ := member(t, name)
	raw, ok := unhex(v, size, m.d.laxHex)
	if !ok {
		return nil, brokenError("JSON invalid " + name)
	}
	return raw, nil
}

// transactionData reads the data of all transactions, in hexadecimal.
func transactionData(t any) ([]string, error) {
	v, _ := member(t, "transactions")
	txs, ok := list(v)
	if !ok {
		return nil, brokenError("JSON invalid transactions")
	}
	data := make([]string, len(txs))
	for i, tx := range txs {
		v, _ := member(tx, "data")
		if data[i], ok = text(v); !ok {
			return nil, brokenError("JSON invalid transactions")
		}
	}
	return data, nil
}

// hashes finds the transactions' ids: minerd believes the template if it follows segwit, and
// otherwise both hash what they were sent, with a witness or without.
func (m *CPUMiner) hashes(t any, data []string) ([][32]byte, error) {
	rules, _ := member(t, "rules")
	segwit := m.d.readsRules && (slices.Contains(names(rules), "segwit") || slices.Contains(names(rules), "!segwit"))
	txs, _ := member(t, "transactions")
	out := make([][32]byte, len(data))
	for i, tx := range arrayOf(txs) {
		if segwit {
			v, _ := member(tx, "txid")
			txid, ok := unhex(v, 32, m.d.laxHex)
			if !ok {
				return nil, brokenError("JSON invalid transaction txid")
			}
			copy(out[i][:], reversed(txid))
			continue
		}
		raw, ok := unhexAll(data[i])
		if !ok {
			return nil, brokenError("JSON invalid transactions")
		}
		out[i] = sha256d(raw)
	}
	return out, nil
}

// coinbase reads the coinbase and appends to it what the program has to say. Neither program adds
// a witness commitment to one that the server made.
func (m *CPUMiner) coinbase(t any, mayAppend bool) ([]byte, error) {
	cb, there := member(t, "coinbasetxn")
	if !there {
		return nil, getworkError("no payout address provided, switching to getwork")
	}
	v, _ := member(cb, "data")
	digits, _ := text(v)
	coinbase, ok := unhexAll(digits)
	if !ok || len(coinbase) < minCoinbase {
		return nil, brokenError("JSON invalid coinbasetxn")
	}
	if !mayAppend {
		return coinbase, nil
	}
	length := int(coinbase[scriptSigAt])
	var sig []byte
	if length+len(m.cfg.CoinbaseSig) <= maxScriptSig {
		sig = append(sig, m.cfg.CoinbaseSig...)
	}
	aux, _ := member(t, "coinbaseaux")
	for _, v := range values(aux) {
		digits, isText := text(v)
		flags, ok := unhexAll(digits)
		if !isText || !ok || len(flags) > maxScriptSig {
			break // with a message, and no more harm
		}
		if length+len(sig)+len(flags) <= maxScriptSig {
			sig = append(sig, flags...)
		}
	}
	if len(sig) == 0 {
		return coinbase, nil
	}
	return appendPush(coinbase, sig)
}

// appendPush appends to a scriptSig as the two cpuminers do: with a push before it if that fits.
func appendPush(coinbase, sig []byte) ([]byte, error) {
	const opPushdata1, shortest = 0x4c, 76
	length := int(coinbase[scriptSigAt])
	end := scriptSigAt + 1 + length
	if end > len(coinbase) {
		return nil, brokenError("the byte that the length of the scriptSig is looked for in points beyond the coinbase: the program would crash")
	}
	added := make([]byte, 0, 2+len(sig))
	switch {
	case length+len(sig) < shortest:
		added = append(added, byte(len(sig)))
	case length+2+len(sig) <= maxScriptSig:
		added = append(added, opPushdata1, byte(len(sig)))
	}
	added = append(added, sig...)
	out := slices.Concat(coinbase[:end], added, coinbase[end:])
	out[scriptSigAt] += byte(len(added))
	return out, nil
}
