package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Client is how to serve a mining program: a gbt.Profile. In the file it is a mapping with these
// keys, elsewhere key=value pairs with commas between.
type Client struct {
	Name  string `json:"name"`
	Agent string `json:"agent"`
	// Form is whole, stripped or witness-free, Commitment included or omitted.
	Form       string `json:"form"`
	Commitment string `json:"commitment"`
	// Withhold names mutations with + between them.
	Withhold    string `json:"withhold"`
	SigopsBelow int64  `json:"sigops_below"`
}

// UnmarshalText reads the form of flags and variables.
func (c *Client) UnmarshalText(text []byte) error { return fromText(c, text) }

// UnmarshalJSON reads the form of the file, which kong hands on as JSON.
func (c *Client) UnmarshalJSON(data []byte) error {
	type plain Client // without this method
	return decodeRow(data, (*plain)(c), "sigops_below")
}

// Server is one server of the pool: a gbt.Server. Its forms are as Client's.
type Server struct {
	URI      string `json:"uri"`
	Priority int    `json:"priority"`
	Weight   int    `json:"weight"`
	Sticky   int    `json:"sticky"`
	Avoid    int    `json:"avoid"`
	Update   *bool  `json:"update"`
}

// UnmarshalText reads the form of flags and variables.
func (s *Server) UnmarshalText(text []byte) error { return fromText(s, text) }

// UnmarshalJSON reads the form of the file, which kong hands on as JSON.
func (s *Server) UnmarshalJSON(data []byte) error {
	type plain Server // without this method
	return decodeRow(data, (*plain)(s), "priority", "weight", "sticky", "avoid", "update")
}

// fromText decodes text as the file's form of a row that is just text.
func fromText(row json.Unmarshaler, text []byte) error {
	quoted, err := json.Marshal(string(text))
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	return row.UnmarshalJSON(quoted)
}

// decodeRow decodes a mapping, or text of key=value pairs with commas between. The values of bare keys
// are numbers or Booleans.
func decodeRow(data []byte, into any, bare ...string) error {
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		values := make(map[string]any)
		for pair := range strings.SplitSeq(text, ",") {
			key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if !ok {
				return fmt.Errorf("%q: want key=value pairs with commas between", text)
			}
			values[key] = value
			if slices.Contains(bare, key) {
				if !json.Valid([]byte(value)) {
					return fmt.Errorf("%s: %q is neither a number nor true or false", key, value)
				}
				values[key] = json.RawMessage(value)
			}
		}
		if data, err = json.Marshal(values); err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", data, err)
	}
	return nil
}
