package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/internal/app"
	"github.com/gbtpool/gbtpool/internal/config"
)

// openTokens opens the keys that tokens are verified with. The pool's own in the default file are made when it is
// missing.
func openTokens(s *config.TokenSettings, log *slog.Logger) (app.Tokens, error) {
	own, err := openKeys(s, log)
	if err != nil {
		return app.Tokens{}, err
	}
	t := app.Tokens{
		Issuer: s.Issuer, Audience: s.Audience, Leeway: s.Leeway, Keys: own, Issuers: []token.Issuer{{Name: s.Issuer, Keys: own}},
	}
	t.Run = append(t.Run, own.Run)
	switch {
	case s.JWKSFile != "":
		file, err := token.OpenFile(token.FileConfig{Path: s.JWKSFile, Log: log})
		if err != nil {
			return t, fmt.Errorf("token_jwks: %w", err)
		}
		t.Issuers, t.Run = append(t.Issuers, token.Issuer{Name: s.JWKSIssuer, Keys: file}), append(t.Run, file.Run)
	case s.JWKSURL != "":
		remote, err := token.NewRemote(token.RemoteConfig{URL: s.JWKSURL, Now: time.Now, Log: log})
		if err != nil {
			return t, fmt.Errorf("token_jwks: %w", err)
		}
		t.Issuers, t.Run = append(t.Issuers, token.Issuer{Name: s.JWKSIssuer, Keys: remote}), append(t.Run, remote.Run)
	}
	return t, nil
}

// openKeys opens the pool's own keys.
func openKeys(s *config.TokenSettings, log *slog.Logger) (*token.File, error) {
	if s.MakeKeys {
		if err := token.MakeFile(s.KeysFile, token.EdDSA, time.Now()); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("token_keys_file: %w", err)
		}
	}
	file, err := token.OpenFile(token.FileConfig{Path: s.KeysFile, Log: log})
	if err != nil {
		return nil, fmt.Errorf("token_keys_file: %w", err)
	}
	return file, nil
}
