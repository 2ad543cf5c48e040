package config

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// chapter is a part of the reference: the settings from one on, up to the next chapter's.
type chapter struct{ from, title string }

// chapters are in the order of the settings in Pool.
func chapters() []chapter {
	return []chapter{
		{"chain", "The pool and its nodes"},
		{"redis", "Share ledger"},
		{"reward_scheme", "How blocks are divided"},
		{"coinbase_payments", "Coinbase payment"},
		{"wallet", "What signs settlements"},
		{"payout_look", "When and how accounts are paid"},
		{"pool_name", "Pages, API and operators"},
		{"token_issuer", "Tokens"},
		{"listen", "Serving miners"},
		{"share_difficulty", "Shares"},
		{"miner_transactions", "What miners may choose"},
		{"node_timeout", "Watching nodes"},
	}
}

// preface begins the reference.
const preface = `# Every setting

Each is a key of the YAML file, a variable and a flag: ` + "`data_dir`, `GBTPOOL_DATA_DIR` and `--data-dir`" + `. A flag goes before
a variable, a variable before the file. Unknown keys in the file are errors, and ` + "`gbtpool check`" + ` names the setting to change for
whatever is wrong. Durations are written like ` + "`90s`, `10m` or `24h`" + `; in flags and variables, items of a list have commas between them,
and nodes, clients and servers semicolons. Secrets are never settings, only the files that hold them are.
`

// Reference is docs/configuration.md: all settings in tables, as they are in Pool's tags.
func Reference() (string, error) {
	var cli struct {
		Pool `embed:"" group:"config"`
	}
	parser, err := kong.New(&cli, kong.Name("gbtpool"), kong.DefaultEnvars(EnvPrefix))
	if err != nil {
		return "", fmt.Errorf("reference: %w", err)
	}
	var out strings.Builder
	out.WriteString(preface)
	rest := chapters()
	for _, flag := range parser.Model.Flags {
		if flag.Group == nil || flag.Group.Key != Group {
			continue
		}
		if len(rest) > 0 && key(flag) == rest[0].from {
			fmt.Fprintf(&out, "\n## %s\n\n| setting | variable | default | |\n|---|---|---|---|\n", rest[0].title)
			rest = rest[1:]
		}
		if len(rest) == len(chapters()) {
			return "", fmt.Errorf("reference: %s comes before the first chapter", key(flag))
		}
		writeSetting(&out, flag)
	}
	if len(rest) > 0 {
		return "", fmt.Errorf("reference: there is no setting %s for a chapter to begin with", rest[0].from)
	}
	return out.String(), nil
}

// writeSetting writes a row.
func writeSetting(out *strings.Builder, flag *kong.Flag) {
	standard := "none"
	switch {
	case flag.HasDefault:
		standard = "`" + flag.Default + "`"
	case flag.IsBool():
		standard = "`false`"
	}
	help := flag.Help
	if flag.Enum != "" {
		help = strings.ReplaceAll(help, flag.Enum, strings.ReplaceAll(flag.Enum, ",", ", "))
	}
	help = strings.ReplaceAll(help, "|", `\|`)
	fmt.Fprintf(out, "| `%s` | `%s` | %s | %s |\n", key(flag), strings.Join(flag.Envs, "` `"), standard, help)
}
