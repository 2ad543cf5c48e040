package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Node is how to reach one full node. In the file it is a mapping with these keys or just a URL,
// elsewhere a URL or key=value pairs with commas between.
type Node struct {
	// Name tells the node from others; the default is its URL's host.
	Name string `json:"name"`
	URL  string `json:"url"`
	User string `json:"user"`
	// PasswordFile holds the password for User and nothing else.
	PasswordFile string `json:"password_file"`
	// CookieFile is the node's own .cookie, used instead of a user and password.
	CookieFile string `json:"cookie_file"`
	// CAFile holds the certificate to trust instead of the system's, such as btcd's rpc.cert.
	CAFile string `json:"ca_file"`
	// ZMQ is the address where the node publishes hashblock, such as tcp://127.0.0.1:28332.
	ZMQ string `json:"zmq"`
}

// UnmarshalText reads the form of flags and variables.
func (n *Node) UnmarshalText(text []byte) error {
	*n = Node{}
	s := strings.TrimSpace(string(text))
	if strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		s = "url=" + s
	}
	fields := map[string]*string{
		"name": &n.Name, "url": &n.URL, "user": &n.User, "password_file": &n.PasswordFile,
		"cookie_file": &n.CookieFile, "ca_file": &n.CAFile, "zmq": &n.ZMQ,
	}
	for pair := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(pair, "=")
		field, known := fields[strings.TrimSpace(key)]
		if !ok || !known {
			return fmt.Errorf("%q: want a URL, or url=URL with any of name=, user=, password_file=, cookie_file=, ca_file=, zmq=", pair)
		}
		*field = strings.TrimSpace(value)
	}
	return nil
}

// UnmarshalJSON reads the form of the file, which kong hands on as JSON.
func (n *Node) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		return n.UnmarshalText([]byte(text))
	}
	type plain Node // without this method
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode((*plain)(n)); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}

// Validate checks the node's settings and fills in its name.
func (n *Node) Validate() error {
	u, err := url.Parse(n.URL)
	switch {
	case err != nil:
		return fmt.Errorf("url: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("url %q: want http://HOST:PORT or https://HOST:PORT", n.URL)
	case u.User != nil:
		return fmt.Errorf("url of %s: leave the user and password out and use user and password_file, or cookie_file", u.Host)
	case n.CookieFile != "" && (n.User != "" || n.PasswordFile != ""):
		return fmt.Errorf("%s: use either cookie_file or user and password_file", u.Host)
	case (n.User == "") != (n.PasswordFile == ""):
		return fmt.Errorf("%s: user and password_file belong together", u.Host)
	case n.CAFile != "" && u.Scheme != "https":
		return fmt.Errorf("%s: ca_file needs an https url", u.Host)
	case n.ZMQ != "" && !strings.HasPrefix(n.ZMQ, "tcp://"):
		return errors.New("zmq: want tcp://HOST:PORT")
	}
	if n.Name == "" {
		n.Name = u.Host
	}
	return nil
}
