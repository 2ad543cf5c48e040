package fieldclients

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"time"
)

// What libblkmaker 0.6.0 can do.
const (
	maxPreRulesVersion = 4
	// noSigopLimit is what its limit is until a template names another.
	noSigopLimit = math.MaxUint16
	// unknownCount marks what a template did not say, or said so that it does not fit.
	unknownCount = -1
)

// mutation is a set of what a template allows, as libblkmaker knows it.
type mutation int

const (
	mayAppend mutation = 1 << iota
	mayReplaceCoinbase
	mayForceVersion
	mayReduceVersion
	omitsTransactions
	omitsCoinbase
)

// mutations are the names, which are read without regard to case.
func mutations(list []string) mutation {
	known := map[string]mutation{
		"coinbase/append": mayAppend, "coinbase": mayReplaceCoinbase,
		"version/force": mayForceVersion, "version/reduce": mayReduceVersion,
		"version":         mayForceVersion | mayReduceVersion,
		"submit/coinbase": omitsTransactions, "submit/truncate": omitsCoinbase,
	}
	var m mutation
	for _, name := range list {
		m |= known[strings.ToLower(name)]
	}
	return m
}

func (m mutation) has(one mutation) bool { return m&one != 0 }

// blkTx is a transaction of a template.
type blkTx struct {
	data []byte
	// hash is the wtxid, or of the data where there is none; id is the txid, or the hash.
	hash, id [32]byte
	// witness is set if the template names both, and they differ.
	witness bool
	sigops  int64
}

// blkTemplate is a template as libblkmaker reads it.
type blkTemplate struct {
	version            uint32
	bits, previous     []byte
	height             int64
	curtime, maxtime   int64
	expires            int64
	sigops, sigoplimit int64 // sum over the transactions, and limit
	size, sizelimit    int64
	may                mutation
	bip141             bool
	workID             string
	submitOld          bool
	pollID, pollURI    string
	txs                []blkTx
	coinbase           []byte
	coinbaseSigops     int64
	received           time.Time
	// target is the share target, which libblkmaker leaves to the program.
	target []byte
	// next numbers the pieces of work.
	next uint32
}

// readBlkTemplate reads a template, in libblkmaker's order. The error is a brokenError in its words.
func readBlkTemplate(v any, now time.Time) (*blkTemplate, error) {
	t := &blkTemplate{
		received: now, maxtime: math.MaxUint32, expires: math.MaxInt16, sigoplimit: noSigopLimit, sizelimit: math.MaxInt64, submitOld: true,
	}
	var err error
	if t.bits, err = blkBinary(v, "bits", 4); err != nil {
		return nil, err
	}
	if t.curtime, err = blkNumber(v, "curtime", math.MaxUint32); err != nil {
		return nil, err
	}
	if t.height, err = blkNumber(v, "height", math.MaxUint32); err != nil {
		return nil, err
	}
	if t.previous, err = blkBinary(v, "previousblockhash", 32); err != nil {
		return nil, err
	}
	optional(v, "sigoplimit", math.MaxUint16, &t.sigoplimit)
	optional(v, "sizelimit", math.MaxInt64, &t.sizelimit)
	version, err := blkNumber(v, "version", math.MaxUint32)
	if err != nil {
		return nil, err
	}
	t.version = uint32(version)
	list, _ := member(v, "mutable")
	t.may = mutations(names(list))
	if err := t.readRules(v); err != nil {
		return nil, err
	}
	optional(v, "expires", math.MaxInt16, &t.expires)
	optional(v, "maxtime", math.MaxUint32, &t.maxtime)
	t.workID = optionalText(v, "workid")
	t.pollID, t.pollURI = optionalText(v, "longpollid"), optionalText(v, "longpolluri")
	if old, _ := member(v, "submitold"); old == any(false) {
		t.submitOld = false
	}
	return t, t.readTransactions(v)
}

// blkBinary reads what has to be there, in hexadecimal.
func blkBinary(v any, name string, size int) ([]byte, error) {
	m, there := member(v, name)
	if !there {
		return nil, brokenError("Missing '" + name + "'")
	}
	raw, ok := unhex(m, size, false)
	if !ok {
		return nil, brokenError("Error decoding '" + name + "'")
	}
	return raw, nil
}

// blkNumber reads what has to be there, an integer from 0 to most, however it is written.
func blkNumber(v any, name string, most int64) (int64, error) {
	m, there := member(v, name)
	if !there {
		return 0, brokenError("Missing '" + name + "'")
	}
	f, ok := number(m)
	if !ok {
		return 0, brokenError("Wrong type for '" + name + "'")
	}
	if f < 0 || f > float64(most) || f != math.Trunc(f) {
		return 0, brokenError("Invalid number value for '" + name + "'")
	}
	return int64(f), nil
}

