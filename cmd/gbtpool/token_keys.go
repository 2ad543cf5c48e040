package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/internal/redisstore"
)

// revocationsOf returns the revocations that a ledger's Redis keeps.
func revocationsOf(l *redisstore.Ledger) (revoker, error) {
	return redisstore.NewRevocations(redisstore.RevocationsConfig{Ledger: l})
}

// tokenKeysCmd shows keys.
type tokenKeysCmd struct {
	tokenFlags `embed:""`
	JWKS       bool `name:"jwks" help:"Print what others verify tokens with, as a JWK Set: nothing secret is in it."`
}

// Run implements the command.
func (c *tokenKeysCmd) Run(out *screen) error {
	s, file, err := c.keys()
	if err != nil {
		return err
	}
	if c.JWKS {
		raw, err := token.PublicJWKS(file.Keys())
		if err != nil {
			return err
		}
		_, err = out.Write(raw)
		return err
	}
	current, err := file.Current()
	if err != nil {
		return err
	}
	width := len("key")
	for k := range file.Keys().All() {
		width = max(width, len(k.ID()))
	}
	out.printf("%-*s  %-9s  %s", width, "key", "algorithm", "use")
	for k := range file.Keys().All() {
		use := "verifies older tokens"
		if k.ID() == current.ID() {
			use = out.paint(green, "signs new tokens")
		}
		out.printf("%-*s  %-9s  %s", width, k.ID(), k.Algorithm(), use)
	}
	out.printf("in %s", s.KeysFile)
	return nil
}

// tokenRotateCmd makes a new key.
type tokenRotateCmd struct {
	tokenFlags `embed:""`
	Algorithm  token.Algorithm `default:"EdDSA" enum:"EdDSA,ES256,HS256" help:"What the new key is for: ${enum}. With HS256 whoever can verify can sign."`
}

// Run implements the command.
func (c *tokenRotateCmd) Run(out *screen) error {
	s, file, err := c.keys()
	if err != nil {
		return err
	}
	key, err := token.Rotate(s.KeysFile, c.Algorithm, time.Now())
	if err != nil {
		return err
	}
	out.printf("%s key %s in %s: running gateways sign with it within seconds", out.paint(green, "made"), out.paint(bold, key.ID()), s.KeysFile)
	out.printf("copy the file to all gateways of the pool; once the tokens of older keys have expired, remove those:")
	for k := range file.Keys().All() {
		out.printf("  gbtpool token remove %s", k.ID())
	}
	return nil
}

// tokenRemoveCmd removes a key.
type tokenRemoveCmd struct {
	tokenFlags `embed:""`
	Key        string `arg:"" help:"The key's id, as gbtpool token keys shows it."`
}

// Run implements the command.
func (c *tokenRemoveCmd) Run(out *screen) error {
	s, _, err := c.keys()
	if err != nil {
		return err
	}
	if err := token.Remove(s.KeysFile, c.Key); err != nil {
		if errors.Is(err, token.ErrCurrentKey) {
			return fmt.Errorf("%w, with `gbtpool token rotate`", err)
		}
		return err
	}
	out.printf("%s key %s from %s: whatever it has signed is refused within seconds; copy the file to all gateways", out.paint(yellow, "removed"), c.Key, s.KeysFile)
	return nil
}
