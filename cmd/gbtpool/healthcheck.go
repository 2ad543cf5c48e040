package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxHealthText is how much of a page is shown, in bytes.
const maxHealthText = 64 << 10

// healthcheckCmd asks a running gateway how it is, where there is no curl: in a container.
type healthcheckCmd struct {
	URL     string        `arg:"" optional:"" default:"http://127.0.0.1:9332/readyz" help:"Page to ask: /readyz tells whether miners can be served, /healthz whether the process is alive."`
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer."`
}

// Run implements the command. It fails unless the page answers 200.
func (c *healthcheckCmd) Run(ctx context.Context, out *screen) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, http.NoBody)
	if err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	// Not through a proxy, whatever the environment says: what is asked is close by.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // it is only read
	text, err := io.ReadAll(io.LimitReader(res.Body, maxHealthText))
	if err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	out.printf("%s", strings.TrimSpace(string(text)))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("healthcheck: %s says %s", c.URL, res.Status)
	}
	return nil
}