// optional reads a number that may be left out. One that does not fit into its C type is as if it
// were not there: sigoplimit is an unsigned short, expires a short.
func optional(v any, name string, most int64, to *int64) {
	m, _ := member(v, name)
	if f, ok := number(m); ok && f >= 0 && f <= float64(most) && f == math.Trunc(f) {
		*to = int64(f)
	}
}

func optionalText(v any, name string) string {
	m, _ := member(v, name)
	s, _ := text(m)
	return s
}

// readRules looks at version, rules and vbavailable. A version above 4 needs the two, together, or
// leave to use it all the same.
func (t *blkTemplate) readRules(v any) error {
	available, _ := member(v, "vbavailable")
	bits, isObject := available.(object)
	named, _ := member(v, "rules")
	rules, isList := list(named)
	if t.version&0xe0000000 != 0x20000000 || !isObject || !isList {
		switch {
		case t.version <= maxPreRulesVersion && (t.version < 2 || t.height != 0):
		case t.may.has(mayReduceVersion):
			t.version = maxPreRulesVersion
		case !t.may.has(mayForceVersion):
			return brokenError("Unrecognized block version, and not allowed to reduce or force it")
		}
		return nil
	}
	for _, item := range rules {
		rule, ok := text(item)
		if !ok {
			return brokenError("Non-String data in template rules list")
		}
		name, forced := strings.CutPrefix(rule, "!")
		if forced && name != "segwit" && name != "csv" {
			return brokenError("Unsupported rule strictly required by template")
		}
		t.bip141 = t.bip141 || name == "segwit"
	}
	for _, bit := range bits {
		if f, ok := number(bit); !ok || f < 0 || f > 28 || f != math.Trunc(f) {
			return brokenError("Invalid bit number in vbavailable")
		}
	}
	return nil
}

// readTransactions reads the transactions and the coinbase.
func (t *blkTemplate) readTransactions(v any) error {
	txs, _ := member(v, "transactions")
	for _, item := range arrayOf(txs) {
		tx, err := readBlkTx(item)
		if err != nil {
			return err
		}
		t.txs = append(t.txs, tx)
		t.size += int64(len(tx.data))
		switch {
		case t.sigops == unknownCount:
		case tx.sigops == unknownCount:
			t.sigops = unknownCount
		default:
			t.sigops += tx.sigops
		}
	}
	cb, _ := member(v, "coinbasetxn")
	if _, ok := cb.(object); !ok {
		return brokenError("Missing either coinbasetxn or coinbasevalue") // or the latter without an address to pay
	}
	tx, err := readBlkTx(cb)
	if err != nil {
		return err
	}
	if len(tx.data) <= scriptSigAt || len(tx.data) <= scriptSigAt+int(tx.data[scriptSigAt]) {
		return brokenError("the length of the scriptSig points beyond the coinbase")
	}
	t.coinbase, t.coinbaseSigops = tx.data, tx.sigops
	return nil
}

// readBlkTx reads an element of transactions, or coinbasetxn.
func readBlkTx(v any) (blkTx, error) {
	digits, ok := member(v, "data")
	s, isText := text(digits)
	if !ok || !isText {
		return blkTx{}, brokenError("Missing or invalid type for transaction data")
	}
	tx := blkTx{sigops: unknownCount}
	if tx.data, ok = unhexAll(s); !ok || len(s)%2 == 1 {
		return blkTx{}, brokenError("Error decoding transaction data")
	}
	tx.hash = sha256d(tx.data)
	named, _ := member(v, "hash")
	if raw, ok := unhex(named, 32, false); ok {
		copy(tx.hash[:], reversed(raw))
	}
	tx.id = tx.hash
	if id, _ := member(v, "txid"); id != nil {
		raw, ok := unhex(id, 32, false)
		if !ok {
			return blkTx{}, brokenError("Error decoding txid field")
		}
		copy(tx.id[:], reversed(raw))
		tx.witness = tx.id != tx.hash
	}
	optional(v, "sigops", math.MaxInt16, &tx.sigops)
	return tx, nil
}

// timeLeft reports whether work may still be made.
func (t *blkTemplate) timeLeft(now time.Time) bool {
	return now.Unix()-t.received.Unix() < t.expires
}

// workLeft reports whether there is more than one piece of work in the template, or none was made.
func (t *blkTemplate) workLeft() bool {
	return t.next == 0 || t.may.has(mayAppend|mayReplaceCoinbase)
}

// room is how much may be appended beside an extranonce, or a negative number.
func (t *blkTemplate) room(extranonce int) int {
	if !t.may.has(mayAppend | mayReplaceCoinbase) {
		return -1
	}
	if extranonce == 4 {
		extranonce++ // so that the two ways of making work never meet
	}
	length := int(t.coinbase[scriptSigAt])
	if extranonce+length > maxScriptSig {
		return -5
	}
	return int(min(int64(maxScriptSig-extranonce-length), t.sizelimit-t.blockSize()))
}

// blockSize is what libblkmaker takes for the block's size: the data that it was sent.
func (t *blkTemplate) blockSize() int64 {
	return int64(headerSize+len(compactSize(uint64(1+len(t.txs))))+len(t.coinbase)) + t.size
}

