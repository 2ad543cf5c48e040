package shares_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

func TestAgent(t *testing.T) {
	for agent, want := range map[string][2]string{
		"":                           {"", ""},
		"cgminer/4.12.0":             {"cgminer/4.12.0", "cgminer"},
		"bfgminer 5.5":               {"bfgminer 5.5", "bfgminer"},
		"Go-http-client/1.1 (linux)": {"Go-http-client/1.1 (linux)", "Go-http-client"},
		"/odd":                       {"/odd", ""},
		" a\r\nb\x00\u202e ":         {"ab", "ab"},
		strings.Repeat("x", 70):      {strings.Repeat("x", 64), strings.Repeat("x", 64)},
	} {
		text := shares.AgentText(agent)
		if text != want[0] || shares.AgentProgram(text) != want[1] {
			t.Errorf("%q: %q of program %q, want %q", agent, text, shares.AgentProgram(text), want)
		}
		if shares.AgentText(text) != text {
			t.Errorf("%q: is not kept as it is", text)
		}
	}
}

func TestPresenceCheck(t *testing.T) {
	for what, tt := range map[string]struct {
		p    shares.Presence
		good bool
	}{
		"a worker":         {shares.Presence{Account: "alice", Worker: "rig 1/2.3", Time: time.Now()}, true},
		"no worker":        {shares.Presence{Account: "alice"}, true},
		"longest worker":   {shares.Presence{Account: "alice", Worker: strings.Repeat("w", 191)}, true},
		"longer worker":    {shares.Presence{Account: "alice", Worker: strings.Repeat("w", 192)}, false},
		"a worker's bytes": {shares.Presence{Account: "alice", Worker: "\xff"}, false},
		"a line's end":     {shares.Presence{Account: "alice", Worker: "a\n"}, false},
		"no account":       {shares.Presence{Worker: "w"}, false},
		"no such account":  {shares.Presence{Account: "alice.w"}, false},
	} {
		if err := tt.p.Check(); tt.good != (err == nil) || err != nil && !errors.Is(err, shares.ErrMalformed) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}
