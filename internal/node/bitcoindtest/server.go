package bitcoindtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
)

// maxLine is the longest record, in bytes.
const maxLine = 16 << 20

// User is the name that a Server wants; see Server.SetPassword for the password.
const User = "__cookie__"

// Record is one recorded exchange with a node.
type Record struct {
	// Name tells what the exchange shows. It is the id of the request too.
	Name string `json:"name"`
	// Request is the recorded request; nil if it was no JSON-RPC call.
	Request *Request `json:"request"`
	// Status is the HTTP status of the answer.
	Status int `json:"status"`
	// Header holds the answer's headers where they matter.
	Header map[string]string `json:"headers"`
	// Response is the body of the answer.
	Response json.RawMessage `json:"response"`
}

// Request is a JSON-RPC request.
type Request struct {
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

// Load reads records from a file, one JSON object a line.
func Load(path string) ([]Record, error) {
	f, err := os.Open(path) //nolint:gosec // the path is the test's own
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	var out []Record
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var r Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s: record %d: %w", path, len(out)+1, err)
		}
		out = append(out, r)
	}
	return out, lines.Err()
}

// Server is a fake node that gives recorded answers. It is safe for concurrent use.
type Server struct {
	// URL is where the node listens.
	URL string

	tb      testing.TB
	records []Record

	mu       sync.Mutex
	password string
	next     map[string]int // by request: how many of its records were given
	calls    []string       // methods, as called
	from     int            // records before this are passed over
}

// New starts a Server for the records in a file and ends it with the test. Equal requests get
// their recorded answers in turn and the last of them for ever; a request that was not recorded
// fails the test. Of a template request only the mode, the data and the long poll id are compared, of
// sendrawtransaction only the transaction.
func New(tb testing.TB, path string) *Server {
	tb.Helper()
	records, err := Load(path)
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{tb: tb, records: records, password: "password", next: make(map[string]int)}
	web := httptest.NewServer(s)
	tb.Cleanup(web.Close)
	s.URL = web.URL
	return s
}

// SetPassword changes the password, which is "password" at first.
func (s *Server) SetPassword(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = password
}

// From passes over the records before the one of this name.
func (s *Server) From(name string) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.records {
		if s.records[i].Name == name {
			s.from, s.next = i, make(map[string]int)
			return
		}
	}
	s.tb.Fatalf("no record is named %q", name)
}

// Calls returns the methods called so far, in order.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.calls...)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	record, err := s.find(r)
	if err != nil {
		s.tb.Errorf("bitcoindtest: %v", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body := record.Response
	if bytes.Equal(body, []byte(`""`)) {
		body = nil
	}
	for key, value := range record.Header {
		if key != "Date" {
			w.Header().Set(key, value)
		}
	}
	w.WriteHeader(record.Status)
	if body != nil {
		body = append(body, '\n')
	}
	if _, err := w.Write(body); err != nil {
		s.tb.Logf("bitcoindtest: %v", err) // the client may leave
	}
}

// find returns the record to answer a request with.
func (s *Server) find(r *http.Request) (Record, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if user, password, ok := r.BasicAuth(); !ok || user != User || password != s.password {
		return s.named("wrong password")
	}
	var request Request
	if err := json.Unmarshal(text, &request); err != nil {
		return s.named("not json")
	}
	s.calls = append(s.calls, request.Method)
	if request.Method == "gettxspendingprevout" {
		return s.named("unknown method") // Core has it from version 24 on
	}
	key, err := keyOf(&request)
	if err != nil {
		return Record{}, err
	}
	found, skip := -1, s.next[key]
	for i := s.from; i < len(s.records); i++ {
		if s.records[i].Request == nil {
			continue
		}
		other, err := keyOf(s.records[i].Request)
		if err != nil {
			return Record{}, err
		}
		if other != key {
			continue
		}
		found = i
		if skip == 0 {
			break
		}
		skip--
	}
	if found < 0 {
		return Record{}, fmt.Errorf("no record answers %s", key)
	}
	s.next[key]++
	return s.records[found], nil
}

func (s *Server) named(name string) (Record, error) {
	for i := range s.records {
		if s.records[i].Name == name {
			return s.records[i], nil
		}
	}
	return Record{}, fmt.Errorf("no record is named %q", name)
}

// keyOf returns a text that is the same for requests which a node answers alike.
func keyOf(r *Request) (string, error) {
	if r.Method == "sendrawtransaction" && len(r.Params) > 1 {
		r.Params = r.Params[:1] // recorded without a limit of the fee rate
	}
	params := make([]any, len(r.Params))
	for i, raw := range r.Params {
		if err := json.Unmarshal(raw, &params[i]); err != nil {
			return "", err
		}
		if object, ok := params[i].(map[string]any); ok && r.Method == "getblocktemplate" {
			delete(object, "capabilities")
			if object["mode"] == "proposal" {
				delete(object, "rules") // proposals need none
			}
		}
	}
	text, err := json.Marshal(params) // maps are sorted by key
	return r.Method + string(text), err
}
