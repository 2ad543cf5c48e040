package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

const (
	// verifyWait is how long a pool has to answer, and maxProof how many bytes an answer may have: a proof among a
	// million accounts has 6 kB.
	verifyWait = 30 * time.Second
	maxProof   = 1 << 20
)

// verifyCmd checks what a pool says that a block has counted for an account.
type verifyCmd struct {
	Block   string `arg:"" name:"block-or-file" help:"Hash of the block; without an address a file that has the proof, - for standard input."`
	Address string `arg:"" optional:"" help:"Account to ask the pool about."`
	URL     string `placeholder:"URL" help:"The pool: http://HOST:PORT."`
	Root    string `placeholder:"HASH" help:"Root of the block as you know it from elsewhere, to compare with."`
}

// Run implements the command. It fails unless the account is counted.
func (c *verifyCmd) Run(ctx context.Context, out *screen) error {
	p, err := c.proof(ctx, os.Stdin)
	if err != nil {
		return err
	}
	showProof(out, p)
	faults := c.faults(p)
	if len(faults) == 0 {
		showFindings(out, p)
	}
	for _, fault := range faults {
		out.printf("%s %s", out.paint(red, "✗"), printable(fault))
	}
	if len(faults) > 0 {
		return errSilent
	}
	if !p.Counted() {
		out.printf("%s not counted  there is no %s among the accounts: that is proven, and can be shown to anybody", out.paint(red, "✗"), printable(p.Account))
		return errSilent
	}
	showAdvice(out, p)
	return nil
}

// faults returns what is wrong with a proof.
func (c *verifyCmd) faults(p *payouts.BlockProof) []string {
	var out []string
	// Addresses of BIP 173 may be in capitals, and mean the same.
	if c.Address != "" && p.Account != c.Address && p.Account != strings.ToLower(c.Address) {
		out = append(out, fmt.Sprintf("it is about %s, and not about %s", p.Account, c.Address))
	}
	if c.Address != "" && p.Block.String() != strings.ToLower(c.Block) {
		out = append(out, fmt.Sprintf("it is about block %s, and not about %s", p.Block, c.Block))
	}
	if err := p.Verify(); err != nil {
		out = append(out, err.Error())
	}
	if c.Root != "" && p.Root.Hash.String() != strings.ToLower(c.Root) {
		out = append(out, fmt.Sprintf("its root is %s, and you know it as %s: the pool has not shown everybody the same", p.Root.Hash, c.Root))
	}
	return out
}

// proof gets the proof from where the command line says.
func (c *verifyCmd) proof(ctx context.Context, stdin io.Reader) (*payouts.BlockProof, error) {
	if root := new(payouts.Digest); c.Root != "" {
		if err := root.UnmarshalText([]byte(c.Root)); err != nil {
			return nil, fmt.Errorf("--root: %w", err)
		}
	}
	var text []byte
	var err error
	switch {
	case c.Address != "":
		text, err = c.ask(ctx)
	case c.Block == "-":
		text, err = atMost(stdin)
	default:
		text, err = readProof(c.Block)
	}
	if err != nil {
		return nil, err
	}
	return payouts.ParseBlockProof(text)
}

// readProof reads a proof from a file.
func readProof(path string) (text []byte, err error) {
	f, err := os.Open(path) //nolint:gosec // who runs the command names the file
	if err != nil {
		return nil, fmt.Errorf("%w: name a file, or a block and an address", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return atMost(f)
}

// atMost reads as much as a proof may have.
func atMost(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxProof+1))
	if err == nil && len(text) > maxProof {
		err = fmt.Errorf("it has more than %d bytes: that is no proof", maxProof)
	}
	return text, err
}

