package fieldclients

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"
)

// given is what a gateway answered a program with.
type given struct {
	t       *testing.T
	program string
	object
	header http.Header
	// again is the next answer to the same request, and polled one to a long poll.
	again, polled object
}

// bytes decodes hexadecimal digits.
func (g *given) bytes(v any) []byte {
	g.t.Helper()
	digits, _ := text(v)
	raw, err := hex.DecodeString(digits)
	must(g.t, err)
	return raw
}

// coinbase returns the data of coinbasetxn, and as btcd reads it.
func (g *given) coinbase() ([]byte, *wire.MsgTx) {
	g.t.Helper()
	data, _ := member(g.object["coinbasetxn"], "data")
	raw := g.bytes(data)
	var tx wire.MsgTx
	must(g.t, tx.DeserializeNoWitness(bytes.NewReader(raw)))
	return raw, &tx
}

// integer returns a member that has to be an integer.
func (g *given) integer(name string) int64 {
	g.t.Helper()
	n, ok := integer(g.object[name])
	if !ok {
		g.t.Errorf("%s is %v", name, g.object[name])
	}
	return n
}

// mutable lists what the program may do.
func (g *given) mutable() []string { return names(g.object["mutable"]) }

// answerLine is one thing that programs in the field need of an answer.
type answerLine struct {
	name  string
	check func(g *given)
}

// answerLines are all of them. The comments say who stumbles.
func answerLines() []answerLine {
	return slices.Concat(keyLines(), coinbaseLines(), transactionLines(), pollLines())
}

func keyLines() []answerLine {
	return []answerLine{
		{"the keys that all need are there, integers as integers", func(g *given) {
			for _, name := range []string{"height", "version", "curtime"} {
				g.integer(name)
			}
			for name, size := range map[string]int{"previousblockhash": 32, "bits": 4, "target": 32} {
				if len(g.bytes(g.object[name])) != size {
					g.t.Errorf("%s is %v", name, g.object[name])
				}
			}
		}},
		// libblkmaker takes versions above 4 only then.
		{"rules and vbavailable are there together", func(g *given) {
			_, isList := list(g.object["rules"])
			_, isObject := g.object["vbavailable"].(object)
			if !isList || !isObject {
				g.t.Errorf("rules %v, vbavailable %v", g.object["rules"], g.object["vbavailable"])
			}
		}},
		// libblkmaker refuses the template.
		{"no rule is forced that the program did not name", func(g *given) {
			known := map[string][]string{minerd: {"segwit"}, bfgminer: {"csv", "segwit"}}[g.program]
			for _, rule := range names(g.object["rules"]) {
				if name, forced := strings.CutPrefix(rule, "!"); forced && !slices.Contains(known, name) {
					g.t.Errorf("rules are %v", g.object["rules"])
				}
			}
		}},
		// Without coinbase/append bfgminer makes one piece of work of a template.
		{"coinbase/append, submit/coinbase and version/force are offered", func(g *given) {
			for _, name := range []string{"coinbase/append", "submit/coinbase", "version/force", "time"} {
				if !slices.Contains(g.mutable(), name) {
					g.t.Errorf("mutable is %v", g.mutable())
				}
			}
		}},
		// libblkmaker and cpuminer-multi would use another version.
		{"version/reduce is not offered", func(g *given) {
			if slices.Contains(g.mutable(), "version/reduce") {
				g.t.Errorf("mutable is %v", g.mutable())
			}
		}},
		// libblkmaker sends a bare header, though its coinbase is another already.
		{"submit/truncate, submit/hash and share/* are not offered", func(g *given) {
			for _, name := range g.mutable() {
				if name == "submit/truncate" || name == "submit/hash" || strings.HasPrefix(name, "share/") {
					g.t.Errorf("mutable is %v", g.mutable())
				}
			}
		}},
		{"expires fits into 16 bits", func(g *given) {
			if n := g.integer("expires"); n <= 0 || n > 32767 {
				g.t.Errorf("expires is %d", n)
			}
		}},
		{"curtime is not below mintime, nor above maxtime", func(g *given) {
			if now := g.integer("curtime"); now < g.integer("mintime") || now > g.integer("maxtime") {
				g.t.Errorf("curtime is %d", now)
			}
		}},
		{"the share target is target", func(g *given) {
			// The share target is easier than the network's here.
			if a, b := g.object["target"], g.object["fulltarget"]; a != b && bytes.Compare(g.bytes(a), g.bytes(b)) < 0 {
				g.t.Errorf("target %v, fulltarget %v", a, b)
			}
		}},
		// minerd uses a pointer that it has freed otherwise.
		{"a workid is always there, in characters that need no escaping", func(g *given) {
			for _, o := range []object{g.object, g.again, g.polled} {
				if id, _ := text(o["workid"]); !safe(id) {
					g.t.Errorf("the workid is %q", id)
				}
			}
		}},
	}
}

