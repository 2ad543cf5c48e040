package fieldclients

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// TestBlocks: what each program makes of an answer that suits it is a block that btcd's checks
// accept, witnesses included.
func TestBlocks(t *testing.T) {
	for _, tt := range []struct {
		name, program string
		answer        object
		// commitments is how many the coinbase has in the end.
		commitments int
	}{
		{"minerd, commitment included", minerd, answer(t), 1},
		{"minerd, transactions sent in full", minerd, answer(t, set("mutable", []any{})), 1},
		{"minerd, stripped", minerd, answer(t, stripped(t)), 1},
		{"minerd, witness-free", minerd, answer(t, witnessFree), 0},
		{"cpuminer-multi, stripped", multi, answer(t, stripped(t)), 1},
		{"cpuminer-multi, witness-free", multi, answer(t, witnessFree), 0},
		{"bfgminer, commitment included", bfgminer, answer(t), 2},
		{"bfgminer, commitment left to it", bfgminer, answer(t, pure), 1},
		{"bfgminer, stripped", bfgminer, answer(t, stripped(t)), 1},
		{"bfgminer, transactions sent in full", bfgminer, answer(t, set("mutable", []any{"coinbase/append"})), 2},
		{"bfgminer, witness-free", bfgminer, answer(t, witnessFree), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full := nodeTemplate(t)
			if strings.HasSuffix(tt.name, "witness-free") {
				full["transactions"] = []any{}
			}
			_, shares, err := mine(t, tt.program, tt.answer, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range shares {
				b, err := block(t, s, full)
				if err != nil {
					t.Fatalf("%v: %s", err, s.Body)
				}
				if got := len(b.Transactions[0].TxOut) - 1; got != tt.commitments {
					t.Errorf("%d outputs beside the pool's, want %d", got, tt.commitments)
				}
				if s.Verdict != Accepted || s.Height != 102 {
					t.Errorf("the share is %+v", s)
				}
			}
		})
	}
}

// TestBadBlocks: what goes wrong with these programs elsewhere goes wrong here too.
func TestBadBlocks(t *testing.T) {
	witness := func(a object) { // BIP 144 serialisation of the coinbase, as btcd sends it
		data, _ := member(a["coinbasetxn"], "data")
		digits, _ := text(data)
		tail := digits[len(digits)-8:]
		a["coinbasetxn"] = object{"data": digits[:8] + "0001" + digits[8:len(digits)-8] + "0120" + strings.Repeat("00", 32) + tail}
	}
	for _, tt := range []struct {
		name, program string
		answer        object
		fault         string
	}{
		{"minerd adds no commitment to coinbasetxn", minerd, answer(t, pure), "commitment"},
		{"minerd hashes data without the segwit rule", minerd, answer(t, set("rules", []any{"csv"})), "bad-txnmrklroot"},
		{"cpuminer-multi hashes the witnesses", multi, answer(t), "bad-txnmrklroot"},
		{"a coinbase with its witness", minerd, answer(t, witness), "bad-txnmrklroot"},
		{"a coinbase with its witness", multi, answer(t, witness, stripped(t)), "bad-txnmrklroot"},
		{"bfgminer without txid takes the wtxid", bfgminer, answer(t, func(a object) {
			for _, tx := range transactions(t, a) {
				delete(tx, "txid")
			}
		}), "bad-txnmrklroot"},
		{"bfgminer sends a bare header for submit/truncate", bfgminer,
			answer(t, set("mutable", []any{"coinbase/append", "submit/truncate"})), "EOF"},
	} {
		t.Run(tt.program+": "+tt.name, func(t *testing.T) {
			_, shares, err := mine(t, tt.program, tt.answer, 1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := block(t, shares[0], nodeTemplate(t)); err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("the block has the fault %v, want %s", err, tt.fault)
			}
		})
	}
}

