package fieldclients

import (
	"context"
	"errors"
	"testing"
	"time"
)

// FuzzTemplate: whatever an answer holds, an imitated program mines it or says why not.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"height":102,"version":536870912,"previousblockhash":"` + zeroHash + `","curtime":1,"bits":"207fffff","transactions":[],` +
			`"coinbasetxn":{"data":"` + zeroHash + zeroHash + `"},"target":"` + zeroHash + `","mutable":["coinbase/append"],"coinbaseaux":{"a":"aa"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := parse(raw)
		if err != nil {
			return
		}
		known := func(err error) bool {
			var away getworkError
			var broken brokenError
			return err == nil || errors.As(err, &away) || errors.As(err, &broken)
		}
		for _, build := range []func(Config) (*CPUMiner, error){NewMinerd, NewMulti} {
			cfg := exampleConfig()
			cfg.CoinbaseSig = "/x/"
			m, err := build(cfg)
			must(t, err)
			if _, err := m.decode(v); !known(err) {
				t.Error(err)
			}
		}
		m, err := NewBFGMiner(exampleConfig())
		must(t, err)
		if err := m.take(v); err != nil {
			if !known(err) {
				t.Error(err)
			}
			return
		}
		for range 2 {
			if w, err := m.make(); !known(err) && !errors.Is(err, ErrNoWork) {
				t.Error(err)
			} else if err == nil && w.workID != m.hand.template.workID {
				t.Error("the workid is another")
			}
		}
	})
}

// zeroHash is 32 bytes in hexadecimal.
const zeroHash = "0000000000000000000000000000000000000000000000000000000000000000"

// TestRunEnds: programs stop when they are told to, also while nothing answers.
func TestRunEnds(t *testing.T) {
	for _, name := range allPrograms() {
		p := newProgram(t, name, "http://127.0.0.1:1/", func(c *Config) { c.Pause = time.Hour })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		must(t, p.(runner).Run(ctx)) //nolint:errcheck // all programs are
		cancel()
		if st := p.State(); st.Accepted != 0 || st.Protocol == Getwork {
			t.Errorf("%s: %+v", name, st)
		}
	}
}
