package docs_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"

	"github.com/gbtpool/gbtpool/api/bip322"
	"github.com/gbtpool/gbtpool/test/docs"
)

// notRun are the programs that the tests do not run. The pages say why.
func notRun() map[string]bool {
	return map[string]bool{"minerd": true, "cpuminer-multi": true, "bfgminer": true, "bitcoin-cli": true}
}

// TestQuickStarts runs each command of the quick starts, in their order, against a demo on which the reader has mined and
// been paid, and compares what they print with what the pages show.
func TestQuickStarts(t *testing.T) {
	for program, pkg := range map[string]string{"bash": "bash", "curl": "curl", "python3": "python3", "node": "nodejs"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("the pages use %s, of Debian's package %s: %v", program, pkg, err)
		}
	}
	s := newStage(t)
	s.live(t)
	for _, path := range quickStarts() {
		t.Run(path, func(t *testing.T) {
			for _, block := range read(t, path).Blocks() {
				s.keep(t, &block)
				for _, c := range block.Commands() {
					s.run(t, &c)
				}
			}
		})
	}
	t.Run("banned", s.banned)
}

// keep writes a program that a page shows into the stage's folder.
func (s *stage) keep(t *testing.T, b *docs.Block) {
	t.Helper()
	if b.Name == "" {
		return
	}
	text := s.fill(strings.Join(b.Lines, "\n") + "\n")
	if err := os.WriteFile(filepath.Join(s.dir, filepath.Base(b.Name)), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fill puts what is so in this run for what the pages leave to the reader.
func (s *stage) fill(text string) string {
	text = strings.ReplaceAll(text, "pool.example:9332", s.addr)
	return regexp.MustCompile(`\b[A-Z][A-Z_]+\b`).ReplaceAllStringFunc(text, func(word string) string {
		if value, ok := s.values[word]; ok {
			return value
		}
		return word
	})
}

// run runs a command. One that only looks is run again until it prints what the page shows, as the pool moves on; any
// other one while the pool says that it cannot do it now.
func (s *stage) run(t *testing.T, c *docs.Command) {
	t.Helper()
	if slices.ContainsFunc(c.Programs(), func(program string) bool { return notRun()[program] }) {
		return
	}
	want := docs.Command{Text: s.fill(c.Text)}
	for _, line := range c.Output {
		want.Output = append(want.Output, s.fill(line))
	}
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(moment); ; <-ticker.C {
		out, err := s.try(t, &want)
		if err == nil {
			s.learn(t, out)
			return
		}
		if !looks(c.Text) && !strings.Contains(out, `"status":503`) || time.Now().After(deadline) {
			t.Errorf("line %d: %v\n$ %s\n%s", c.Line, err, want.Text, out)
			return
		}
	}
}

// looks reports whether a command changes nothing.
func looks(text string) bool {
	return strings.HasPrefix(text, "gbtpool verify ") || strings.Contains(text, "gbtpool token inspect ") ||
		strings.HasPrefix(text, "curl ") && !strings.Contains(text, " -d ") && !strings.Contains(text, " -X ")
}

// endless reports whether a command goes on until it is stopped.
func endless(text string) bool {
	return slices.ContainsFunc([]string{"curl -sN ", "python3 events.py", "node events.mjs"}, func(begin string) bool { return strings.HasPrefix(text, begin) })
}

// try runs a command once, to its end, or until it has printed what the page shows.
func (s *stage) try(t *testing.T, c *docs.Command) (string, error) {
	t.Helper()
	p := s.start(t, "bash", "-o", "pipefail", "-c", c.Text)
	if !endless(c.Text) {
		err := p.wait(moment)
		if err == nil {
			err = c.Check(p.output())
		}
		return p.output(), err
	}
	defer p.stop()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(moment); ; <-ticker.C {
		err := c.Check(p.output())
		if err == nil || p.ended() || time.Now().After(deadline) {
			return p.output(), err
		}
	}
}

// learn takes from an answer what later commands of the pages name.
func (s *stage) learn(t *testing.T, out string) {
	t.Helper()
	for name, form := range map[string]string{
		"TOKEN":    `(eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+)`,
		"TOKEN_ID": `(?m)^  id +(\S+)$`,
		"OLD_KEY":  `gbtpool token remove (\S+)`,
		"CURSOR":   `"next_cursor":"([^"]+)"`,
		"ETAG":     `Etag: "([^"]+)"`,
		"EVENT":    `(?m)^id: (\S+)$`,
	} {
		if m := regexp.MustCompile(form).FindStringSubmatch(out); m != nil {
			s.values[name] = m[1]
		}
	}
	var asked struct{ Challenge, Message string }
	if err := json.Unmarshal([]byte(out), &asked); err != nil || asked.Challenge == "" {
		return
	}
	signature, err := bip322.Sign(s.key, s.values["ADDRESS"], asked.Message, chain())
	if err != nil {
		t.Fatal(err)
	}
	s.values["CHALLENGE"], s.values["MESSAGE"], s.values["SIGNATURE"] = asked.Challenge, asked.Message, signature
}

// live mines for the reader's address until it has been paid, and finds a block that counts it.
func (s *stage) live(t *testing.T) {
	t.Helper()
	s.start(t, binary, "mine", "http://"+s.addr, "--user", s.values["ADDRESS"]+".rig1", "--threads", "1", "--hash-rate", "30000")
	await(t, "the reader's first payment", func() bool {
		var paid struct {
			Payouts []struct{ State string }
		}
		return s.get(t, "/api/v1/accounts/"+s.values["ADDRESS"]+"/payouts", &paid) &&
			slices.ContainsFunc(paid.Payouts, func(p struct{ State string }) bool { return p.State == "final" })
	})
	await(t, "a block that counts the reader", func() bool {
		var found struct {
			Blocks []struct{ Hash, State string }
		}
		s.get(t, "/api/v1/blocks?limit=200", &found)
		for _, b := range found.Blocks {
			var proven struct{ Proof *struct{ Account string } }
			if b.State == "credited" && s.get(t, "/api/v1/blocks/"+b.Hash+"/proof/"+s.values["ADDRESS"], &proven) && proven.Proof != nil {
				s.values["BLOCK"] = b.Hash
				return true
			}
		}
		return false
	})
}

// readersKey returns the key of the reader's address.
func readersKey(t *testing.T) *btcec.PrivateKey {
	t.Helper()
	key, err := btcec.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}
