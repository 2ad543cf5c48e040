package client

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestTemplateFaults looks at answers that cannot be mined and at what is said of them.
func TestTemplateFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(answer)
		want   string
	}{
		"no version":            {func(a answer) { delete(a, "version") }, "version"},
		"no height":             {func(a answer) { delete(a, "height") }, "height"},
		"no curtime":            {func(a answer) { delete(a, "curtime") }, "curtime"},
		"no previous block":     {func(a answer) { delete(a, "previousblockhash") }, "previousblockhash"},
		"short previous block":  {func(a answer) { a["previousblockhash"] = "00ff" }, "previousblockhash"},
		"no bits":               {func(a answer) { delete(a, "bits") }, "bits"},
		"bits of no target":     {func(a answer) { a["bits"] = "00000000" }, "bits"},
		"target not hex":        {func(a answer) { a["target"] = "zz" }, "target"},
		"height 0":              {func(a answer) { a["height"] = 0 }, "height 0"},
		"negative time":         {func(a answer) { a["curtime"] = -1 }, "time"},
		"time of 33 bits":       {func(a answer) { a["curtime"] = 1 << 32 }, "time"},
		"maxtime before":        {func(a answer) { a["maxtime"] = 1 }, "maxtime"},
		"no coinbase":           {func(a answer) { delete(a, "coinbasevalue") }, "coinbasetxn"},
		"coinbase not hex":      {func(a answer) { a["coinbasetxn"] = map[string]string{"data": "zz"} }, "coinbasetxn"},
		"coinbase not one":      {func(a answer) { a["coinbasetxn"] = map[string]string{"data": "01000000"} }, "coinbasetxn"},
		"aux not hex":           {func(a answer) { a["coinbaseaux"] = map[string]string{"flags": "z"} }, "flags"},
		"transaction not hex":   {func(a answer) { a["transactions"] = []any{map[string]string{"data": "zz"}} }, "transaction 1"},
		"transaction cut":       {func(a answer) { a["transactions"] = []any{map[string]string{"data": "0100"}} }, "transaction 1"},
		"empty nonce range":     {func(a answer) { a["noncerange"] = "0000000200000001" }, "noncerange"},
		"short nonce range":     {func(a answer) { a["noncerange"] = "00" }, "noncerange"},
		"unknown required rule": {func(a answer) { a["rules"] = []string{"!quantum"} }, "quantum"},
		"wrong type":            {func(a answer) { a["height"] = "five" }, "height"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAnswer(t, nil)
			tt.change(a)
			raw, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ParseTemplate(raw)
			if !errors.Is(err, ErrTemplate) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want ErrTemplate and %q", err, tt.want)
			}
		})
	}
}

// TestTemplateDefaults looks at what keys that are absent stand for.
func TestTemplateDefaults(t *testing.T) {
	a := newAnswer(t, nil)
	delete(a, "target")
	a["rules"] = []string{"future"} // not marked as required
	got := a.parse(t)
	if got.Target != got.NetworkTarget {
		t.Errorf("without a target blocks are wanted, not %s", got.Target)
	}
	if !got.SubmitOld || got.NonceFirst != 0 || got.NonceLast != 1<<32-1 || got.Expires != 0 {
		t.Errorf("the defaults are %+v", got)
	}
}

func TestTime(t *testing.T) {
	received := time.Unix(5000, 0)
	for name, tt := range map[string]struct {
		template Template
		after    time.Duration
		want     int64
	}{
		"the server's clock goes on": {Template{CurTime: 1000, MinTime: 900}, 30 * time.Second, 1030},
		"never below mintime":        {Template{CurTime: 800, MinTime: 900}, 30 * time.Second, 900},
		"never above maxtime":        {Template{CurTime: 1000, MinTime: 900, MaxTime: 1010}, 30 * time.Second, 1010},
		"clock set back":             {Template{CurTime: 1000, MinTime: 900}, -time.Hour, 1000},
	} {
		tt.template.Received = received
		if got := tt.template.Time(received.Add(tt.after)); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, r := range recorded(f) {
		if r.Request.Method == "getblocktemplate" && r.Response.Result != nil {
			f.Add([]byte(r.Response.Result))
		}
	}
	f.Add([]byte(`{"coinbasetxn":{"data":""},"noncerange":"ffffffff00000000","maxtime":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		template, err := ParseTemplate(raw)
		if err != nil {
			if !errors.Is(err, ErrTemplate) {
				t.Fatalf("error is %v, want ErrTemplate", err)
			}
			return
		}
		a, err := NewAssembler(template, Options{PayTo: []byte{0x51}})
		if err != nil {
			return
		}
		b, err := a.Block(0, time.Unix(1700000000, 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Serialize(); err != nil {
			t.Fatal(err)
		}
	})
}