// safe reports whether an id can be pasted into JSON.
func safe(id string) bool { return regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(id) }

func coinbaseLines() []answerLine {
	return []answerLine{
		{"coinbasetxn is there, without a witness, with one input, of at least 60 bytes", func(g *given) {
			raw, tx := g.coinbase()
			var again bytes.Buffer
			must(g.t, tx.SerializeNoWitness(&again))
			if len(raw) < minCoinbase || !bytes.Equal(again.Bytes(), raw) || len(tx.TxIn) != 1 ||
				int(raw[scriptSigAt]) != len(tx.TxIn[0].SignatureScript) {
				g.t.Errorf("the coinbase is %x", raw)
			}
		}},
		{"40 bytes of the scriptSig are free", func(g *given) {
			if _, tx := g.coinbase(); len(tx.TxIn[0].SignatureScript) > maxScriptSig-40 {
				g.t.Errorf("the scriptSig is %x", tx.TxIn[0].SignatureScript)
			}
		}},
		// The cpuminers have neither an extranonce nor another time.
		{"no two answers have the same coinbase", func(g *given) {
			seen := make(map[any]bool)
			for _, o := range []object{g.object, g.again, g.polled} {
				data, _ := member(o["coinbasetxn"], "data")
				seen[data] = true
			}
			if len(seen) != 3 {
				g.t.Error("the same coinbase was given out twice")
			}
		}},
		// The cpuminers append it to the coinbase, after the pool's part.
		{"coinbaseaux is empty", func(g *given) {
			if aux, ok := g.object["coinbaseaux"].(object); !ok || len(aux) > 0 {
				g.t.Errorf("coinbaseaux is %v", g.object["coinbaseaux"])
			}
		}},
		// minerd and cpuminer-multi never add it, libblkmaker always does.
		{"the commitment to the witnesses is in coinbasetxn", func(g *given) {
			_, tx := g.coinbase()
			last := tx.TxOut[len(tx.TxOut)-1]
			if want := g.bytes(g.object["default_witness_commitment"]); len(want) == 0 || !bytes.Equal(last.PkScript, want) {
				g.t.Errorf("the last output is %x, want %x", last.PkScript, want)
			}
		}},
	}
}

