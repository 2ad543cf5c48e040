package rest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestConditional asks again for what is known, in each way that RFC 9110 has.
func TestConditional(t *testing.T) {
	w := newWorld(t)
	h := server(t, w.views())
	ask := func(method, path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec
	}
	for _, path := range []string{
		"/api/v1/pool", "/api/v1/network", "/api/v1/nodes", "/api/v1/schemes", "/api/v1/fees", "/api/v1/template/transactions", "/api/v1/history/shares",
		"/api/v1/accounts", "/api/v1/accounts/" + miner("alice"), "/api/v1/accounts/" + miner("alice") + "/workers", "/api/v1/blocks", "/api/v1/rounds",
		"/api/v1/payouts", "/api/v1/payouts/1", "/api/v1/blocks/" + hashOf("block 1").String() + "/credits", "/api/pool", "/users/" + miner("alice"), "/pool/pool.status",
	} {
		first := ask(http.MethodGet, path)
		tag := first.Header().Get("ETag")
		if first.Code != 200 || !strings.HasPrefix(tag, `"`) || first.Header().Get("Cache-Control") != "no-cache" || first.Header().Get("Vary") != "Authorization" {
			t.Fatalf("%s: %d %v", path, first.Code, first.Header())
		}
		for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			if again := ask(http.MethodGet, path, "If-None-Match", match); again.Code != 304 || again.Body.Len() != 0 || again.Header().Get("ETag") != tag || again.Header().Get("Content-Type") != "" {
				t.Errorf("%s, If-None-Match %s: %d, %d bytes, %v", path, match, again.Code, again.Body.Len(), again.Header())
			}
		}
		if other := ask(http.MethodGet, path, "If-None-Match", `"x"`); other.Code != 200 || other.Body.String() != first.Body.String() {
			t.Errorf("%s, another tag: %d", path, other.Code)
		}
		head := ask(http.MethodHead, path)
		if head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("ETag") != tag || head.Header().Get("Content-Length") != first.Header().Get("Content-Length") {
			t.Errorf("HEAD %s: %d, %d bytes, %v", path, head.Code, head.Body.Len(), head.Header())
		}
		if mine := ask(http.MethodGet, path, "Authorization", "Bearer x"); mine.Header().Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%s with a token: %v", path, mine.Header())
		}
	}
	tag := ask(http.MethodGet, "/api/v1/pool").Header().Get("ETag")
	w.clock.Add(int64(tolerable))
	if old := ask(http.MethodGet, "/api/v1/pool", "If-None-Match", tag); old.Code != 304 {
		t.Errorf("no news: %d", old.Code)
	}
	w.notices = []Notice{{Info, "news"}}
	w.clock.Add(int64(tolerable))
	if news := ask(http.MethodGet, "/api/v1/pool", "If-None-Match", tag); news.Code != 200 || news.Header().Get("ETag") == tag {
		t.Errorf("news: %d", news.Code)
	}
	if gone := ask(http.MethodGet, "/api/v1/payouts/99", "If-None-Match", "*"); gone.Code != 404 || gone.Header().Get("ETag") != "" || gone.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("a problem: %d %v", gone.Code, gone.Header())
	}
}

// TestNotStored has no cache keep what is sent for a signature.
func TestNotStored(t *testing.T) {
	rec := httptest.NewRecorder()
	server(t, newWorld(t).views()).ServeHTTP(rec, request("POST /api/v1/login/AAAAAAAAAAAAAAAAAAAAAAAAAA", `{"signature":"c2ln"}`))
	if rec.Code != http.StatusOK || rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("ETag") != "" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
}

// TestLargeBody refuses what is larger than any selection.
func TestLargeBody(t *testing.T) {
	h := server(t, newWorld(t).views())
	r := request("POST /api/v1/template/compare", `{"txids":["`+strings.Repeat("a", maxBody)+`"]}`)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d: %s", rec.Code, rec.Body)
	}
}
