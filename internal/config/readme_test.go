package config

import (
	"os"
	"strings"
	"testing"
)

// TestReadme reads the configuration file that the README shows.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```yaml\n")
	example, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("the README shows no configuration file")
	}
	p, err := parse(t, example, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The example leaves the address to the reader.
	p.PayoutAddress = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
	if _, err := p.Validate(); err != nil {
		t.Error(err)
	}
	if len(p.Nodes) != 2 || p.Nodes[0].ZMQ == "" || p.Nodes[1].CAFile == "" {
		t.Errorf("the nodes are %+v", p.Nodes)
	}
}