func transactionLines() []answerLine {
	return []answerLine{
		// libblkmaker takes a hash without a txid for the txid; minerd needs the txid.
		{"txid is on every transaction, and hash is of what is sent", func(g *given) {
			witnesses := 0
			for _, tx := range transactions(g.t, g.object) {
				var msg wire.MsgTx
				must(g.t, msg.Deserialize(bytes.NewReader(g.bytes(tx["data"]))))
				if tx["txid"] != any(msg.TxHash().String()) || tx["hash"] != any(msg.WitnessHash().String()) {
					g.t.Errorf("txid %v, hash %v, want %s and %s", tx["txid"], tx["hash"], msg.TxHash(), msg.WitnessHash())
				}
				if msg.HasWitness() {
					witnesses++
				}
			}
			// cpuminer-multi hashes what it is sent.
			if stripped := g.program == multi; stripped != (witnesses == 0) || len(transactions(g.t, g.object)) == 0 {
				g.t.Errorf("%d transactions with a witness among %d", witnesses, len(transactions(g.t, g.object)))
			}
		}},
		// Above 65535 bfgminer cannot append anything; see TestSigops.
		{"bfgminer can count the sigops, or is not told", func(g *given) {
			if g.program != bfgminer {
				return
			}
			sum, said := int64(0), true
			for _, tx := range transactions(g.t, g.object) {
				n, ok := integer(tx["sigops"])
				said = said && ok
				sum += n
			}
			if said && sum > noSigopLimit-4*80 {
				g.t.Errorf("%d sigops", sum)
			}
		}},
		// libblkmaker takes the data that it is sent for the block's size.
		{"sizelimit is above the data", func(g *given) {
			size := int64(0)
			for _, tx := range transactions(g.t, g.object) {
				size += int64(len(g.bytes(tx["data"])))
			}
			if size+1000 > g.integer("sizelimit") {
				g.t.Errorf("%d bytes, sizelimit %d", size, g.integer("sizelimit"))
			}
		}},
	}
}

func pollLines() []answerLine {
	return []answerLine{
		// The cpuminers paste it into JSON.
		{"longpollid needs no escaping", func(g *given) {
			if id, _ := text(g.object["longpollid"]); !safe(id) {
				g.t.Errorf("longpollid is %q", id)
			}
		}},
		// They append a relative one to their URL.
		{"longpolluri is not there", func(g *given) {
			if uri, there := g.object["longpolluri"]; there {
				g.t.Errorf("longpolluri is %v", uri)
			}
		}},
		// The cpuminers drop shares if it is absent from the answer to a long poll, and look nowhere else.
		{"submitold is in answers to long polls alone", func(g *given) {
			_, plain := g.object["submitold"]
			if v, ok := g.polled["submitold"].(bool); plain || !ok || v {
				g.t.Errorf("submitold is %v, and %v after a new block", g.object["submitold"], g.polled["submitold"])
			}
		}},
		// It moves all three to Stratum.
		{"no header X-Stratum, nor any other that programs heed", func(g *given) {
			for name := range g.header {
				if strings.HasPrefix(name, "X-") {
					g.t.Errorf("the header %s: %s", name, g.header.Get(name))
				}
			}
		}},
	}
}

// TestAnswers looks at each line of what is known of the programs that concerns an answer to
// getblocktemplate, for each program and its own request.
func TestAnswers(t *testing.T) {
	g := newGateway(t)
	for _, name := range allPrograms() {
		a := &given{program: name}
		a.object, a.header = g.ask(name, "")
		a.again, _ = g.ask(name, "")
		_, err := g.node.Generate(t.Context(), 1, g.traffic.Script())
		must(t, err)
		id, _ := text(a.object["longpollid"])
		a.polled, _ = g.ask(name, id)
		g.fill(25)
		await(t, "the next template", func() bool {
			next, _ := g.ask(name, "")
			return len(arrayOf(next["transactions"])) > 20
		})
		for _, line := range answerLines() {
			t.Run(name+": "+line.name, func(t *testing.T) {
				a.t = t
				line.check(a)
			})
		}
	}
}

// TestSameTransactions: cpuminer-multi mines what the others mine, witnesses apart.
func TestSameTransactions(t *testing.T) {
	g := newGateway(t)
	ids := make(map[string][]string)
	for _, name := range allPrograms() {
		a, _ := g.ask(name, "")
		for _, tx := range transactions(t, a) {
			ids[name] = append(ids[name], fmt.Sprint(tx["txid"]))
		}
	}
	if diff := cmp.Diff(ids[minerd], ids[multi]) + cmp.Diff(ids[minerd], ids[bfgminer]); diff != "" {
		t.Error(diff)
	}
}
