package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/payouts"
)

const (
	provenBlock = "00000000000000000001e2f1c4a0e3a1f4b6d6c5f1a3b2c4d5e6f708192a3b4c"
	provenRoot  = "71dcfa86c37a9df5fc6904083d410c51bc3640fe46974a8ef2679da152b8964c"
)

// proofText returns a proof that payouts holds to its form: of Alice, who is counted, or of Dave, who is not.
func proofText(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../payouts/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// verifying parses a command line and returns what the command writes.
func verifying(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var c verifyCmd
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	out, buf := paper(false)
	err = c.Run(t.Context(), out)
	return buf.String(), err
}

// provingPool answers as a pool does.
func provingPool(t *testing.T, answers map[string][]byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := answers[r.URL.EscapedPath()]
		if !ok {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			text = []byte(`{"title":"Not Found","detail":"no root is published\u001b[31m for the block"}`)
		}
		_, _ = w.Write(text) // who is gone needs no answer
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestVerifyIsDocumented holds docs/proofs.md to what the command says of the example.
func TestVerifyIsDocumented(t *testing.T) {
	pool := provingPool(t, map[string][]byte{"/api/v1/blocks/" + provenBlock + "/proof/Alice": proofText(t, "proof.json")})
	got, err := verifying(t, "--url", pool+"/", "--root", provenRoot, provenBlock, "Alice")
	if err != nil {
		t.Fatal(err, got)
	}
	doc, err := os.ReadFile("../../docs/proofs.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "\n## See for yourself\n")
	_, rest, _ = strings.Cut(rest, "\n```\n")
	want, _, _ := strings.Cut(rest, "```\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/proofs.md says otherwise (-doc +command):\n%s\n%s", diff, got)
	}
}

// TestVerifyFails ends with an error, and says why, unless the account that was asked for is counted in the block
// that was asked for.
func TestVerifyFails(t *testing.T) {
	changed := func(change func(*payouts.BlockProof)) []byte {
		p, err := payouts.ParseBlockProof(proofText(t, "proof.json"))
		if err != nil {
			t.Fatal(err)
		}
		change(p)
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	at := "/api/v1/blocks/" + provenBlock + "/proof/"
	pool := provingPool(t, map[string][]byte{
		at + "Alice":   proofText(t, "proof.json"),
		at + "Dave":    proofText(t, "proof-absence.json"),
		at + "Bob":     proofText(t, "proof.json"),
		at + "a%2Fb":   changed(func(p *payouts.BlockProof) { p.Account = "a/b" }),
		at + "more":    changed(func(p *payouts.BlockProof) { p.Account, p.Proof.Account, p.Proof.Credit = "more", "more", 1<<40 }),
		at + "fee":     changed(func(p *payouts.BlockProof) { p.Account, p.Fee = "fee", p.Fee+1 }),
		at + "colours": changed(func(p *payouts.BlockProof) { p.Account, p.Stage = "\x1b[31mred", "\x1b[31m" }),
		at + "html":    []byte("<html>"),
		at + "long":    make([]byte, maxProof+1),
		at + "newer":   []byte(`{"version":2}`),
		"/api/v1/blocks/" + strings.Repeat("1", 64) + "/proof/Alice": proofText(t, "proof.json"),
	})
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"not counted":   {[]string{"--url", pool, provenBlock, "Dave"}, "✗ not counted  there is no Dave"},
		"other account": {[]string{"--url", pool, provenBlock, "Bob"}, "✗ it is about Alice, and not about Bob"},
		"other block":   {[]string{"--url", pool, strings.Repeat("1", 64), "Alice"}, "✗ it is about block 0000"},
		"other root":    {[]string{"--url", pool, "--root", strings.Repeat("1", 64), provenBlock, "Alice"}, "the pool has not shown everybody the same"},
		"escaped":       {[]string{"--url", pool, provenBlock, "a/b"}, "it is of Alice, and not of a/b"},
		"credit":        {[]string{"--url", pool, provenBlock, "more"}, "✗ the proof does not hold"},
		"fee":           {[]string{"--url", pool, provenBlock, "fee"}, "by its terms the fee is"},
		"colours":       {[]string{"--url", pool, provenBlock, "colours"}, "?[31mred"},
		"no proof":      {[]string{"--url", pool, provenBlock, "html"}, "the proof does not hold"},
		"too long":      {[]string{"--url", pool, provenBlock, "long"}, "that is no proof"},
		"newer":         {[]string{"--url", pool, provenBlock, "newer"}, "use a newer program"},
		"no such":       {[]string{"--url", pool, provenBlock, "nobody"}, "404 Not Found: no root is published?[31m for the block"},
		"no url":        {[]string{provenBlock, "Alice"}, "--url: name the pool"},
		"not a url":     {[]string{"--url", "pool:9332", provenBlock, "Alice"}, "it is no URL"},
		"nobody there":  {[]string{"--url", "http://127.0.0.1:1", provenBlock, "Alice"}, "the pool does not answer"},
		"no block":      {[]string{"--url", pool, "12", "Alice"}, "block 12"},
		"no root":       {[]string{"--url", pool, "--root", "12", provenBlock, "Alice"}, "--root"},
		"no file":       {[]string{filepath.Join(t.TempDir(), "none")}, "name a file, or a block and an address"},
	} {
		got, err := verifying(t, c.args...)
		if err == nil || !strings.Contains(got+"\n"+err.Error(), c.want) || strings.Contains(got+err.Error(), "\x1b") {
			t.Errorf("%s: %v, %q, want %q", name, err, got, c.want)
		}
		if got != "" && (!errors.Is(err, errSilent) || strings.Contains(got, "✓") && name != "not counted") {
			t.Errorf("%s: error %v\n%s", name, err, got)
		}
	}
}

// TestVerifyFile takes a proof from a file, and from standard input.
func TestVerifyFile(t *testing.T) {
	if got, err := verifying(t, "../../payouts/testdata/proof.json"); err != nil || !strings.Contains(got, "✓ counted") {
		t.Errorf("%v\n%s", err, got)
	}
	if got, err := verifying(t, "../../payouts/testdata/proof-absence.json"); !errors.Is(err, errSilent) || !strings.Contains(got, "✗ not counted") {
		t.Errorf("%v\n%s", err, got)
	}
	c := verifyCmd{Block: "-"}
	p, err := c.proof(t.Context(), strings.NewReader(string(proofText(t, "proof.json"))))
	if err != nil || len(c.faults(p)) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	out, buf := paper(true)
	p.Terms = payouts.Terms{Scheme: payouts.PPS, Fee: 5}
	showProof(out, p)
	showFindings(out, p)
	if got := buf.String(); !strings.Contains(got, "pps, fee 0.05 %") || !strings.Contains(got, "the round's weight at the price of") {
		t.Errorf("%s", got)
	}
}
