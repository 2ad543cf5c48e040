package api

import (
	"bytes"
	"context"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/gbtpool/gbtpool/gbt"
)

// getBlockTemplate is getblocktemplate: a template request (BIP 22, Block Template Request) or a
// proposal (BIP 23, Block Proposal).
func (s *Server) getBlockTemplate(ctx context.Context, c *call) (pieces, error) {
	req, err := s.templateRequest(c)
	switch {
	case err == nil && req.proposal:
		return s.propose(ctx, c, req)
	case c.caller.err != nil:
		return nil, c.caller.err
	case c.caller.passwordErr != nil:
		return nil, c.caller.passwordErr
	case err != nil:
		return nil, err
	}
	return nil, s.work(c, req.TemplateRequest)
}

// templateRequest reads the argument of getblocktemplate.
func (s *Server) templateRequest(c *call) (templateRequest, error) {
	args, err := c.arguments("template_request")
	if err != nil {
		return templateRequest{}, err
	}
	return decodeTemplateRequest(args[0], s.currentPoll)
}

// work has a template request be answered when there is work for it.
func (s *Server) work(c *call, req gbt.TemplateRequest) error {
	req.Worker, req.Difficulty, req.UserAgent = c.caller.worker, c.caller.difficulty, c.caller.userAgent
	w := &wait{req: req, watch: gbt.Watch{LongPollID: req.LongPollID}}
	if req.LongPollID != "" {
		if c.out == nil {
			// The other calls of the batch would wait with it.
			return fail(codeParameter, "longpollid is not served in a batch: send the long poll as a request of its own")
		}
		if c.size > readSize {
			// It would keep its part of the memory for large bodies for as long as it waits.
			return fail(codeParameter, "a long poll may not be larger than %d bytes", readSize)
		}
		w.beat = newHeartbeat(c.out, s.cfg.KeepAlive)
		w.watch.Early = s.cfg.Desk.Harder(c.caller.account, req)
		c.params, c.id = nil, bytes.Clone(c.id) // so that the body need not wait with it
	}
	c.wait = w
	return nil
}

// currentPoll returns the long poll id of the template in force; empty if there is none.
func (s *Server) currentPoll() string {
	if t, err := s.cfg.Desk.Current(); err == nil {
		return t.LongPollID()
	}
	return ""
}

// templateRequest is the argument of getblocktemplate.
type templateRequest struct {
	gbt.TemplateRequest
	// proposal is set in proposal mode. Then only data, the block in hexadecimal, and workID count.
	proposal     bool
	data, workID string
}

// decodeTemplateRequest reads the argument of getblocktemplate, which may be absent. Keys that the
// pool does not know are left alone. current returns the long poll id of the template in force.
func decodeTemplateRequest(arg jsontext.Value, current func() string) (templateRequest, error) {
	var req templateRequest
	if arg == nil {
		return req, nil
	}
	if arg.Kind() != '{' {
		return req, wrongArgument(1, "template_request", arg, "object")
	}
	f := readFields(arg, "mode", "capabilities", "rules", "maxversion", "target", "nonces",
		"sizelimit", "sigoplimit", "longpollid", "workid", "data")
	req.proposal = f.proposal()
	req.workID = f.text("workid")
	if req.proposal {
		req.data = f.data()
		return req, f.err
	}
	req.Capabilities = f.texts("capabilities")
	req.Rules = f.rules()
	req.MaxVersion = f.integer("maxversion", 0)
	req.Target = f.target()
	req.Nonces = f.integer("nonces", 1)
	req.SizeLimit, req.SigopLimit = f.limit("sizelimit"), f.limit("sigoplimit")
	if id, ok := f.get("longpollid"); ok {
		req.LongPollID = longPollID(id, current)
	}
	return req, f.err
}

// proposal reports whether the mode is proposal; without one it is template.
func (f *fields) proposal() bool {
	v, ok := f.get("mode")
	if !ok {
		return false
	}
	mode := ""
	if v.Kind() == '"' {
		mode = unquote(v)
	}
	if mode != "template" && mode != "proposal" {
		f.fail(fail(codeParameter, "Invalid mode"))
	}
	return mode == "proposal"
}

// data reads a proposed block.
func (f *fields) data() string {
	v, _ := f.get("data")
	if v.Kind() != '"' {
		f.fail(fail(codeType, "Missing data String key for proposal"))
		return ""
	}
	return unquote(v)
}

// rules reads the deployments that a client supports. A client may repeat the prefix that it was
// served (BIP 9, getblocktemplate changes).
func (f *fields) rules() []string {
	list := f.texts("rules")
	for i := range list {
		list[i] = strings.TrimPrefix(list[i], "!")
	}
	return list
}

// target reads the share target that a client asks for (BIP 23, Basic Pool Extensions).
func (f *fields) target() gbt.Target {
	if _, ok := f.get("target"); !ok {
		return gbt.Target{}
	}
	s := f.text("target")
	target, err := gbt.ParseTarget(s)
	if err != nil {
		f.fail(fail(codeParameter, "target: %s", err))
	}
	return target
}

// longPollID reads what a long poll waits for the end of. As in Bitcoin Core, an id that is no
// string means the template in force.
func longPollID(v jsontext.Value, current func() string) string {
	if v.Kind() == '"' {
		return unquote(v)
	}
	return current()
}
