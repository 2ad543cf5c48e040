package api

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/gbtpool/gbtpool/gbt"
)

// getBlockTemplate is getblocktemplate in template mode (BIP 22, Block Template Request).
func (s *Server) getBlockTemplate(ctx context.Context, c *call) (pieces, error) {
	args, err := c.arguments("template_request")
	if err != nil {
		return nil, err
	}
	if c.caller.passwordErr != nil {
		return nil, c.caller.passwordErr
	}
	req, err := s.templateRequest(args[0])
	if err != nil {
		return nil, err
	}
	req.Difficulty, req.UserAgent = c.caller.difficulty, c.caller.userAgent
	var beat *heartbeat
	if req.LongPollID != "" {
		if c.out == nil {
			// The other calls of the batch would wait with it.
			return nil, fail(codeParameter, "longpollid is not served in a batch: send the long poll as a request of its own")
		}
		if c.size > readSize {
			// It would keep its part of the memory for large bodies for as long as it waits.
			return nil, fail(codeParameter, "a long poll may not be larger than %d bytes", readSize)
		}
		s.metrics.polls.Inc()
		defer s.metrics.polls.Dec()
		beat = newHeartbeat(c.out, s.cfg.KeepAlive)
	}
	work, err := s.await(ctx, c, req, beat)
	if err != nil {
		return nil, err
	}
	c.poll = req.LongPollID != ""
	head, tail := work.Result()
	return pieces{head, tail}, nil
}

// templateRequest reads the argument of getblocktemplate, which may be absent. Keys that the pool
// does not know are left alone.
func (s *Server) templateRequest(arg jsontext.Value) (gbt.TemplateRequest, error) {
	var req gbt.TemplateRequest
	if arg == nil {
		return req, nil
	}
	if arg.Kind() != '{' {
		return req, wrongArgument(1, "template_request", arg, "object")
	}
	err := eachMember(arg, func(name string, v jsontext.Value) error {
		if isNull(v) {
			return nil
		}
		var err error
		switch name {
		case "mode":
			err = checkMode(v)
		case "capabilities":
			req.Capabilities, err = texts(name, v)
		case "rules":
			req.Rules, err = rules(v)
		case "maxversion":
			req.MaxVersion, err = integer(name, v)
		case "target":
			req.Target, err = desiredTarget(v)
		case "longpollid":
			req.LongPollID = s.longPollID(v)
		}
		return err
	})
	return req, err
}

// checkMode accepts template mode (BIP 22) alone.
func checkMode(v jsontext.Value) error {
	if v.Kind() != '"' {
		return fail(codeParameter, "Invalid mode")
	}
	switch unquote(v) {
	case "template":
		return nil
	case "proposal":
		return fail(codeParameter, "Invalid mode: block proposals are not supported here, only mode \"template\"")
	default:
		return fail(codeParameter, "Invalid mode")
	}
}

// rules reads the deployments that a client supports. A client may repeat the prefix that it was
// served (BIP 9, getblocktemplate changes).
func rules(v jsontext.Value) ([]string, error) {
	list, err := texts("rules", v)
	for i := range list {
		list[i] = strings.TrimPrefix(list[i], "!")
	}
	return list, err
}

// desiredTarget reads the share target that a client asks for (BIP 23, Basic Pool Extensions).
func desiredTarget(v jsontext.Value) (gbt.Target, error) {
	s, err := text("target", v)
	if err != nil {
		return gbt.Target{}, err
	}
	target, err := gbt.ParseTarget(s)
	if err != nil {
		return gbt.Target{}, fail(codeParameter, "target: %s", err)
	}
	return target, nil
}

// longPollID reads what a long poll waits for the end of. As in Bitcoin Core, an id that is no
// string means the template in force.
func (s *Server) longPollID(v jsontext.Value) string {
	if v.Kind() == '"' {
		return unquote(v)
	}
	if t, err := s.cfg.Desk.Current(); err == nil {
		return t.LongPollID()
	}
	return ""
}
