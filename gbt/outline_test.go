package gbt

import (
	"errors"
	"strings"
	"testing"
)

func TestReadOutline(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	longPoll := `,"longpollid":"` + hash + `7"`
	for name, c := range map[string]struct {
		text, longPollID string
		ok               bool
	}{
		"as nodes write it":  {`{"version":1,"previousblockhash":"` + hash + `","transactions":[{"data":"00"}]` + longPoll + `}`, hash + "7", true},
		"with spaces":        {` { "previousblockhash" : "` + hash + `" , "rules" : [ ] } ` + "\n", "", true},
		"in capitals":        {`{"PreviousBlockHash":"` + hash + `","LongPollID":"x"}`, "x", true},
		"with escapes":       {`{"previousblockhash":"\u0061` + hash[1:] + `","longpollid":"\u0078"}`, "x", true},
		"an id twice":        {`{"previousblockhash":"` + hash + `","longpollid":"y","longpollid":"x"}`, "x", true},
		"no id":              {`{"previousblockhash":"` + hash + `","longpollid":null}`, "", true},
		"within":             {`{"other":{"previousblockhash":"` + hash + `"}}`, "", false},
		"a string of a key":  {`{"other":"\"previousblockhash\":\"` + hash + `\""}`, "", false},
		"a short hash":       {`{"previousblockhash":"` + hash[1:] + `"}`, "", false},
		"no hash":            {`{"previousblockhash":"x` + hash[1:] + `"}`, "", false},
		"a number":           {`{"previousblockhash":1}`, "", false},
		"cut":                {`{"previousblockhash":"` + hash + `"`, "", false},
		"cut within":         {`{"previousblockhash":"` + hash + `","transactions":[`, "", false},
		"something after it": {`{"previousblockhash":"` + hash + `"},{}`, "", false},
		"a list":             {`[]`, "", false},
		"nothing":            {``, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadOutline([]byte(c.text))
			switch {
			case !c.ok && !errors.Is(err, ErrTemplate):
				t.Errorf("got %+v, %v, want ErrTemplate", got, err)
			case c.ok && (err != nil || got.Previous.String() != hash || got.LongPollID != c.longPollID):
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// FuzzOutline compares with what the parser reads.
func FuzzOutline(f *testing.F) {
	for _, raw := range recordedTemplates(f) {
		f.Add([]byte(raw))
	}
	f.Add([]byte(makeTemplate(f, tipOf(1), easyBits, mixedSpecs()).raw(f)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		outline, err := ReadOutline(raw)
		if err != nil && !errors.Is(err, ErrTemplate) {
			t.Fatalf("error %v does not match ErrTemplate", err)
		}
		parsed, parseErr := ParseTemplate(raw)
		if parseErr == nil && (err != nil || outline.Previous != parsed.PreviousBlock) {
			t.Fatalf("got %+v, %v, want previous block %s", outline, err, parsed.PreviousBlock)
		}
	})
}

// BenchmarkReadOutline is what it takes to follow a node that sends full templates.
func BenchmarkReadOutline(b *testing.B) {
	raw := fullTemplate(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadOutline(raw); err != nil {
			b.Fatal(err)
		}
	}
}