// TestBroken: templates that the programs cannot mine, with what they say.
func TestBroken(t *testing.T) {
	cpuminers := []string{minerd, multi}
	all := []string{minerd, multi, bfgminer}
	for _, tt := range []struct {
		name     string
		programs []string
		edit     func(object)
		says     string
	}{
		{"no height", all, set("height", nil), "height"},
		{"height is a string", all, set("height", "102"), "height"},
		{"no version", all, set("version", nil), "version"},
		{"no previousblockhash", all, set("previousblockhash", nil), "previousblockhash"},
		{"a short previousblockhash", all, set("previousblockhash", "00"), "previousblockhash"},
		{"no curtime", all, set("curtime", nil), "curtime"},
		{"no bits", all, set("bits", nil), "bits"},
		{"no target", all, set("target", nil), "target"},
		{"no transactions", cpuminers, set("transactions", nil), "transactions"},
		{"no data", all, set("transactions", []any{object{"txid": strings.Repeat("00", 32)}}), "transaction"},
		{"no txid", []string{minerd}, set("transactions", []any{object{"data": "00"}}), "txid"},
		{"a short coinbase", cpuminers, set("coinbasetxn", object{"data": strings.Repeat("00", 59)}), "coinbasetxn"},
		{"coinbasevalue alone", []string{bfgminer}, set("coinbasetxn", nil), "coinbasetxn"},
		{"workid is a number", cpuminers, set("workid", 7), "workid"},
		{"a forced rule that it does not know", []string{bfgminer}, set("rules", []any{"!segwit", "!taproot"}), "rule strictly required"},
		{"no rules and no version/force", []string{bfgminer}, func(a object) { delete(a, "rules"); a["mutable"] = []any{} }, "block version"},
		{"no vbavailable and no version/force", []string{bfgminer}, func(a object) { delete(a, "vbavailable"); a["mutable"] = []any{} }, "block version"},
	} {
		for _, name := range tt.programs {
			t.Run(name+": "+tt.name, func(t *testing.T) {
				p, _, err := mine(t, name, answer(t, tt.edit), 0)
				if !errors.Is(err, ErrBroken) || !strings.Contains(p.State().Broken, tt.says) || p.State().Protocol != GBT {
					t.Errorf("%v, %+v", err, p.State())
				}
			})
		}
	}
}