// appended returns the coinbase with something at the scriptSig's end, with no push before it.
func (t *blkTemplate) appended(add []byte) ([]byte, error) {
	length := int(t.coinbase[scriptSigAt])
	switch {
	case length+len(add) > maxScriptSig:
		return nil, brokenError("the scriptSig has no room for what is to be appended")
	case t.blockSize()+int64(len(add)) > t.sizelimit:
		return nil, brokenError("sizelimit leaves no room for what is to be appended")
	}
	end := scriptSigAt + 1 + length
	out := slices.Concat(t.coinbase[:end], add, t.coinbase[end:])
	out[scriptSigAt] += byte(len(add))
	if t.sigops >= 0 && t.sigops+t.sigopsOf(out) > t.sigoplimit {
		return nil, brokenError("sigoplimit leaves no room for what is to be appended")
	}
	return out, nil
}

// sigopsOf counts what a coinbase has, given what the template said of the one that it came with.
func (t *blkTemplate) sigopsOf(coinbase []byte) int64 {
	count := func(cb []byte) int64 {
		n := countSigops(cb[scriptSigAt+1:][:cb[scriptSigAt]])
		if t.bip141 {
			n *= 4
		}
		return n
	}
	return t.coinbaseSigops + count(coinbase) - count(t.coinbase)
}

// countSigops counts signature checks in a script, without regard to how many keys there are.
func countSigops(script []byte) (n int64) {
	for i := 0; i < len(script); i++ {
		switch op := int(script[i]); {
		case op < 0x4c:
			i += op
		case op == 0x4c && i+1 < len(script):
			i += 1 + int(script[i+1])
		case op == 0x4d && i+2 < len(script):
			i += 2 + int(binary.LittleEndian.Uint16(script[i+1:]))
		case op == 0x4e && i+4 < len(script):
			i += 4 + int(binary.LittleEndian.Uint32(script[i+1:]))
		case op == 0xac || op == 0xad:
			n++
		case op == 0xae || op == 0xaf:
			n += 20
		}
	}
	return n
}

// sign appends text for good, such as the program's name.
func (t *blkTemplate) sign(text []byte) error {
	out, err := t.appended(text)
	if err != nil {
		return err
	}
	t.coinbaseSigops = t.sigopsOf(out)
	t.coinbase = out
	return nil
}

// make makes a piece of work with an extranonce, or none for the first.
func (t *blkTemplate) make(extranonce []byte, now time.Time) (*work, error) {
	coinbase := t.coinbase
	if len(extranonce) > 0 {
		var err error
		if coinbase, err = t.appended(extranonce); err != nil {
			return nil, err
		}
	}
	coinbase, err := t.commit(coinbase)
	if err != nil {
		return nil, err
	}
	hashes := make([][32]byte, 1, 1+len(t.txs))
	hashes[0] = sha256d(coinbase)
	for i := range t.txs {
		hashes = append(hashes, t.txs[i].id)
	}
	header := min(t.curtime+now.Unix()-t.received.Unix(), t.maxtime)
	return &work{
		header: layHeader(t.version, t.previous, merkleRoot(hashes), uint32(header), t.bits),
		txs:    t.submission(coinbase, len(extranonce) > 0), workID: t.workID, height: t.height,
	}, nil
}

// commit appends a witness commitment as the last output if any transaction has a witness, whether
// or not there is one already.
func (t *blkTemplate) commit(coinbase []byte) ([]byte, error) {
	if !slices.ContainsFunc(t.txs, func(tx blkTx) bool { return tx.witness }) {
		return coinbase, nil
	}
	hashes := make([][32]byte, 1, 1+len(t.txs)) // the coinbase's is zero
	for i := range t.txs {
		hashes = append(hashes, t.txs[i].hash)
	}
	root := merkleRoot(hashes)
	commitment := sha256d(append(root[:], make([]byte, 32)...))
	output := append(make([]byte, 8), 38, 0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed)
	output = append(output, commitment[:]...)

	at := scriptSigAt + 1 + int(coinbase[scriptSigAt]) + 4
	if at >= len(coinbase)-4 || coinbase[at] >= 0xfc {
		return nil, brokenError("the outputs of the coinbase are not where they should be")
	}
	body := len(coinbase) - 4
	return slices.Concat(coinbase[:at], []byte{coinbase[at] + 1}, coinbase[at+1:body], output, coinbase[body:]), nil
}

// submission returns what follows the header of a share.
func (t *blkTemplate) submission(coinbase []byte, counted bool) string {
	if t.may.has(omitsCoinbase) && !counted {
		return ""
	}
	raw := append(compactSize(uint64(1+len(t.txs))), coinbase...)
	if !t.may.has(omitsTransactions) {
		for i := range t.txs {
			raw = append(raw, t.txs[i].data...)
		}
	}
	return hex.EncodeToString(raw)
}