// ask asks the pool.
func (c *verifyCmd) ask(ctx context.Context) (text []byte, err error) {
	if c.URL == "" {
		return nil, errors.New("--url: name the pool, such as http://127.0.0.1:9332")
	}
	if _, err := chainhash.NewHashFromStrStrict(c.Block); err != nil {
		return nil, fmt.Errorf("block %s: %w", c.Block, err)
	}
	base, err := url.Parse(c.URL)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("--url %s: it is no URL, as http://127.0.0.1:9332 is one", c.URL)
	}
	ctx, cancel := context.WithTimeout(ctx, verifyWait)
	defer cancel()
	at := base.JoinPath("api", "v1", "blocks", strings.ToLower(c.Block), "proof", url.PathEscape(c.Address))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("the pool does not answer: %w", err)
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	text, err = atMost(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, refused(at, answer.Status, text)
	}
	return text, nil
}

// refused says why the pool has given no proof, in its own words if it has any.
func refused(at *url.URL, status string, text []byte) error {
	var problem struct {
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(text, &problem); err == nil && problem.Detail != "" {
		status += ": " + problem.Detail
	}
	return fmt.Errorf("%s: %s", at, printable(status))
}

// showProof says what a proof is about.
func showProof(out *screen, p *payouts.BlockProof) {
	t := &p.Terms
	line := printable(string(t.Scheme))
	if t.Scheme == payouts.PPLNS {
		line += fmt.Sprintf(", window of %d difficulties", t.Multiple)
	}
	line += fmt.Sprintf(", fee %s", basisPoints(t.Fee))
	if t.Bonus != 0 {
		line += fmt.Sprintf(", bonus for the finder %s", basisPoints(t.Bonus))
	}
	out.printf("block          %s", p.Block)
	out.printf("               height %d, %s", p.Height, printable(string(p.Stage)))
	out.printf("terms          %s", line)
	out.printf("root           %s", out.paint(bold, p.Root.Hash.String()))
	out.printf("in the journal record %d, %s", p.Record.Seq, p.Record.Hash)
	out.printf("account        %s", printable(p.Account))
	out.printf("")
}

// showFindings says what a proof that holds proves.
func showFindings(out *screen, p *payouts.BlockProof) {
	tick := out.paint(green, "✓")
	if p.Counted() {
		weight, part := p.Proof.Weight, 0.0
		if p.Root.Weight > 0 {
			part = 100 * float64(weight) / float64(p.Root.Weight)
		}
		out.printf("%s counted      weight %d of %d = %.6f %%", tick, weight, p.Root.Weight, part)
		finder := ""
		if payouts.Key(p.Account) == p.Finder && p.Terms.Bonus > 0 {
			finder = ", with what the finder gets"
		}
		out.printf("%s credited     %d sat = %s: its part to the satoshi%s", tick, p.Proof.Credit, bitcoin(p.Proof.Credit), finder)
	}
	if p.Terms.PerShare() {
		out.printf("%s nothing more %d sat to %s: the round's weight at the price of %d sat for %d, less the fee",
			tick, p.Root.Credit, count(p.Root.Count, "account"), p.Reward, p.Network)
	} else {
		out.printf("%s nothing more %d sat to %s + %d sat fee + %d sat carried on = %d sat from the block + %d sat carried to it",
			tick, p.Root.Credit, count(p.Root.Count, "account"), p.Fee, p.CarryOut, p.Reward, p.CarryIn)
	}
}

// showAdvice says what to compare, which no program can know.
func showAdvice(out *screen, p *payouts.BlockProof) {
	out.printf("")
	reward := "the block's coinbase"
	if p.Terms.PerShare() {
		reward = "the subsidy"
	}
	out.printf("Compare the root with what others are shown, or with a note of it: --root HASH does. Compare the reward with")
	out.printf("%s, and the weight with your own count: it stands for %s.", reward, hashes(p.Root.Unit.Hashes(p.Proof.Weight)))
}

// basisPoints writes a part as a percentage, exactly.
func basisPoints(n int64) string { return fmt.Sprintf("%d.%02d %%", n/100, n%100) }

// printable returns a text that others have written without what a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}