// TestTaken: oddities that the programs put up with.
func TestTaken(t *testing.T) {
	for _, tt := range []struct {
		name, program string
		edit          func(object)
	}{
		{"a rule that it does not know", bfgminer, set("rules", []any{"!segwit", "taproot"})},
		{"no rules but version/force", bfgminer, set("rules", nil)},
		{"mutations in another case", bfgminer, set("mutable", []any{"Coinbase/Append", "SUBMIT/COINBASE"})},
		{"an expires that does not fit", bfgminer, set("expires", 32768)},
		{"a sigoplimit that does not fit", bfgminer, set("sigoplimit", 80000)},
		{"digits after bits", multi, func(a object) { stripped(t)(a); a["bits"] = "207fffff00" }},
		{"no workid", minerd, set("workid", nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, shares, err := mine(t, tt.program, answer(t, tt.edit), 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range shares {
				if _, err := block(t, s, nodeTemplate(t)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestVersions: cpuminer-multi knows versions up to 3 in the lowest byte.
func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		version int
		mutable []any
		header  string // the version in the header; empty for getwork
	}{
		{0x20000000, []any{}, "00000020"},
		{0x20000003, []any{}, "03000020"},
		{0x20000004, []any{}, ""},
		{0x20000004, []any{"version/force"}, "04000020"},
		{0x20000004, []any{"version/force", "version/reduce"}, "03000020"},
	} {
		p, shares, err := mine(t, multi, answer(t, stripped(t), set("version", tt.version), set("mutable", tt.mutable)), 1)
		if tt.header == "" {
			if err == nil || p.State().Protocol != Getwork {
				t.Errorf("version %x with %v: %v, %+v", tt.version, tt.mutable, err, p.State())
			}
			continue
		}
		if err != nil || !strings.Contains(shares[0].Body, `["`+tt.header) {
			t.Errorf("version %x with %v: %v, %+v", tt.version, tt.mutable, err, shares)
		}
	}
}

// scriptSig returns a coinbase's.
func scriptSig(t *testing.T, s Share, template object) string {
	t.Helper()
	b, err := block(t, s, template)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b.Transactions[0].TxIn[0].SignatureScript)
}

// TestAppended: what the programs append to the scriptSig.
func TestAppended(t *testing.T) {
	pool := hex.EncodeToString(handCoinbase("")[scriptSigAt+1:][:41])
	name := hex.EncodeToString([]byte("bfgminer 5.5.0\x00"))
	text := hex.EncodeToString([]byte("/x/"))
	withSig := func(c *Config) { c.CoinbaseSig = "/x/" }
	proxy := func(c *Config) { c.Proxy = true }
	long := func(n int) func(*Config) { return func(c *Config) { c.CoinbaseSig = strings.Repeat("y", n) } }
	for _, tt := range []struct {
		name, program string
		config        func(*Config)
		edit          func(object)
		want          []string // of each share in turn, after the pool's part
	}{
		{"nothing", minerd, func(*Config) {}, func(object) {}, []string{"", ""}},
		{"a push of the signature", minerd, withSig, func(object) {}, []string{"03" + text}},
		{"no leave", minerd, withSig, set("mutable", []any{}), []string{""}},
		{"coinbaseaux too", minerd, withSig, set("coinbaseaux", object{"a": "aa", "b": "bb"}), []string{"05" + text + "aabb"}},
		{"OP_PUSHDATA1 from 76 bytes", minerd, long(40), func(object) {}, []string{"4c28" + strings.Repeat("79", 40)}},
		{"no push where it does not fit", minerd, long(59), func(object) {}, []string{strings.Repeat("79", 59)}},
		{"nothing that is too long", minerd, long(60), func(object) {}, []string{""}},
		{"its name, then a raw counter from the second on", bfgminer, func(*Config) {}, func(object) {},
			[]string{name, name + "01000000", name + "02000000"}},
		{"a signature instead", bfgminer, withSig, func(object) {}, []string{text + "00", text + "0001000000"}},
		{"no leave: one piece of work", bfgminer, func(*Config) {}, set("mutable", []any{}), []string{""}},
		{"five bytes for the proxy", bfgminer, proxy, func(object) {}, []string{name + "0000000000", name + "0100000000"}},
		{"coinbaseaux is for coinbasevalue", bfgminer, func(*Config) {}, set("coinbaseaux", object{"a": "aa"}), []string{name}},
	} {
		t.Run(tt.program+": "+tt.name, func(t *testing.T) {
			p := newProgram(t, tt.program, serving(t, answer(t, tt.edit)).url, tt.config)
			if err := p.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, want := range tt.want {
				s, err := p.Mine(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.TrimPrefix(scriptSig(t, s, nodeTemplate(t)), pool); got != want {
					t.Errorf("share %d appends %q, want %q", i, got, want)
				}
			}
		})
	}
}

// TestOneWork: without leave to append, bfgminer makes one piece of work of a template, and none
// for its proxy.
func TestOneWork(t *testing.T) {
	_, shares, err := mine(t, bfgminer, answer(t, set("mutable", []any{"submit/coinbase"})), 2)
	if len(shares) != 1 || !errors.Is(err, ErrNoWork) {
		t.Errorf("%d shares, %v", len(shares), err)
	}
	p := newProgram(t, bfgminer, serving(t, answer(t, set("mutable", []any{}))).url, func(c *Config) { c.Proxy = true })
	if err := p.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Mine(t.Context()); !errors.Is(err, ErrNoWork) {
		t.Errorf("the proxy mines: %v", err)
	}
}

// TestSigops: bfgminer reads sigoplimit into 16 bits, so a limit of 80000 does not arrive and that
// of 65535 stays; above it nothing can be appended. Without sigops there is no limit, nor with a
// number that does not fit into 15 bits.
func TestSigops(t *testing.T) {
	sigops := func(n any) func(object) {
		return func(a object) {
			for _, tx := range transactions(t, a) {
				tx["sigops"] = n
			}
		}
	}
	for _, tt := range []struct {
		name   string
		sigops any
		fails  bool
	}{{"65536", 8192, true}, {"65528", 8191, false}, {"too large to read", 40000, false}, {"not said", nil, false}} {
		t.Run(tt.name, func(t *testing.T) {
			p, shares, err := mine(t, bfgminer, answer(t, sigops(tt.sigops)), 2)
			if failed := errors.Is(err, ErrBroken); failed != tt.fails || failed != (p.State().Unsigned != "") {
				t.Errorf("%d shares, %v, %+v", len(shares), err, p.State())
			}
		})
	}
	_, _, err := mine(t, bfgminer, answer(t, set("sizelimit", 2700)), 2)
	if !errors.Is(err, ErrBroken) {
		t.Errorf("with no room below sizelimit: %v", err)
	}
}
